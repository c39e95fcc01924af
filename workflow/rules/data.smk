rule prepare_data:
    output:
        manifest=DATA / "{task}.json",
        sheet=DATA / "{task}.png",
        data=directory(DATA / "{task}"),
    params:
        settings=lambda wildcards: REPLICATION.scale["data"][wildcards.task],
    log:
        LOGS / "prepare" / "{task}.log",
    message:
        "prepare the data for {wildcards.task}"
    shell:
        "sgenet prepare {wildcards.task} --scale {SCALE} > {log} 2>&1"
