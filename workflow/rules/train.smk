# One cell to one record. Only the record is declared as output: Snakemake deletes what a failed job declared, and
# the weights beside it are what training goes on from.

GPU = int(any(Path("/proc/driver/nvidia/gpus").glob("*")))


def cell_of(wildcards):
    return Cell.from_path(f"{wildcards.cell}.json")


def recipe_of(wildcards):
    return recipes.of(cell_of(wildcards))


def record_of(wildcards):
    return Path("results", wildcards.run, "cells", f"{wildcards.cell}.json")


def train_input(wildcards):
    """The data and the parent's record. For a record that stands they are ancient, and need not be there: a clone
    writes all files anew, so times say nothing, and lacks data. What no longer stands is forced, as Snakemake itself
    forces what an interrupted job left."""
    cell, record = cell_of(wildcards), record_of(wildcards)
    outdated = rerun.outdated(cell, record)
    workflow.dag.forcefiles.update(str(path) for path in outdated if path.exists())
    needed = {"data": f"data/{cell.dataset}.safetensors"}
    if cell.parent:
        needed["parent"] = str(provenance.parent_of(record))
    return {name: path if outdated else ancient(path) for name, path in needed.items() if outdated or Path(path).exists()}


rule train:
    input:
        unpack(train_input),
    output:
        "results/{run}/cells/{cell}.json",
    log:
        "logs/{run}/{cell}.log",
    benchmark:
        "logs/{run}/{cell}.tsv"
    wildcard_constraints:
        run="[^/]+",
        cell="([^/]+/){6}[^/]+",
    params:
        # Functions of `input` are no trigger: Snakemake compares only the other params with those of the last time.
        cell=lambda wildcards, input: cell_of(wildcards),
        parent=lambda wildcards, input: f"--parent {input.parent}" if "parent" in input.keys() else "",
    threads: lambda wildcards: recipe_of(wildcards).threads
    resources:
        gpu=GPU,
        mem_mb=lambda wildcards: 4000 if cell_of(wildcards).architecture == "lenet" else 12000,
        runtime=lambda wildcards: 30 + 5 * recipe_of(wildcards).epochs,
    shell:
        "slotbench train --dataset {params.cell.dataset} --architecture {params.cell.architecture}"
        " --selection {params.cell.selection} --k {params.cell.k} --finetune {params.cell.finetune}"
        " --seed {params.cell.seed} --recipe {params.cell.recipe} {params.parent} --out {output}"
        " --data-dir data > {log} 2>&1"
