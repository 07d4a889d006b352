"""Tests run side by side, one process a processor, each with one thread: torch's threads wait for each other by
spinning, and take many times as long where other processes want the processor too."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
# readline, which pytest loads, tells every process that it starts of a screen that is not there.
for name in ("COLUMNS", "LINES"):
    os.environ[name] = ""  # unsetenv, which a name that Python does not know would not come to
    del os.environ[name]
