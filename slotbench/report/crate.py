"""A run as a research object: one archive with its records, table and report, described as an RO-Crate says."""

from __future__ import annotations

from pathlib import Path

from slotbench.errors import InputError
from slotbench.files import atomic
from slotbench.results import table

KINDS = {
    ".json": "application/json",
    ".csv": "text/csv",
    ".parquet": "application/vnd.apache.parquet",
    ".sha256": "text/plain",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".pdf": "application/pdf",
    ".tex": "application/x-tex",
}
"""The files that go along, and their media types; weights can be trained again from the records."""
PAPER = {
    "@type": "ScholarlyArticle",
    "name": "Slot Machines: Discovering Winning Combinations of Random Weights in Neural Networks",
    "author": "Maxwell Mbabilla Aladago and Lorenzo Torresani",
    "datePublished": "2021",
}


def write(run: str, results: Path, report: Path, out: Path) -> Path:
    """Writes `out`, a ZIP archive of the collected `run` with its ro-crate-metadata.json; returns its path.

    In it, files lie as they do here, so that the report's links to records hold. If this fails, an earlier
    archive stays.
    """
    try:
        from rocrate.model.contextentity import ContextEntity
        from rocrate.rocrate import ROCrate
    except ImportError as error:
        raise InputError("crate: needs the package rocrate; install it with `pip install -e '.[crate]'`") from error
    cells = table.read(results / run).cells
    trained = cells[cells["status"].isin(["done", "diverged"])].fillna({"commit": "unknown"})
    if trained.empty:
        raise InputError(f"run {run}: no cell has a record; train some first")
    crate = ROCrate()
    crate.name = f"slotbench, run {run}"
    crate.description = (
        f"{len(trained)} networks, each trained once, and a report on what they say of the paper's claims."
    )
    crate.license = "MIT"
    crate.datePublished = max(trained["finished"])
    crate.root_dataset["isBasedOn"] = crate.add(ContextEntity(crate, "#paper", properties=PAPER))
    files = {}
    for top, folder in (("results", results / run), ("report", report / run)):
        for path in sorted(folder.rglob("*")):
            if path.suffix in KINDS and path.is_file() and not path.is_symlink() and not path.name.startswith("."):
                place = f"{top}/{run}/{path.relative_to(folder).as_posix()}"
                files[place] = crate.add_file(path, place, properties={"encodingFormat": KINDS[path.suffix]})
    gone = [record for record in trained["record"] if f"results/{record}" not in files]
    if gone:
        raise InputError(
            f"{results / gone[0]}: gone since the table was written, with {len(gone) - 1} more; train "
            "its cell again, or run `slotbench collect`"
        )
    if f"report/{run}/index.html" not in files:
        raise InputError(f"{report / run / 'index.html'}: not there; run `slotbench report {run}` first")
    for commit, rows in trained.groupby("commit", sort=False):
        program = {"@type": "SoftwareApplication", "name": "slotbench", "softwareVersion": f"commit {commit}"}
        crate.add_action(
            crate.add(ContextEntity(crate, f"#slotbench-{commit}", properties=program)),
            f"#training-{commit}",
            result=[files[f"results/{record}"] for record in rows["record"]],
            properties={
                "name": f"training on {', '.join(sorted(rows['device'].unique()))}",
                "endTime": max(rows["finished"]),
            },
        )
    with atomic(out, "wb") as file:
        file.writelines(crate.stream_zip())
    return out
