"""The real program, run as a process in a copy of the project that has a recipe of its own."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen

from slotbench.cells import Cell
from tests.support.command import SLOTBENCH
from tests.support.project import Tree

EPOCHS = 16
RECIPE = f"""about: a few seconds of training, for faults to happen in
base:
  epochs: {EPOCHS}
  batch: 32
  learning_rate: 0.2
  schedule: {{kind: warm-restarts, epochs: [7], factor: 2}}
  option_bound: 1.7320508
  score_bounds: [1.7320508, 1.7320508]
  evaluate_by: sampling
  checkpoints: [2]
rules:
  - when: {{selection: probabilistic}}
    set: {{learning_rate: 25.0}}
  - when: {{selection: learned}}
    set: {{learning_rate: 0.05}}
  - when: {{finetuned: true}}
    set: {{learning_rate: 0.05}}
"""


def cell(selection: str = "greedy", k: int = 2, finetune: str = "none", seed: int = 0) -> Cell:
    return Cell("faults", "digits", "lenet", selection, k, finetune, seed).checked()


CELLS = {
    "greedy": cell(k=8),
    "probabilistic": cell("probabilistic", k=2),
    "learned": cell("learned", k=1),
    "finetuned": cell(k=8, finetune="e2"),
}


class Program(Tree):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.started: list[Popen[str]] = []
        (folder / "slotbench" / "recipes" / "faults.yaml").write_text(RECIPE)
        done = self.run("fetch", "digits")
        assert done.returncode == 0, done.stderr

    def start(self, *words: object, command: Sequence[object] = (SLOTBENCH,), **variables: str) -> Popen[str]:
        """`slotbench`, or another command, in this tree; a cell's state is written at every epoch's end."""
        environment = os.environ | {
            "PYTHONPATH": str(self.folder),
            "PATH": f"{SLOTBENCH.parent}{os.pathsep}{os.environ['PATH']}",
            "SLOTBENCH_RESUME_SECONDS": "0",
        }
        arguments = [str(word) for word in (*command, *words)]
        process = Popen(arguments, cwd=self.folder, env=environment | variables, stdout=PIPE, stderr=PIPE, text=True)
        self.started.append(process)
        return process

    def run(self, *arguments: object, **variables: str) -> CompletedProcess[str]:
        return ended(self.start(*arguments, **variables))

    def training(self, target: Cell, out: Path, **changes: object) -> list[object]:
        """The words that train `one` to the record `out`; a finetuned one from its undisturbed parent."""
        axes = ("dataset", "architecture", "selection", "k", "finetune", "seed", "recipe")
        options = {axis: getattr(target, axis) for axis in axes} | {"out": out}
        if target.parent is not None:
            options["parent"] = self.undisturbed(target.parent)
        options |= changes
        return ["train", *(word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value))]

    def undisturbed(self, target: Cell) -> Path:
        """The record of a run that nothing happened to, and that wrote no state; trained when first asked for."""
        out = self.folder / "undisturbed" / target.path
        if not out.exists():
            done = self.run(*self.training(target, out), SLOTBENCH_RESUME_SECONDS="3600")
            assert done.returncode == 0, done.stderr
        return out


def ended(process: Popen[str], seconds: float = 600) -> CompletedProcess[str]:
    out, err = process.communicate(timeout=seconds)
    return CompletedProcess(process.args, process.returncode, out, err)


def states(out: Path) -> list[Path]:
    """The states of the cell whose record is to be `out`, the newest last."""
    return sorted(out.with_suffix("").glob("resume-*.safetensors"))


def epoch_of(state: Path) -> int:
    return int(state.name.split("-")[1])


def until(condition: Callable[[], object], process: Popen[str]) -> None:
    """Waits until `condition` holds, or the process has ended."""
    end = time.monotonic() + 300
    while not condition() and process.poll() is None:
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def training_begun(program: Program, target: Cell, out: Path, epoch: int = 2) -> Popen[str]:
    """A process that trains `one` and has written its state of `epoch`, or a later one."""
    before = set(states(out))
    process = program.start(*program.training(target, out))
    until(lambda: any(epoch_of(state) >= epoch for state in set(states(out)) - before), process)
    assert process.poll() is None, ended(process).stderr
    return process


def refused(done: CompletedProcess[str], *words: str) -> None:
    """It ended with status 2 and one sentence that has these words, after whatever it told of its progress."""
    sentence = done.stderr.splitlines()[-1] if done.stderr else ""
    assert done.returncode == 2, done.stderr
    assert sentence.startswith("slotbench: "), done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in sentence
