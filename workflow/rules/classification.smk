from functools import partial


rule train_classifier:
    input:
        **request(
            partial(WORKFLOW.training, Task.CLASSIFICATION), [Task.CLASSIFICATION]
        ),
        manifest=ancient(DATA / "classification.json"),
        data=ancient(DATA / "classification"),
    output:
        **paths.trained_files(SCALE, "classification/{name}", "{seed}"),
    log:
        paths.run_log(SCALE, "train", "classification/{name}", "{seed}"),
    threads: WORKFLOW.training_threads
    resources:
        **RESOURCES.training(Task.CLASSIFICATION),
    params:
        scale=SCALE,
        launcher=lambda wildcards: RESOURCES.launcher(),
    message:
        f"train classification/{{wildcards.name}}, seed {{wildcards.seed}}{WORKFLOW.on_devices}"
    shell:
        logged(
            "{params.launcher}sgenet train classification/{wildcards.name:q} --scale {params.scale:q} --seed {wildcards.seed}"
        )


rule evaluate_classifier:
    input:
        **request(
            partial(WORKFLOW.evaluation, Task.CLASSIFICATION), [Task.CLASSIFICATION]
        ),
        manifest=ancient(DATA / "classification.json"),
        data=ancient(DATA / "classification"),
    output:
        **reported(paths.evaluated_files(SCALE, "classification/{name}", "{seed}")),
    log:
        paths.run_log(SCALE, "evaluate", "classification/{name}", "{seed}"),
    threads: REPLICATION.scale.threads
    resources:
        **RESOURCES.evaluation(Task.CLASSIFICATION),
    params:
        scale=SCALE,
    message:
        "evaluate classification/{wildcards.name}, seed {wildcards.seed}"
    shell:
        logged(
            "sgenet evaluate classification/{wildcards.name:q} --scale {params.scale:q} --seed {wildcards.seed}"
        )


rule evaluate_released:
    input:
        **request(WORKFLOW.released, [Task.CLASSIFICATION]),
        manifest=ancient(DATA / "classification.json"),
        data=ancient(DATA / "classification"),
        weights=ancient(str(paths.released("{name}"))),
    output:
        **paths.released_files(SCALE, "classification/{name}"),
    log:
        paths.log(SCALE, "evaluate/released/{name}"),
    threads: REPLICATION.scale.threads
    resources:
        **RESOURCES.evaluation(Task.CLASSIFICATION),
    params:
        scale=SCALE,
    message:
        "evaluate the released weights of {wildcards.name}"
    shell:
        logged(
            "sgenet evaluate classification/{wildcards.name:q} --released --scale {params.scale:q}"
        )


rule activations:
    input:
        **request(
            lambda wildcards: WORKFLOW.request(MADE.activations()),
            [Task.CLASSIFICATION],
        ),
        manifest=ancient(DATA / "classification.json"),
        data=ancient(DATA / "classification"),
    output:
        paths.activations(SCALE),
    log:
        paths.log(SCALE, "activations"),
    threads: REPLICATION.scale.threads
    resources:
        **RESOURCES.measurement(),
    params:
        scale=SCALE,
    message:
        f"measure activations before and after SGE, {FIGURES_RUN}"
    shell:
        logged("sgenet activations --scale {params.scale:q}")
