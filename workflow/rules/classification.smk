rule train_classifier:
    input:
        manifest=manifest_of("classification"),
        data=ancient(DATA / "classification"),
    output:
        best=RESULTS / "classification" / "{name}" / "seed-{seed}" / "best.safetensors",
        last=RESULTS / "classification" / "{name}" / "seed-{seed}" / "last.safetensors",
        history=RESULTS / "classification" / "{name}" / "seed-{seed}" / "history.csv",
        training=RESULTS / "classification" / "{name}" / "seed-{seed}" / "training.json",
    log:
        paths.run_log(SCALE, "train", "classification/{name}", "{seed}"),
    conda:
        "../../environment.yml"
    threads: training_threads()
    resources:
        gpu=gpus() * DEVICES,
    params:
        scale=SCALE,
        data=fingerprint("classification"),
        settings=settings("classification"),
    message:
        "train classification/{wildcards.name}, seed {wildcards.seed}"
    shell:
        logged(
            "sgenet train classification/{wildcards.name:q} --scale {params.scale:q} --seed {wildcards.seed}"
        )


rule evaluate_classifier:
    input:
        manifest=ancient(DATA / "classification.json"),
        data=ancient(DATA / "classification"),
        best=rules.train_classifier.output.best,
        last=rules.train_classifier.output.last,
        history=rules.train_classifier.output.history,
        training=rules.train_classifier.output.training,
    output:
        metrics=report(
            paths.evaluation(SCALE, "classification/{name}", "{seed}")
            / "metrics.json",
            caption="../report/evaluation.rst",
            category="Evaluations",
            labels={"task": "classification", "run": "{name}", "seed": "{seed}"},
        ),
        timing=paths.evaluation(SCALE, "classification/{name}", "{seed}")
        / "timing.json",
        predictions=RESULTS
        / "evaluation"
        / "classification"
        / "{name}"
        / "seed-{seed}"
        / "predictions.npz",
    log:
        paths.run_log(SCALE, "evaluate", "classification/{name}", "{seed}"),
    conda:
        "../../environment.yml"
    threads: REPLICATION.scale["threads"]
    resources:
        gpu=gpus(),
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
        metrics=paths.released_evaluation(SCALE, "classification/{name}"),
        timing=paths.released_evaluation(SCALE, "classification/{name}").with_name(
            "timing.json"
        ),
    log:
        paths.log(SCALE, "evaluate/released/{name}"),
    conda:
        "../../environment.yml"
    threads: REPLICATION.scale["threads"]
    resources:
        gpu=gpus(),
    params:
        scale=SCALE,
        data=fingerprint("classification"),
        settings=released_settings,
    message:
        "evaluate the released weights of {wildcards.name}"
    shell:
        logged(
            "sgenet evaluate classification/{wildcards.name:q} --released --scale {params.scale:q}"
        )


rule activations:
    input:
        manifest=ancient(DATA / "classification.json"),
        data=ancient(DATA / "classification"),
        best=paths.training(SCALE, FIGURES_RUN, 0) / "best.safetensors",
        training=paths.training(SCALE, FIGURES_RUN, 0) / "training.json",
    output:
        paths.activations(SCALE),
    log:
        paths.log(SCALE, "activations"),
    conda:
        "../../environment.yml"
    threads: REPLICATION.scale["threads"]
    resources:
        gpu=gpus(),
    params:
        scale=SCALE,
        figures=canonical(REPLICATION.scale["figures"]),
    message:
        f"measure activations before and after SGE, {FIGURES_RUN}, seed 0"
    shell:
        logged("sgenet activations --scale {params.scale:q}")
