"""The table → figures, all in one style; a file for each theme, whose figures the registry holds."""

# In the order of the report.
from slotbench.report.figures import accuracy, finetuning, comparisons, selected, memorising, costs  # noqa: F401, I001
from slotbench.report.figures.registry import FIGURES, Entry, save

__all__ = ["FIGURES", "Entry", "save"]
