# Datasets: each fetched and verified once, and stored as one file that every cell reads.


localrules:
    fetch,


rule fetch:
    output:
        "data/{dataset}.safetensors",
    log:
        "logs/fetch/{dataset}.log",
    benchmark:
        "logs/fetch/{dataset}.tsv"
    conda:
        "../../environment.yml"
    params:
        slotbench=program,
    message:
        "fetch {wildcards.dataset}"
    shell:
        '{params.slotbench} fetch {wildcards.dataset} --data-dir "$(dirname {output:q})" > {log:q} 2>&1'
