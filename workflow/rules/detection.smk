rule train_detector:
    input:
        manifest=manifest_of("detection"),
        data=ancient(DATA / "detection"),
        start=start_of,
    output:
        last=RESULTS / "detection" / "{name}" / "seed-{seed}" / "last.safetensors",
        history=RESULTS / "detection" / "{name}" / "seed-{seed}" / "history.csv",
        training=RESULTS / "detection" / "{name}" / "seed-{seed}" / "training.json",
    log:
        LOGS / "train" / "detection" / "{name}-seed-{seed}.log",
    conda:
        "../../environment.yml"
    threads: training_threads()
    resources:
        gpu=gpus() * DEVICES,
    params:
        scale=SCALE,
        data=fingerprint("detection"),
        settings=settings("detection"),
    message:
        "train detection/{wildcards.name}, seed {wildcards.seed}"
    shell:
        "sgenet train detection/{wildcards.name:q} --scale {params.scale:q} --seed {wildcards.seed} > {log:q} 2>&1"


rule evaluate_detector:
    input:
        manifest=ancient(DATA / "detection.json"),
        data=ancient(DATA / "detection"),
        last=rules.train_detector.output.last,
        training=rules.train_detector.output.training,
    output:
        metrics=RESULTS
        / "evaluation"
        / "detection"
        / "{name}"
        / "seed-{seed}"
        / "metrics.json",
        detections=RESULTS
        / "evaluation"
        / "detection"
        / "{name}"
        / "seed-{seed}"
        / "detections.json",
        matches=RESULTS
        / "evaluation"
        / "detection"
        / "{name}"
        / "seed-{seed}"
        / "matches.npz",
    log:
        LOGS / "evaluate" / "detection" / "{name}-seed-{seed}.log",
    conda:
        "../../environment.yml"
    threads: REPLICATION.scale["threads"]
    resources:
        gpu=gpus(),
    params:
        scale=SCALE,
        settings=test_settings,
        area_limits=area_limits(),
    message:
        "evaluate detection/{wildcards.name}, seed {wildcards.seed}"
    shell:
        "sgenet evaluate detection/{wildcards.name:q} --scale {params.scale:q} --seed {wildcards.seed} > {log:q} 2>&1"
