# Of real data only the json files are inputs here; the step itself tells which images changed. A checkpoint, because the
# fingerprint of what it finds decides what is trained: data that moved, or were checked once more, train nothing.
checkpoint prepare_data:
    input:
        annotations=annotations,
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
        settings=data_settings,
    message:
        "prepare the data for {wildcards.task}"
    shell:
        "sgenet prepare {wildcards.task} --scale {params.scale:q} > {log} 2>&1"
