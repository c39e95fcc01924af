rule train_classifier:
    input:
        manifest=DATA / "classification.json",
        data=DATA / "classification",
    output:
        best=RESULTS / "classification" / "{name}" / "seed-{seed}" / "best.safetensors",
        last=RESULTS / "classification" / "{name}" / "seed-{seed}" / "last.safetensors",
        history=RESULTS / "classification" / "{name}" / "seed-{seed}" / "history.csv",
        training=RESULTS / "classification" / "{name}" / "seed-{seed}" / "training.json",
    log:
        LOGS / "train" / "classification" / "{name}-seed-{seed}.log",
    conda:
        "../../environment.yml"
    threads: REPLICATION.scale["threads"]
    resources:
        gpu=gpus(),
    params:
        scale=SCALE,
        settings=settings("classification"),
    message:
        "train classification/{wildcards.name}, seed {wildcards.seed}"
    shell:
        "sgenet train classification/{wildcards.name:q} --scale {params.scale:q} --seed {wildcards.seed} > {log:q} 2>&1"


rule evaluate_classifier:
    input:
        manifest=DATA / "classification.json",
        data=DATA / "classification",
        best=rules.train_classifier.output.best,
        last=rules.train_classifier.output.last,
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
