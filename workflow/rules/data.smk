# Real data are no input here: `sgenet prepare` itself finds what changed in them. A checkpoint, because the fingerprint of
# the data decides what is trained: data that were moved or checked again re-run no training.
checkpoint prepare_data:
    input:
        **request(lambda wildcards: WORKFLOW.request(MADE.data(Task(wildcards.task)))),
    output:
        manifest=DATA / "{task}.json",
        sheet=report(
            DATA / "{task}.png",
            caption="../report/data.rst",
            category="Data",
            labels={"task": "{task}"},
        ),
        data=directory(DATA / "{task}"),
    log:
        paths.log(SCALE, "prepare/{task}"),
    priority: 1  # first: for all cores, it would wait until trainings end
    threads: lambda wildcards: RESOURCES.machine_threads()
    resources:
        **RESOURCES.preparation(),
    params:
        scale=SCALE,
    message:
        "prepare the data for {wildcards.task}"
    shell:
        logged(
            "SGENET_CORES={threads} sgenet prepare {wildcards.task} --scale {params.scale:q}"
        )
