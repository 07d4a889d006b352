# One cell to one record. Only the record is declared as output: Snakemake deletes what a failed job declared, and
# the weights beside it are what training goes on from. On object storage there is nothing beside it but what is declared.

GPUS = gpu_lease.devices()
SHORT_MINUTES = 30
STORED = workflow.storage_settings.default_storage_provider is not None
WEIGHTS = {"weights": directory("results/{run}/cells/{cell}")} if STORED else {}


@functools.cache
def cell_at(path):
    return Cell.from_path(f"{path}.json")


def cell_of(wildcards):
    return cell_at(wildcards.cell)


def recipe_of(wildcards):
    return recipes.of(replace(cell_of(wildcards), seed=0))


def threads_of(wildcards):
    return recipe_of(wildcards).threads


def mem_mb_of(wildcards, attempt):
    return attempt * resources.mem_mb(cell_of(wildcards))


def runtime_of(wildcards, attempt):
    return attempt * resources.minutes(cell_of(wildcards))


def group_of(wildcards):
    """On a cluster, short cells share a job: profiles say how many."""
    short = not workflow.local_exec and resources.minutes(cell_of(wildcards)) <= SHORT_MINUTES
    return "short" if short else None


def record_of(wildcards):
    return Path("results", wildcards.run, "cells", f"{wildcards.cell}.json")


def train_input(wildcards):
    """The data and the parent's record. For a record that stands they are ancient, and need not be there: a clone
    writes all files anew, so times say nothing, and lacks data. What no longer stands is forced, as Snakemake itself
    forces what an interrupted job left."""
    cell, record = cell_of(wildcards), record_of(wildcards)
    outdated = rerun.outdated(cell, record)
    workflow.dag.forcefiles.update(str(path) for path in outdated if path.exists())
    needed = {"data": f"data/{stored(cell.dataset)}.safetensors"}
    if cell.parent:
        needed["parent"] = str(provenance.parent_of(record))
        if STORED:
            needed["weights"] = str(provenance.parent_of(record).with_suffix(""))
    return {name: path if outdated else ancient(path) for name, path in needed.items() if outdated or Path(path).exists()}


def options_of(wildcards, input, resources):
    """What `slotbench train` is told, but for the record."""
    options = vars(cell_of(wildcards)).copy()
    options["gpu-share"] = resources.gpu_share if resources.gpu else 0
    # A record that stands needs neither to be there.
    if "data" in input.keys():
        options["data-dir"] = Path(input.data).parent
    if "parent" in input.keys():
        options["parent"] = input.parent
    return " ".join(f"--{name} {value}" for name, value in options.items())


rule train:
    input:
        unpack(train_input),
    output:
        "results/{run}/cells/{cell}.json",
        **WEIGHTS,
    log:
        "logs/{run}/{cell}.log",
    benchmark:
        "logs/{run}/{cell}.tsv"
    wildcard_constraints:
        run="[^/]+",
        cell="([^/]+/){6}[^/]+",
    group:
        group_of
    params:
        # A function of `input` is no trigger: Snakemake compares only the other params with those of the last time.
        options=options_of,
    threads: threads_of
    resources:
        gpu=min(len(GPUS), 1),
        gpu_share=1,
        mem_mb=mem_mb_of,
        runtime=runtime_of,
    shell:
        "slotbench train {params.options} --out {output[0]} > {log} 2>&1"
