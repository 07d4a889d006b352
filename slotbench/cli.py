"""The command line: what Snakemake's rules call, and what a person can call by hand.

Each command imports what it needs when it runs, so that help and listings do not wait for torch.
"""

from __future__ import annotations

import codecs
import gc
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slotbench import __version__
from slotbench.architectures import ARCHITECTURES
from slotbench.data.datasets import DATASETS
from slotbench.errors import InputError, on_one_line, told
from slotbench.files import atomic
from slotbench.selection import SELECTIONS

if TYPE_CHECKING:
    from rich.console import Console

    from slotbench.training.train import Progress

app = typer.Typer(
    help="Selecting random weights: train cells of the grid, collect their records, render the report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"slotbench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version, and end")
    ] = False,
) -> None:
    """Options of the program itself."""


DataDir = Annotated[Path, typer.Option(help="where datasets are stored")]
GpuShare = Annotated[int, typer.Option(min=0, help="how many cells may hold one GPU at once; 0: train on the CPU")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="a run's name, its config file, or its folder of results")]
DATA = Path("data")
RESULTS = Path("results")
REPORT = Path("report")
MAINTAINERS = "For who works on slotbench itself"


@app.command()
def fetch(
    datasets: Annotated[list[str], typer.Argument(help=", ".join(DATASETS))],
    data_dir: DataDir = DATA,
    folder: Annotated[Path | None, typer.Option("--from", help="a folder that holds the files already")] = None,
) -> None:
    """Fetch datasets, verify them, and store each as one safetensors file."""
    from slotbench.data import sources

    for dataset in datasets:
        print(sources.fetch(dataset, data_dir, folder))


@app.command()
def train(
    dataset: Annotated[str, typer.Option(help=", ".join(DATASETS))],
    architecture: Annotated[str, typer.Option(help=", ".join(ARCHITECTURES))],
    selection: Annotated[str, typer.Option(help=", ".join(SELECTIONS))],
    recipe: Annotated[str, typer.Option(help="a file of slotbench/recipes, such as paper or quick")],
    out: Annotated[Path, typer.Option(help="the record, a JSON file; weights go to the folder beside it")],
    k: Annotated[int | None, typer.Option(help="options per connection, where the selection has options")] = None,
    seed: Annotated[int, typer.Option(help="0 or more: the network, the order of images, all that is random")] = 0,
    finetune: Annotated[str, typer.Option(help="none, or the checkpoint to start from: e100")] = "none",
    parent: Annotated[Path | None, typer.Option(help="the record of the cell that --finetune starts from")] = None,
    data_dir: DataDir = DATA,
    gpu_share: GpuShare = 1,
) -> None:
    """Train one cell of the grid, and write its record."""
    from slotbench import recipes
    from slotbench.cells import Cell
    from slotbench.cluster import gpu_lease

    cell = Cell(recipe, dataset, architecture, selection, 1 if k is None else k, finetune, seed).checked()
    if k is None and SELECTIONS[selection].has_options:
        raise InputError(f"--k: missing; selection '{selection}' has options, so say how many per connection: --k 8")
    recipes.of(cell)
    if out.suffix != ".json":
        raise InputError(f"--out {out}: a record is a .json file")
    device = gpu_lease.take(gpu_share)

    with lasting():
        from slotbench.training.train import train_cell

    gpu_lease.keep_if_used(device)
    with progress_bar(str(cell)) as progress, failure_noted(out):
        record = train_cell(cell, out, data_dir, parent, progress)
    results = record.results
    print(
        f"{cell}: {record.status}, test accuracy {100 * results.test_accuracy:.2f} % at epoch {results.best_epoch} "
        f"(best validation), {100 * results.test_accuracy_last:.2f} % at epoch {results.epochs}; "
        f"{record.costs.wall_seconds:.1f} s"
    )


