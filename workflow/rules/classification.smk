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
        LOGS / "train" / "classification" / "{name}-seed-{seed}.log",
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
        "sgenet train classification/{wildcards.name:q} --scale {params.scale:q} --seed {wildcards.seed} > {log:q} 2>&1"


rule evaluate_classifier:
    input:
        manifest=ancient(DATA / "classification.json"),
        data=ancient(DATA / "classification"),
        best=rules.train_classifier.output.best,
        last=rules.train_classifier.output.last,
        history=rules.train_classifier.output.history,
        training=rules.train_classifier.output.training,
    output:
        metrics=RESULTS
        / "evaluation"
        / "classification"
        / "{name}"
        / "seed-{seed}"
        / "metrics.json",
        predictions=RESULTS
        / "evaluation"
        / "classification"
        / "{name}"
        / "seed-{seed}"
        / "predictions.npz",
    log:
        LOGS / "evaluate" / "classification" / "{name}-seed-{seed}.log",
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
        "sgenet evaluate classification/{wildcards.name:q} --scale {params.scale:q} --seed {wildcards.seed} > {log:q} 2>&1"


rule evaluate_released:
    input:
        manifest=manifest_of("classification"),
        data=ancient(DATA / "classification"),
        weights=str(paths.released("{name}")),
    output:
        metrics=paths.released_evaluation(SCALE, "classification/{name}"),
    log:
        LOGS / "evaluate" / "released" / "{name}.log",
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
        "sgenet evaluate classification/{wildcards.name:q} --released --scale {params.scale:q} > {log:q} 2>&1"


rule activations:
    input:
        manifest=ancient(DATA / "classification.json"),
        data=ancient(DATA / "classification"),
        best=paths.training(SCALE, FIGURES_RUN, 0) / "best.safetensors",
        training=paths.training(SCALE, FIGURES_RUN, 0) / "training.json",
    output:
        paths.activations(SCALE),
    log:
        LOGS / "activations.log",
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
        "sgenet activations --scale {params.scale:q} > {log:q} 2>&1"
