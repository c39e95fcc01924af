def start_of(wildcards):
    """Weights that the detector's backbone starts from: its classifier's best epoch, of the same seed."""
    start = run_of("detection", wildcards).starts_from
    return paths.training(SCALE, start, int(wildcards.seed)) / "best.safetensors"


rule train_detector:
    input:
        manifest=DATA / "detection.json",
        data=DATA / "detection",
        start=start_of,
    output:
        last=RESULTS / "detection" / "{name}" / "seed-{seed}" / "last.safetensors",
        history=RESULTS / "detection" / "{name}" / "seed-{seed}" / "history.csv",
        training=RESULTS / "detection" / "{name}" / "seed-{seed}" / "training.json",
    params:
        settings=settings("detection"),
    threads: REPLICATION.scale["threads"]
    resources:
        gpu=gpus(),
    log:
        LOGS / "train" / "detection" / "{name}-seed-{seed}.log",
    message:
        "train detection/{wildcards.name}, seed {wildcards.seed}"
    shell:
        "sgenet train detection/{wildcards.name:q} --scale {SCALE} --seed {wildcards.seed} > {log:q} 2>&1"


rule evaluate_detector:
    input:
        manifest=DATA / "detection.json",
        data=DATA / "detection",
        last=rules.train_detector.output.last,
        training=rules.train_detector.output.training,
    output:
        metrics=RESULTS / "evaluation" / "detection" / "{name}" / "seed-{seed}" / "metrics.json",
        detections=RESULTS / "evaluation" / "detection" / "{name}" / "seed-{seed}" / "detections.json",
        matches=RESULTS / "evaluation" / "detection" / "{name}" / "seed-{seed}" / "matches.npz",
    threads: REPLICATION.scale["threads"]
    resources:
        gpu=gpus(),
    log:
        LOGS / "evaluate" / "detection" / "{name}-seed-{seed}.log",
    message:
        "evaluate detection/{wildcards.name}, seed {wildcards.seed}"
    shell:
        "sgenet evaluate detection/{wildcards.name:q} --scale {SCALE} --seed {wildcards.seed} > {log:q} 2>&1"
