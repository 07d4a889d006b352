# From a config to its report. The rules hold no logic: each calls one command of slotbench.
#   snakemake                         trains every cell of config/config.yaml, then renders report/<run>
#   snakemake --configfile FILE       the same for another config
#   snakemake report                  renders the records that there are; never trains

from snakemake.utils import min_version

min_version("9.0")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/cells.smk"
include: "workflow/rules/pages.smk"


rule all:
    input:
        RECORDS,  # a report that is there hides from Snakemake that a record is not
        f"report/{RUN.run}/index.html",
    message:
        f"{RUN.run}: {len(RECORDS)} records and report/{RUN.run}"


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/report.smk"
