"""A cell is one point of the grid: its names, its place on disk, and the cell that it starts from.

Grids and config files are in `slotbench.config`; what a cell is trained with is in `slotbench.recipes`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from slotbench.architectures import ARCHITECTURES
from slotbench.data.datasets import DATASETS
from slotbench.errors import InputError, unknown
from slotbench.selection import SELECTIONS

LIMIT = 2**32
"""K and seeds are below it: NumPy makes its streams of words of 32 bits, and a larger seed would repeat small ones'."""


@dataclass(frozen=True, order=True)
class Cell:
    """(recipe, dataset, architecture, selection, K, finetune, seed), all as they stand in a config.

    `k` is the number of options per connection; a selection that has none stands under k = 1.
    `finetune` is "none", or "e100": ordinary training from the selection's checkpoint of epoch 100.
    """

    recipe: str
    dataset: str
    architecture: str
    selection: str
    k: int
    finetune: str
    seed: int

    @property
    def path(self) -> PurePosixPath:
        """Where its record lies below `results/<run>/cells`."""
        return PurePosixPath(
            self.recipe, self.dataset, self.architecture, self.selection,
            f"k{self.k}", self.finetune, f"seed{self.seed}.json",
        )  # fmt: skip

    @classmethod
    def from_path(cls, path: str | Path | PurePosixPath) -> Cell:
        """The cell whose record lies at `path`; folders before the recipe do not matter."""
        parts = PurePosixPath(path).parts[-7:]
        match = re.fullmatch(r"k([0-9]{1,10})/([^/]+)/seed([0-9]{1,10})\.json", "/".join(parts[4:]))
        if len(parts) == 7 and match is not None:
            cell = cls(*parts[:4], k=int(match[1]), finetune=match[2], seed=int(match[3]))
            if cell.path.parts == parts:  # no k08: a cell has one path
                return cell.checked()
        raise InputError(
            f"{path}: not the path of a cell; expected "
            "<recipe>/<dataset>/<architecture>/<selection>/k<K>/<finetune>/seed<seed>.json"
        )

    @property
    def parent(self) -> Cell | None:
        """The cell whose checkpoint this one starts from."""
        return None if self.finetune == "none" else replace(self, finetune="none")

    @property
    def start_epoch(self) -> int:
        """The epoch of the parent's checkpoint; 0 for a cell that starts from its random network."""
        return 0 if self.finetune == "none" else int(self.finetune[1:])

    def checked(self) -> Cell:
        """Itself, if it can be trained; otherwise an `InputError` whose first words are the axis at fault."""
        for axis, known in (
            ("dataset", DATASETS),
            ("architecture", ARCHITECTURES),
            ("selection", SELECTIONS),
        ):
            if getattr(self, axis) not in known:
                raise InputError(unknown(axis, getattr(self, axis), known))
        if self.k < 1:
            raise InputError(f"k {self.k}: a connection needs at least one option")
        if self.k >= LIMIT:
            raise InputError(f"k {self.k}: more than {LIMIT - 1}, the most there can be")
        if self.k > 1 and not SELECTIONS[self.selection].has_options:
            raise InputError(f"k {self.k}: selection '{self.selection}' has no options; its k is 1")
        if self.seed < 0:
            raise InputError(f"seed {self.seed}: a seed is 0 or more")
        if self.seed >= LIMIT:
            raise InputError(f"seed {self.seed}: more than {LIMIT - 1}; it would repeat what smaller seeds draw")
        if not re.fullmatch(r"none|e[1-9][0-9]{0,5}", self.finetune):
            raise InputError(f"finetune '{self.finetune}': expected 'none' or an epoch such as 'e100'")
        if self.finetune != "none" and not SELECTIONS[self.selection].finetunable:
            raise InputError(f"finetune '{self.finetune}': selection '{self.selection}' cannot be finetuned")
        dataset, architecture = DATASETS[self.dataset], ARCHITECTURES[self.architecture]
        if dataset.shape != architecture.input_shape:
            fitting = [name for name, entry in ARCHITECTURES.items() if entry.input_shape == dataset.shape]
            raise InputError(
                f"architecture '{self.architecture}': takes images of shape {architecture.input_shape}, but "
                f"dataset '{self.dataset}' has {dataset.shape}; for it choose {' or '.join(fitting)}"
            )
        return self

    def __str__(self) -> str:
        return str(self.path.with_suffix(""))
