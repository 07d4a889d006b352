"""Tests run side by side, one process a processor, each with one thread: torch's threads wait for each other by
spinning, and take many times as long where other processes want the processor too."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.pop("COLUMNS", None)  # what a command prints is as wide as it is, but where a test says otherwise
