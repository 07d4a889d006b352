"""What is shown of the table: verdicts, figures, tables, pages."""

import os

# Figures are the same whoever draws them: no matplotlibrc of a person or a folder, and no notebook's window, which is
# read when matplotlib is first imported.
os.environ["MATPLOTLIBRC"] = os.devnull
os.environ["MPLBACKEND"] = "agg"
