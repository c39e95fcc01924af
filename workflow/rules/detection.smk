rule train_detector:
    input:
        **request(partial(WORKFLOW.training, Task.DETECTION), WORKFLOW.tasks_of),
        manifest=ancient(DATA / "detection.json"),
        data=ancient(DATA / "detection"),
    output:
        **paths.trained_files(SCALE, "detection/{name}", "{seed}"),
    log:
        paths.run_log(SCALE, "train", "detection/{name}", "{seed}"),
    threads: WORKFLOW.training_threads
    resources:
        **RESOURCES.training(Task.DETECTION),
    params:
        scale=SCALE,
        launcher=lambda wildcards: RESOURCES.launcher(),
    message:
        f"train detection/{{wildcards.name}}, seed {{wildcards.seed}}{WORKFLOW.on_devices}"
    shell:
        logged(
            "{params.launcher}sgenet train detection/{wildcards.name:q} --scale {params.scale:q} --seed {wildcards.seed}"
        )


rule evaluate_detector:
    input:
        **request(partial(WORKFLOW.evaluation, Task.DETECTION), WORKFLOW.tasks_of),
        manifest=ancient(DATA / "detection.json"),
        data=ancient(DATA / "detection"),
    output:
        **reported(paths.evaluated_files(SCALE, "detection/{name}", "{seed}")),
    log:
        paths.run_log(SCALE, "evaluate", "detection/{name}", "{seed}"),
    threads: REPLICATION.scale.threads
    resources:
        **RESOURCES.evaluation(Task.DETECTION),
    params:
        scale=SCALE,
    message:
        "evaluate detection/{wildcards.name}, seed {wildcards.seed}"
    shell:
        logged(
            "sgenet evaluate detection/{wildcards.name:q} --scale {params.scale:q} --seed {wildcards.seed}"
        )
