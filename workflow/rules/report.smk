# Records to a table and a report: once all cells are trained (`all`), or from the records that there are (`report`).


localrules:
    report,
    complete_report,


rule report:
    input:
        unpack(report_input(existing_records)),
    output:
        table=[f"results/{RUN.run}/{name}" for name in TABLES],
        pages=multiext(f"{PAGES}/", "index.html", "cell.html", "paper.tex", "supplement.tex", "captions.json", drawn.FILE),
        cells=directory(f"{PAGES}/cells"),
        figures=report(
            directory(f"{PAGES}/figures"),
            patterns=["{name}.svg"],
            caption="../report/figure.rst",
            category="Figures",
            labels=labels_of("figure"),
        ),
        tables=report(
            directory(f"{PAGES}/tables"),
            patterns=["{name}.html"],
            caption="../report/table.rst",
            category="Tables",
            labels=labels_of("table"),
        ),
        page=report(
            f"{PAGES}.html",
            caption="../report/page.rst",
            category="The report",
            labels={"page": "All of it", "run": RUN.run, "recipe": RUN.recipe},
        ),
    log:
        f"logs/{RUN.run}/report.log",
    benchmark:
        f"logs/{RUN.run}/report.tsv"
    conda:
        "../../environment.yml"
    params:
        slotbench=program,
        config=lambda wildcards, input: CONFIG.absolute(),
        root=lambda wildcards, output: Path(output.figures).parents[2],
        captions=captions,
    message:
        f"draw {PAGES} from the records that there are"
    shell:
        "(mkdir -p {output.figures:q} {output.tables:q} {output.cells:q} && cd {params.root:q}"
        " && {params.slotbench} collect {params.config:q}"
        " && {params.slotbench} report --single-file {params.config:q}) > {log:q} 2>&1"


use rule report as complete_report with:
    input:
        unpack(report_input(lambda wildcards: RECORDS)),
    message:
        f"draw {PAGES}"


ruleorder: complete_report > report
