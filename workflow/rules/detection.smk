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
        paths.run_log(SCALE, "train", "detection/{name}", "{seed}"),
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
        logged(
            "sgenet train detection/{wildcards.name:q} --scale {params.scale:q} --seed {wildcards.seed}"
        )


rule evaluate_detector:
    input:
        manifest=ancient(DATA / "detection.json"),
        data=ancient(DATA / "detection"),
        last=rules.train_detector.output.last,
        training=rules.train_detector.output.training,
    output:
        metrics=report(
            paths.evaluation(SCALE, "detection/{name}", "{seed}") / "metrics.json",
            caption="../report/evaluation.rst",
            category="Evaluations",
            labels={"task": "detection", "run": "{name}", "seed": "{seed}"},
        ),
        timing=paths.evaluation(SCALE, "detection/{name}", "{seed}") / "timing.json",
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
        paths.run_log(SCALE, "evaluate", "detection/{name}", "{seed}"),
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
        logged(
            "sgenet evaluate detection/{wildcards.name:q} --scale {params.scale:q} --seed {wildcards.seed}"
        )
