# What a run's tables and report are made from, and whether those that there are still show it.

import json

PAGES = f"report/{RUN.run}"
TABLES = [
    "cells.csv",
    "cells.sha256",
    "run.json",
    *(f"{name}.parquet" for name in ("cells", "beside", "layers", "curves")),
]


def existing_records(wildcards):
    """As absolute paths, which no rule makes. Nothing that `report` asks for can lead to training."""
    return [Path(record).absolute() for record in RECORDS if Path(record).exists()]


def records_beside():
    """Those of the runs that stand beside this one: only what there is, since a run never trains another."""
    paths = (PLAN.results / run.run / "cells" / cell.path for run in RUN.others for cell in run.cells())
    return [path.absolute() for path in paths if path.exists()]


def report_input(records):
    """Records, and a newer file if they, the config or the code that draws are not those of the report that there is:
    file times do not tell, neither of a record that is gone nor in a clone."""

    def inputs(wildcards):
        paths = records(wildcards)
        reason = drawn.outdated(PLAN, Path("results"), Path("report"))
        again = {str(PLAN.record(cell)) for cell in PLAN.due()}
        named = {"beside": [ancient(path) for path in records_beside()]}
        named |= {"records": [path if path in again or asked_for(path) else ancient(path) for path in paths]}
        made = Path(PAGES, drawn.FILE)
        return named | ({"due": due(f"{RUN.run}/report", made, reason)} if reason and made.exists() else {})

    return inputs


def captions(wildcards, input):
    """What the report says of its figures and tables, for Snakemake's; no trigger, since it is a function of `input`."""
    path = Path(PAGES, "captions.json")
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def labels_of(kind):
    """How Snakemake's report lists a figure or a table, which are the kinds: by its title."""

    def labels(wildcards):
        titles = captions(wildcards, None)[f"{kind}s"]
        return {kind: titles[wildcards.name]["title"], "run": RUN.run, "recipe": RUN.recipe}

    return labels