@app.command()
def run(
    name: RunName,
    minutes: Annotated[float, typer.Option(help="stop after so long; the next call goes on")] = 24 * 60,
    data_dir: DataDir = DATA,
    gpu_share: GpuShare = 1,
) -> None:
    """Train the cells of a run one after the other in this process: for a machine without Snakemake. Several of these
    share a run's cells."""
    from slotbench.cluster import gpu_lease
    from slotbench.results import naming

    if not 0 < minutes <= 60 * 24 * 366:  # not a number, either
        raise InputError(f"--minutes {minutes}: more than 0, and at most a year")
    of = naming.run_of(name)
    device = gpu_lease.take(gpu_share)

    with lasting():
        from slotbench.results.plan import Plan
        from slotbench.results.provenance import commit
        from slotbench.results.standing import parent_of
        from slotbench.training.train import train_cell, unheld

    gpu_lease.keep_if_used(device)
    commit()  # which code trains, while it is as it was read

    def stop(_number: int, _frame: object) -> None:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # before training, which has a state to write
            print("slotbench: --minutes are over and no cell is being trained; the next call goes on", file=sys.stderr)
            sys.exit(128 + signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes)
    try:
        for cell, out in unheld(Plan(of, RESULTS).due(), RESULTS / of.run / "cells"):
            parent = None if cell.parent is None else parent_of(out)
            with progress_bar(str(cell)) as progress, failure_noted(out):
                record = train_cell(cell, out, data_dir, parent, progress)
            print(f"{cell}: {record.status}, {100 * record.results.test_accuracy:.2f} %", flush=True)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


state = typer.Typer(help="The states of a run's unfinished cells, to go on from elsewhere.", no_args_is_help=True)
app.add_typer(state, name="state")


@state.command()
def pack(
    name: RunName,
    out: Annotated[Path | None, typer.Option(help="the file to write; without it, <run>.states.zip")] = None,
) -> None:
    """Pack the states of a run's unfinished cells into one file, without what can be drawn again from their seeds."""
    from slotbench.results import naming
    from slotbench.training import packing

    run = naming.name_of(name)
    out = out or Path(f"{run}.states.zip")
    for cell, epoch in packing.pack(run, RESULTS, out):
        print(f"{cell}: epoch {epoch}")
    print(f"{out}: {out.stat().st_size / 2**20:.1f} MiB")


@state.command()
def unpack(file: Path) -> None:
    """Unpack states that `pack` wrote: the next start of their cells goes on from them."""
    from slotbench.training import packing

    for cell, what in packing.unpack(file, RESULTS):
        print(f"{cell}: {what}")


@app.command()
def copy(folder: Path) -> None:
    """Copy code and configs of this clean checkout into a new folder, to train on a machine without git."""
    from slotbench.results import manifest, provenance

    commit, dirty = provenance.commit()
    if commit is None or dirty:
        raise InputError(f"{provenance.CHECKOUT}: {'has changes' if dirty else 'no checkout'}; commit them first")
    count = manifest.copy(provenance.CHECKOUT, commit, folder)
    print(f"{folder}: {count} files of commit {commit[:7]}, named in {manifest.NAME}")


@contextmanager
def lasting() -> Iterator[None]:
    """For imports that bring torch, whose objects are there to stay.

    Looking for garbage among them would take a third of the time that a cell needs to start and end.
    """
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


