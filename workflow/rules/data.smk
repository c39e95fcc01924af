rule prepare_data:
    output:
        manifest=DATA / "{task}.json",
        sheet=DATA / "{task}.png",
        data=directory(DATA / "{task}"),
    log:
        LOGS / "prepare" / "{task}.log",
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
        settings=lambda wildcards: canonical(REPLICATION.scale["data"][wildcards.task]),
    message:
        "prepare the data for {wildcards.task}"
    shell:
        "sgenet prepare {wildcards.task} --scale {params.scale:q} > {log} 2>&1"
