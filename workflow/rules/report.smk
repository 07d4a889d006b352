# Records to a table and a report: once all cells are trained (`all`), or from the records that there are (`report`).

DRAWN_BY = [
    *map(provenance.source, provenance.reached(frozenset({"slotbench.table", "slotbench.report"}))),
    *(provenance.PACKAGE / "templates").glob("*"),
    *Path(workflow.basedir, "config").glob("claims.yaml"),
    *(recipes.FOLDER / f"{name}.yaml" for name in sorted({cell.recipe for cell in RUN.cells()})),
    provenance.PACKAGE.parent / "config" / "published.csv",
]


def existing_records(wildcards):
    """As absolute paths, for which no rule is known: nothing that `report` asks for can lead to training."""
    return [Path(record).absolute() for record in RECORDS if Path(record).exists()]


localrules:
    report,
    complete_report,


rule report:
    input:
        records=existing_records,
        config=CONFIG,
        code=DRAWN_BY,
    output:
        table=multiext(f"results/{RUN.run}/cells", ".csv", ".parquet"),
        index=f"report/{RUN.run}/index.html",
        figures=report(
            directory(f"report/{RUN.run}/figures"),
            patterns=["{name}.svg"],
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{name}"},
        ),
        tables=report(
            directory(f"report/{RUN.run}/tables"),
            patterns=["{name}.html"],
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{name}"},
        ),
    log:
        f"logs/{RUN.run}/report.log",
    benchmark:
        f"logs/{RUN.run}/report.tsv"
    params:
        run=RUN.run,
        # A record that is gone is no newer file: the count tells.
        records=lambda wildcards: len(existing_records(wildcards)),
    shell:
        "(mkdir -p {output.figures} {output.tables} && slotbench collect {input.config}"
        " && slotbench report {params.run}) > {log} 2>&1"


use rule report as complete_report with:
    input:
        records=RECORDS,
        config=CONFIG,
        code=DRAWN_BY,
    params:
        run=RUN.run,
        records=len(RECORDS),


ruleorder: complete_report > report