@contextmanager
def failure_noted(out: Path) -> Iterator[None]:
    """Leaves the reason why training failed beside the record, where `collect` finds it.

    What a person must mend before any training, an `InputError`, is told and leaves nothing.
    """
    from slotbench.training.device import MEMORY_ERRORS, is_out_of_memory
    from slotbench.training.preemption import Preempted

    note = Path(f"{out}.failed")
    try:
        yield
        note.unlink(missing_ok=True)
    except Preempted as preempted:
        name = signal.Signals(preempted.number).name
        print(f"slotbench: stopped by {name}; its state is beside {out}, and the next start goes on", file=sys.stderr)
        sys.exit(128 + preempted.number)
    except BaseException as error:
        if isinstance(error, OSError):
            reason = told(error)
        # safetensors, which is written in Rust, panics when it cannot have the memory that it asks for
        elif (isinstance(error, MEMORY_ERRORS) and is_out_of_memory(error)) or type(error).__name__ == "PanicException":
            reason = f"{out}: out of memory ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        else:
            raise
        with suppress(OSError), atomic(note) as file:
            file.write(on_one_line(reason) + "\n")
        raise InputError(reason) from error


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """A bar on a screen, a line every tenth of the way in a log."""
    if sys.stderr.isatty():
        from rich.progress import Progress as Bar

        with Bar() as bar:
            task = bar.add_task(title)
            yield lambda epoch, last, news: bar.update(task, total=last, completed=epoch, description=f"{title} {news}")
        return

    def line(epoch: int, last: int, news: str) -> None:
        if epoch == last or epoch % max(1, last // 10) == 0:
            print(f"epoch {epoch}/{last}: {news}", file=sys.stderr, flush=True)

    yield line


@app.command()
def cells(run: RunName) -> None:
    """List the cells of a run, a path a line."""
    from slotbench.results import naming

    for cell in naming.run_of(run).cells():
        print(cell.path)


@app.command()
def collect(name: RunName) -> None:
    """Collect the records of a run into the tables of results/<run>, and name what is not done."""
    from slotbench.cells import Cell
    from slotbench.results import naming, table

    run = naming.run_of(name)
    collected = table.collect(run, RESULTS)
    table.write(collected, RESULTS / run.run)
    frame = collected.cells
    for row in frame[frame["status"] != "done"].to_dict("records"):
        problem = f": {row['problem']}" if row["status"] == "failed" else ""
        print(f"{row['status']}: {Cell.from_path(row['record'])}{problem}")
    for path in collected.outside:
        print(f"not a cell of this run: {RESULTS / path}")
    print(", ".join(f"{count} {status}" for status, count in frame["status"].value_counts().items()))


@app.command()
def status(run: RunName) -> None:
    """Say how far a run is and how long the rest takes; on a screen, for as long as a cell is being trained."""
    from slotbench.results import naming, status

    status.watch(naming.run_of(run), RESULTS, _console())


@app.command()
def show(cell: Annotated[str, typer.Argument(help="a record, or <run>/<cell> as the report names it")]) -> None:
    """Show one cell: what came of it, its curves, recipe and provenance, and how to train it again."""
    from slotbench.report import terminal

    _console().print(terminal.show(terminal.record_of(cell, RESULTS)))


@app.command()
def compare(first: RunName, second: RunName) -> None:
    """Show the accuracies of two collected runs beside each other, and their differences by seed."""
    from slotbench.report import terminal
    from slotbench.results import naming, table

    runs = [table.read(RESULTS / naming.name_of(name)) for name in (first, second)]
    _console().print(terminal.compare(*runs))


def _console() -> Console:
    """As wide as the screen, or as COLUMNS says; in a file or a pipe without it, as wide as what is shown."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit() else 1000)


@app.command()
def report(
    run: RunName,
    single_file: Annotated[
        bool, typer.Option("--single-file", help="also write the page as one file to send: report/<run>.html")
    ] = False,
) -> None:
    """Render report/<run> from results/<run>/cells.parquet."""
    from slotbench.report import single_file as one_file
    from slotbench.report.page import render
    from slotbench.results import drawn, naming
    from slotbench.results.plan import Plan

    of = naming.run_of(run)
    index = render(of.run, RESULTS, REPORT)
    drawn.write(Plan(of, RESULTS), REPORT / of.run)
    print(one_file.write(index) if single_file else index)


@app.command()
def crate(name: RunName) -> None:
    """Pack a collected and reported run as an RO-Crate, to archive or to send: <run>.crate.zip."""
    from slotbench.report import crate
    from slotbench.results import naming

    run = naming.name_of(name)
    print(crate.write(run, RESULTS, REPORT, Path(f"{run}.crate.zip")))


@app.command()
def claims(
    run: RunName, as_json: Annotated[bool, typer.Option("--json", help="as JSON, for programs")] = False
) -> None:
    """Give a verdict on every claim of the paper, from results/<run>/cells.parquet."""
    from slotbench.report import answer, claims, judge, terminal
    from slotbench.results import naming, table

    known = claims.load()
    verdicts = judge.judge(table.read(RESULTS / naming.name_of(run)), known)
    if as_json:
        print(judge.as_json(verdicts), end="")
    else:
        console = _console()
        console.print(answer.sentence(verdicts, known), end="\n\n")
        console.print(terminal.verdicts(verdicts))


@app.command(rich_help_panel=MAINTAINERS)
def readme(run: str = "reference") -> None:
    """Write the numbers of a committed run into README.md, between the marks there."""
    from slotbench.report.page import update_readme

    update_readme(Path("README.md"), run, RESULTS)


@app.command()
def why(record: Path) -> None:
    """Say what would make a cell train again, or that nothing would."""
    from slotbench.cells import Cell
    from slotbench.results.standing import parent_of, standing

    cell = Cell.from_path(record)
    if not record.exists():
        print(f"{record}: there is no record yet")
        return
    judged = {record: standing(cell, record)}
    if cell.parent is not None and (parent := parent_of(record)).exists():
        judged[parent] = standing(cell.parent, parent)
    for path, result in judged.items():
        print(f"{path}: {result.reason or 'up to date'}{f' ({result.vouched})' if result.vouched else ''}")


@app.command()
def replay(
    names: Annotated[list[str] | None, typer.Argument(help="records, or a run")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="how many of each cell's epochs")] = 2,
    full: Annotated[bool, typer.Option("--full", help="all epochs, and the hashes of the weights")] = False,
    claim: Annotated[str | None, typer.Option(help="train a claim's cells anew in full, and judge it by them")] = None,
    data_dir: DataDir = DATA,
) -> None:
    """Train cells again, and compare with their records bit by bit; status 1 if one is different."""
    from slotbench.results import naming
    from slotbench.results.plan import Plan

    paths, of_runs = [], []
    for name in names or (["reference"] if claim else []):
        if name.endswith(".json"):
            paths.append(Path(name))
        else:
            plan = Plan(naming.run_of(name), RESULTS)
            of_runs += [path for cell in plan.run.cells() if (path := plan.record(cell)).exists()]
    if not paths and not of_runs:
        raise InputError("replay: name records, a run that has some, or a claim with --claim")
    with lasting():
        from slotbench.report import claim_replay
        from slotbench.training import replay

    if claim is not None:
        run = names[0] if names else "reference"
        print(claim_replay.judged_anew(claim, naming.run_of(run), RESULTS, data_dir, print))
        return
    from slotbench.cells import Cell
    from slotbench.results import records

    verdicts = []
    here = [path for path in of_runs if replay.of_this_kind(records.read(path).provenance)]
    if left := len(of_runs) - len(here):
        print(
            f"left out: {left} cells of another kind of machine, with a GPU or without; name a record to replay it here"
        )
    jobs = [(Cell.from_path(path), path) for path in [*paths, *here]]
    for result in replay.replay_all(jobs, None if full else epochs, data_dir):
        verdicts.append(result.verdict)
        print(f"{result.cell}: {result.words}", flush=True)
    if "different" in verdicts:
        sys.exit(1)


@app.command(rich_help_panel=MAINTAINERS)
def vouch(
    run: RunName,
    data_dir: DataDir = DATA,
) -> None:
    """Attest that a change of code has changed no number of a run: replay a sample of it, and write vouched.json."""
    from slotbench.results import naming, vouching
    from slotbench.results.plan import Plan

    with lasting():
        from slotbench.training import replay

    plan = Plan(naming.run_of(run), RESULTS)
    attestation = replay.vouch(plan, data_dir, lambda line: print(line, flush=True))
    path = vouching.write(RESULTS / plan.run.run, attestation)
    print(f"{path}: {len(attestation.replayed)} cells were replayed and every bit agreed")


@app.command(rich_help_panel=MAINTAINERS)
def schemas() -> None:
    """Write the JSON schemas of configs and records to workflow/schemas."""
    import json

    from slotbench import config
    from slotbench.results import records

    folder = Path("workflow") / "schemas"
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder here; run `slotbench schemas` at the top of a checkout")
    schemas: dict[str, Any] = {"config": config.schema(), "record": records.Record.model_json_schema()}
    for name, schema in schemas.items():
        with atomic(folder / f"{name}.schema.json") as file:
            file.write(json.dumps(schema, indent=1) + "\n")


def main() -> None:
    """The program `slotbench`: status 0, or 2 with one sentence that says what to mend."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="slotbench.near")
    warn_of_other_code(Path.cwd())
    try:
        app()
    except InputError as error:
        sys.exit(_refuse(str(error)))
    except OSError as error:
        sys.exit(_refuse(told(error)))


def warn_of_other_code(folder: Path) -> None:
    """Says so where a person is in a checkout, but the code of another place runs: a clone that was copied or renamed,
    a second worktree, another environment."""
    from slotbench.results.provenance import CHECKOUT

    here = folder / "slotbench"
    if (folder / "Snakefile").exists() and here.is_dir() and here.resolve() != (CHECKOUT / "slotbench").resolve():
        print(
            f"slotbench: the code that runs lies in {CHECKOUT}, not in this checkout; `make setup` here and "
            "`. .venv/bin/activate` run this one",
            file=sys.stderr,
        )


NEAR = str.maketrans("−–‐≥≤×→✓✗↗±…’“”▁▂▃▄▅▆▇█", '---><x>vx^+.\'""_.:-=+*#')
"""What stands for a sign in an encoding that lacks it, a letter for a letter, so that tables keep their columns."""


def _near(error: UnicodeError) -> tuple[str, int]:
    """For text that the locale's encoding cannot write: the nearest signs that it can."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(NEAR)
    return "".join(sign if sign.isascii() else "?" for sign in text), error.end


codecs.register_error("slotbench.near", _near)


def _refuse(sentence: str) -> int:
    print(f"slotbench: {on_one_line(sentence)}", file=sys.stderr)
    return 2
