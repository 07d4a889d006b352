"""The states of a run's unfinished cells in one file, to go on from elsewhere: `slotbench state pack` and `unpack`.

What can be drawn again from the seed is not in it: no options and no initial scores, and of a selected weight only
which of its connection's options it is. A connection of a cell with options takes 8 bytes for what trains its scores,
and one byte (for K up to 256) for each set of weights: those of now, the best, and each checkpoint; of learned weights
a set takes 4 bytes, and so does their momentum. Beside that there is what a state says in words, some 200 bytes an
epoch. All is compressed, and unpacking gives the files that were packed, to the byte.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from slotbench import architectures, recipes
from slotbench.cells import Cell
from slotbench.errors import InputError
from slotbench.files import atomic
from slotbench.results.records import weights_path
from slotbench.selection import SELECTIONS
from slotbench.selection.options import Options, draw
from slotbench.training import checkpoint
from slotbench.training.checkpoint import State

VALUES = 256
"""Distinct values of a tensor up to which it is written as a table and a byte for each element."""
LARGEST = 64
"""Bytes a connection that no part of a packed file exceeds, beside a fixed 16 MiB: what is larger is not unpacked."""


class Drawn:
    """The options of a cell's network, each layer's drawn when it is asked for."""

    def __init__(self, cell: Cell) -> None:
        recipe = recipes.of(cell)
        network = architectures.build(cell.architecture, padding=recipe.padding, dropout=recipe.dropout)
        self.shapes = {name: weight.shape for name, weight in network.named_parameters()}
        self.connections = sum(weight.numel() for weight in network.parameters())
        rule = SELECTIONS["learned" if cell.parent is not None else cell.selection]
        self.layers: dict[str, Options] = {}
        if rule.has_options:
            module, _, optimizer = rule.optimizer.partition(":")
            layers = draw(
                list(network.parameters()),
                k=cell.k,
                seed=cell.seed,
                option_bound=recipe.option_bound,
                score_bounds=recipe.score_bounds,
                sharing=getattr(import_module(f"slotbench.selection.{module}"), optimizer).sharing,
            )
            self.layers = dict(zip(self.shapes, layers, strict=True))

    def places(self, name: str, weights: Tensor) -> Tensor | None:
        """Which of its options each weight of the layer `name` is, [connections]; None if one is none of them."""
        if name not in self.layers or weights.shape != self.shapes[name] or weights.dtype != torch.float32:
            return None
        layer, flat = self.layers[name], weights.contiguous().numpy().reshape(-1)
        places = np.empty(layer.connections, np.uint8 if layer.k <= 2**8 else np.int32)
        for start, options, _ in layer.blocks():
            selected = options == flat[start : start + len(options), None]
            if not selected.any(1).all():
                return None
            places[start : start + len(options)] = selected.argmax(1)
        return torch.from_numpy(places)

    def weights(self, name: str, places: Tensor) -> Tensor:
        """What `places` was made of."""
        layer, at = self.layers[name], places.numpy()
        flat = np.empty(layer.connections, np.float32)
        for start, options, _ in layer.blocks():
            rows = np.arange(len(options))
            flat[start : start + len(options)] = options[rows, at[start : start + len(options)]]
        return torch.from_numpy(flat).view(self.shapes[name])


def shrunk(tensors: Mapping[str, Tensor], drawn: Drawn) -> dict[str, Tensor]:
    """`tensors`, each in the fewest bytes of: a table of few values, which option it is, as it is."""
    written: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        bits = tensor.contiguous().view(torch.int32) if tensor.dtype == torch.float32 else None
        if bits is not None and bits.numel() > VALUES and (table := few_values(bits.numpy())) is not None:
            values = torch.from_numpy(table)
            written[f"values:{name}"] = values
            written[f"which:{name}"] = torch.searchsorted(values, bits).to(torch.uint8)
        elif (places := drawn.places(name.rpartition("/")[2], tensor)) is not None:
            written[f"options:{name}"] = places
        else:
            written[f"whole:{name}"] = tensor
    return written


def few_values(bits: npt.NDArray[np.int32]) -> npt.NDArray[np.int32] | None:
    """The distinct values of `bits`, sorted; None if there are more than `VALUES`. Most have as many as elements, which
    the first few thousand show; to sort all of them takes longer than all else that packing does."""
    for part in (bits.reshape(-1)[: 16 * VALUES], bits):
        values = np.unique(part)
        if len(values) > VALUES:
            return None
    return values


def grown(written: Mapping[str, Tensor], drawn: Drawn) -> dict[str, Tensor]:
    """The tensors that `shrunk` was given."""
    tensors: dict[str, Tensor] = {}
    for key, tensor in written.items():
        kind, _, name = key.partition(":")
        if kind == "whole":
            tensors[name] = tensor
        elif kind == "options":
            tensors[name] = drawn.weights(name.rpartition("/")[2], tensor)
        elif kind == "which":
            tensors[name] = written[f"values:{name}"][tensor.long()].view(torch.float32)
        elif kind != "values":
            raise ValueError(f"{key}: of no kind that is known")
    return tensors


def pack(run: str, results: Path, packed: Path) -> list[tuple[Cell, int]]:
    """Writes the newest whole state of each unfinished cell of a run, and its checkpoints, to the file `packed`; the
    cells and their epochs. An `InputError` if there is none."""
    folder = results / run / "cells"
    cells: list[tuple[Cell, int]] = []
    with atomic(packed, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("run.json", json.dumps({"format": 1, "run": run}))
        for cell, out in unfinished(folder):
            state = next(whole_states(out), None)
            if state is None:
                continue
            drawn, inside = Drawn(cell), cell.path.with_suffix("")
            rest = {
                "epoch": state.epoch,
                "rest": state.rest,
                "sha256": hashlib.sha256(checkpoint.content(state)).hexdigest(),
            }
            archive.writestr(f"{inside}/state", content(state.tensors, drawn, rest))
            for name in state.rest["kept"]:
                weights = load(weights_path(out, name).read_bytes())
                archive.writestr(f"{inside}/{name}", content(weights, drawn, {}))
            cells.append((cell, state.epoch))
        if not cells:
            raise InputError(f"run '{run}': no cell of it has a state in {folder}; nothing to pack")
    return cells


def unfinished(folder: Path) -> Iterator[tuple[Cell, Path]]:
    """Cells below `folder` that have states, and where their records will be."""
    outs = {path.parent.with_suffix(".json") for path in folder.rglob("resume-*.safetensors")}
    for out in sorted(outs):
        yield Cell.from_path(out), out


def whole_states(out: Path) -> Iterator[State]:
    """The states beside the record `out`, the newest first, whose checkpoints are there as they were written."""
    for state in checkpoint.read(out.with_suffix("")):
        kept = state.rest.get("kept")
        if isinstance(kept, dict) and checkpoint.lost(kept, out) is None:
            yield state


def content(tensors: Mapping[str, Tensor], drawn: Drawn, rest: dict[str, Any]) -> bytes:
    return checkpoint.serialised(shrunk(tensors, drawn), {"rest": json.dumps(rest)})


def unpack(packed: Path, results: Path) -> list[tuple[Cell, str]]:
    """Writes the states that `packed` holds beside the records that they will become; each cell, and what was done.

    A cell that has its record here, or a state of as late an epoch, stays as it is. An `InputError` for a file that is
    no packed one.
    """
    try:
        with zipfile.ZipFile(packed) as archive:
            run = run_of(archive)
            states = [name for name in archive.namelist() if name.endswith("/state")]
            folder = results / run / "cells"
            return [unpack_cell(archive, PurePosixPath(name).parent, folder) for name in sorted(states)]
    except (zipfile.BadZipFile, ValueError, LookupError, TypeError, EOFError, RuntimeError, SafetensorError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{packed}: not a file of `slotbench state pack` ({reason})") from error


def run_of(archive: zipfile.ZipFile) -> str:
    about = json.loads(part(archive, "run.json", 0))
    name = str(about["run"])
    if about["format"] != 1 or PurePosixPath(name).name != name:
        raise ValueError("of another format")
    return name


def unpack_cell(archive: zipfile.ZipFile, inside: PurePosixPath, folder: Path) -> tuple[Cell, str]:
    cell = Cell.from_path(inside.with_name(f"{inside.name}.json"))
    drawn, out = Drawn(cell), folder / cell.path
    packed = part(archive, f"{inside}/state", drawn.connections)
    about = metadata(packed)
    state = State(int(about["epoch"]), grown(load(packed), drawn), dict(about["rest"]))
    if out.exists():
        return cell, "has its record here"
    newest = checkpoint.newest_first(out.with_suffix(""))
    if newest and checkpoint.epoch_of(newest[0]) >= state.epoch:
        return cell, f"has a state of epoch {checkpoint.epoch_of(newest[0])} here"
    for name, digest in state.rest["kept"].items():
        if not (name.startswith("e") and name[1:].isdigit()):
            raise ValueError(f"{name} is no checkpoint")
        weights = grown(load(part(archive, f"{inside}/{name}", drawn.connections)), drawn)
        written = checkpoint.serialised(weights)
        if hashlib.sha256(written).hexdigest() != digest:
            raise ValueError(f"checkpoint {name} of {cell} does not come out as it was")
        with atomic(weights_path(out, name), "wb") as file:
            file.write(written)
    if hashlib.sha256(checkpoint.content(state)).hexdigest() != about["sha256"]:
        raise ValueError(f"the state of {cell} does not come out as it was")
    checkpoint.write(state, out.with_suffix(""))
    return cell, f"goes on from epoch {state.epoch}"


def part(archive: zipfile.ZipFile, name: str, connections: int) -> bytes:
    """A part of the archive, if it is not larger than such a part can be."""
    if archive.getinfo(name).file_size > LARGEST * connections + 2**24:
        raise ValueError(f"{name} is larger than any state")
    return archive.read(name)


def metadata(packed: bytes) -> dict[str, Any]:
    length = int.from_bytes(packed[:8], "little")
    return dict(json.loads(json.loads(packed[8 : 8 + length])["__metadata__"]["rest"]))
