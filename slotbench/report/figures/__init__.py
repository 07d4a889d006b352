"""The table → figures, all in one style; a file for each theme, whose figures the registry holds."""

# Imported in the order of the report: each puts its figures into the registry.
from slotbench.report.figures import accuracy, study  # noqa: F401, I001
from slotbench.report.figures import finetuning, comparisons, learning, selected, memorising, costs, method  # noqa: F401
from slotbench.report.figures.registry import FIGURES, Drawn, Entry, common, save
from slotbench.report.figures.verdicts import CLAIMS, HERO
from slotbench.report.figures.verdicts import save as save_of_verdicts

__all__ = ["CLAIMS", "FIGURES", "HERO", "Drawn", "Entry", "common", "save", "save_of_verdicts"]
