# One cell to one record. Only the record is declared as output: Snakemake deletes what a failed job declared, and
# the weights beside it are what training goes on from. On object storage there is nothing beside it but what is declared.


rule train:
    input:
        unpack(train_input),
    output:
        **WEIGHTS,
        record="results/{run}/cells/{cell}.json",
    log:
        "logs/{run}/{cell}.log",
    benchmark:
        "logs/{run}/{cell}.tsv"
    wildcard_constraints:
        run="[^/]+",
        cell="([^/]+/){5}none/[^/]+",
    priority: priority_of
    group:
        group_of
    conda:
        "../../environment.yml"
    threads: threads_of
    resources:
        gpu=min(len(GPUS), 1),
        gpu_share=1,
        mem_mb=mem_mb_of,
        runtime=runtime_of,
    params:
        slotbench=program,
        options=options_of,
        why=why,
    message:
        "train {wildcards.run}/{wildcards.cell}{params.why}"
    shell:
        "{params.slotbench} train {params.options} --out={output.record:q} > {log:q} 2>&1"


# A rule of its own, since Snakemake does not expect a rule to depend on itself: `--until train` would wait for it in vain.
use rule train as finetune with:
    input:
        unpack(finetune_input),
    wildcard_constraints:
        run="[^/]+",
        cell="([^/]+/){5}(?!none/)[^/]+/[^/]+",
    message:
        "finetune {wildcards.run}/{wildcards.cell}{params.why}"
