# From the path of a cell's record to what its job needs: inputs, options, memory, time.

GPUS = gpu_lease.devices()
SHORT_MINUTES = 30
STORED = workflow.storage_settings.default_storage_provider is not None
WEIGHTS = {"weights": directory("results/{run}/cells/{cell}")} if STORED else {}


@functools.cache
def cell_at(path):
    return Cell.from_path(f"{path}.json")


def cell_of(wildcards):
    return cell_at(wildcards.cell)


@functools.cache
def plan_of(run):
    """A cell may be asked for by its path below any run, whatever the config says."""
    return PLAN if run == RUN.run else Plan(RUN.model_copy(update={"run": run}), PLAN.results)


def record_of(wildcards):
    return plan_of(wildcards.run).record(cell_of(wildcards))


def reason_of(wildcards):
    return plan_of(wildcards.run).reason(cell_of(wildcards))


def recipe_of(wildcards):
    return recipes.of(replace(cell_of(wildcards), seed=0))


def threads_of(wildcards):
    return recipe_of(wildcards).threads


def mem_mb_of(wildcards, attempt):
    return attempt * resources.mem_mb(cell_of(wildcards))


def limit_memory():
    """Together, local cells ask for no more than the machine has, unless the command line has a limit of its own. Called
    where Snakemake knows already whether cells are local; a limit here would hold back what a cluster can do."""
    if workflow.local_exec and "mem_mb" not in workflow.global_resources:
        workflow.global_resources["mem_mb"] = resources.machine_mb()


def runtime_of(wildcards, attempt):
    return attempt * resources.minutes(cell_of(wildcards))


def group_of(wildcards):
    """On a cluster, short cells share a job: profiles say how many."""
    short = not workflow.local_exec and resources.minutes(cell_of(wildcards)) <= SHORT_MINUTES
    return "short" if short else None


def priority_of(wildcards):
    """Seed 0 of every comparison before seed 1, as `slotbench run` trains them."""
    return -cell_of(wildcards).seed


def asked_for(path):
    """Whether the command line has this record made again: `--forcerun train`, or its path."""
    return bool({"train", str(path)} & set(workflow.dag_settings.forcerun))


def needed_by(wildcards, needed):
    """What a cell is trained from. For a record that stands it is ancient, and need not be there: a clone writes all
    files anew, so times say nothing, and lacks data. What no longer stands has a newer input that says so."""
    limit_memory()
    record, reason = record_of(wildcards), reason_of(wildcards)
    needed = {"data": f"data/{stored(cell_of(wildcards).dataset)}.safetensors"} | needed
    # Snakemake does not ask whether a job is forced if one that it depends on runs: its input must tell.
    again = reason or ("parent" in needed and asked_for(needed["parent"]))
    inputs = {name: path if again else ancient(path) for name, path in needed.items() if again or Path(path).exists()}
    return inputs | (
        {"due": due(f"{wildcards.run}/{wildcards.cell}", record, reason)} if reason and record.exists() else {}
    )


def train_input(wildcards):
    return needed_by(wildcards, {})


def finetune_input(wildcards):
    """The parent's record too, and on object storage its weights."""
    parent = parent_of(record_of(wildcards))
    return needed_by(wildcards, {"parent": str(parent)} | ({"weights": str(parent.with_suffix(""))} if STORED else {}))


def options_of(wildcards, input, resources):
    """What `slotbench train` is told, but for the record."""
    options = vars(cell_of(wildcards)).copy()
    options["gpu-share"] = resources.gpu_share if resources.gpu else 0
    # A record that stands needs neither to be there.
    if "data" in input.keys():
        options["data-dir"] = Path(input.data).parent
    if "parent" in input.keys():
        options["parent"] = input.parent
    return shlex.join(f"--{name}={value}" for name, value in options.items())


def why(wildcards, input):
    """In brackets, for the message. A function of `input` is no trigger: Snakemake compares only the other parameters
    with those of the last time."""
    reason = reason_of(wildcards)
    return f" ({reason})" if reason else ""
