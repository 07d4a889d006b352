# Records to a table and a report: once all cells are trained (`all`), or from the records that there are (`report`).

import json
from dataclasses import replace

DRAWN_BY = [
    *map(provenance.source, provenance.reached(frozenset({"slotbench.results.table", "slotbench.report.page"}))),
    *(provenance.PACKAGE / "report" / "templates").glob("*"),
    *Path(workflow.basedir, "config").glob("claims.yaml"),
    *(recipes.FOLDER / f"{name}.yaml" for name in sorted({cell.recipe for cell in RUN.cells()})),
    provenance.PACKAGE.parent / "config" / "published.csv",
    *Path(workflow.basedir, "benchmarks").glob("step_cost.json"),
]


# The report says which records today's code would not make: where that changes, it is drawn again.
KINDS = {replace(cell, seed=0) for cell in RUN.cells()}
CODE = provenance.digest(repr(sorted({repr(provenance.fingerprint(cell)) for cell in KINDS})))


def existing_records(wildcards):
    """As absolute paths, for which no rule is known: nothing that `report` asks for can lead to training."""
    return [Path(record).absolute() for record in RECORDS if Path(record).exists()]


def captions(wildcards, input):
    """What the report says of its figures and tables, for Snakemake's; no trigger, since it is a function of `input`."""
    path = Path(f"report/{RUN.run}/captions.json")
    return json.loads(path.read_text()) if path.exists() else {}


localrules:
    report,
    complete_report,


rule report:
    input:
        records=existing_records,
        config=local(CONFIG),
        code=local(DRAWN_BY),
    output:
        table=multiext(f"results/{RUN.run}/cells", ".csv", ".parquet"),
        pages=multiext(f"report/{RUN.run}/", "index.html", "cell.html", "paper.tex", "captions.json"),
        cells=directory(f"report/{RUN.run}/cells"),
        figures=report(
            directory(f"report/{RUN.run}/figures"),
            patterns=["{name}.svg"],
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{name}", "run": RUN.run, "recipe": RUN.recipe},
        ),
        tables=report(
            directory(f"report/{RUN.run}/tables"),
            patterns=["{name}.html"],
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{name}", "run": RUN.run, "recipe": RUN.recipe},
        ),
    log:
        f"logs/{RUN.run}/report.log",
    benchmark:
        f"logs/{RUN.run}/report.tsv"
    params:
        run=RUN.run,
        config=lambda wildcards, input: Path(input.config).absolute(),
        root=lambda wildcards, output: Path(output.figures).parents[2],
        # A record that is gone is no newer file: the count tells.
        records=lambda wildcards: len(existing_records(wildcards)),
        code=CODE,
        captions=captions,
    shell:
        "(mkdir -p {output.figures} {output.tables} {output.cells} && cd {params.root}"
        " && slotbench collect {params.config}"
        " && slotbench report {params.run}) > {log} 2>&1"


use rule report as complete_report with:
    input:
        records=RECORDS,
        config=local(CONFIG),
        code=local(DRAWN_BY),
    params:
        run=RUN.run,
        config=lambda wildcards, input: Path(input.config).absolute(),
        root=lambda wildcards, output: Path(output.figures).parents[2],
        records=len(RECORDS),
        code=CODE,
        captions=captions,


ruleorder: complete_report > report
