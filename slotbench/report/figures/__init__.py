"""The table → figures, all in one style; a file for each theme, whose figures the registry holds."""

# In the order of the report.
from slotbench.report.figures import accuracy, finetuning, comparisons, selected, memorising, costs, method  # noqa: F401, I001
from slotbench.report.figures.registry import FIGURES, Drawn, Entry, common, save

__all__ = ["FIGURES", "Drawn", "Entry", "common", "save"]
