rule train_classifier:
    input:
        manifest=manifest_of("classification"),
        data=ancient(DATA / "classification"),
    output:
        **paths.trained_files(SCALE, "classification/{name}", "{seed}"),
    log:
        paths.run_log(SCALE, "train", "classification/{name}", "{seed}"),
    conda:
        "../../environment.yml"
    threads: WORKFLOW.training_threads
    resources:
        gpu=WORKFLOW.gpus * DEVICES,
    params:
        scale=SCALE,
        data=WORKFLOW.fingerprint(Task.CLASSIFICATION),
        settings=WORKFLOW.settings(Task.CLASSIFICATION),
    message:
        "train classification/{wildcards.name}, seed {wildcards.seed}"
    shell:
        logged(
            "sgenet train classification/{wildcards.name:q} --scale {params.scale:q} --seed {wildcards.seed}"
        )


rule evaluate_classifier:
    input:
        **paths.trained_files(SCALE, "classification/{name}", "{seed}"),
        manifest=ancient(DATA / "classification.json"),
        data=ancient(DATA / "classification"),
    output:
        **reported(paths.evaluated_files(SCALE, "classification/{name}", "{seed}")),
    log:
        paths.run_log(SCALE, "evaluate", "classification/{name}", "{seed}"),
    conda:
        "../../environment.yml"
    threads: REPLICATION.scale.threads
    resources:
        gpu=WORKFLOW.gpus,
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
        manifest=manifest_of("classification"),
        data=ancient(DATA / "classification"),
        weights=str(paths.released("{name}")),
    output:
        **paths.released_files(SCALE, "classification/{name}"),
    log:
        paths.log(SCALE, "evaluate/released/{name}"),
    conda:
        "../../environment.yml"
    threads: REPLICATION.scale.threads
    resources:
        gpu=WORKFLOW.gpus,
    params:
        scale=SCALE,
        data=WORKFLOW.fingerprint(Task.CLASSIFICATION),
        settings=WORKFLOW.released_settings,
    message:
        "evaluate the released weights of {wildcards.name}"
    shell:
        logged(
            "sgenet evaluate classification/{wildcards.name:q} --released --scale {params.scale:q}"
        )


rule activations:
    input:
        **paths.trained_files(SCALE, FIGURES_RUN, 0),
        manifest=ancient(DATA / "classification.json"),
        data=ancient(DATA / "classification"),
    output:
        paths.activations(SCALE),
    log:
        paths.log(SCALE, "activations"),
    conda:
        "../../environment.yml"
    threads: REPLICATION.scale.threads
    resources:
        gpu=WORKFLOW.gpus,
    params:
        scale=SCALE,
        figures=canonical(REPLICATION.scale.figures.plain()),
    message:
        f"measure activations before and after SGE, {FIGURES_RUN}, seed 0"
    shell:
        logged("sgenet activations --scale {params.scale:q}")
