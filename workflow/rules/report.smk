rule complexity:
    output:
        RESULTS / "complexity.json",
    log:
        LOGS / "complexity.log",
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
        models=[
            canonical([run.id, run.model, settings])
            for run, settings in REPLICATION.full_size()
        ],
    message:
        "count parameters and operations of the full-size models"
    shell:
        "sgenet complexity --scale {params.scale:q} > {log} 2>&1"


rule latency:
    output:
        paths.latency(SCALE),
    log:
        LOGS / "latency.log",
    conda:
        "../../environment.yml"
    threads: workflow.cores  # so that nothing runs beside it
    resources:
        gpu=gpus(),
    params:
        scale=SCALE,
        how=canonical(
            [REPLICATION.scale[key] for key in ("latency", "threads", "device")]
        ),
        models=[
            canonical([run.id, run.model, settings])
            for run, settings in REPLICATION.full_size()
            if run.task == "complexity"
        ],
        against=canonical(REPLICATION.plain_of()),
    message:
        "time the full-size models"
    shell:
        "sgenet latency --scale {params.scale:q} > {log} 2>&1"


rule report:
    input:
        evaluations(),
        complexity=rules.complexity.output,
        data=expand(DATA / "{task}.{kind}", task=tasks(), kind=["json", "png"]),
        histories=[f"{path}/history.csv" for task in TASKS for path in trainings(task)],
        tables=[f"params/tables/{table.id}.yaml" for table in REPLICATION.tables],
        sources="params/sources.yaml",
        claims="params/claims.yaml",
    output:
        page=f"reports/{SCALE}/index.html",
        comparison=f"reports/{SCALE}/comparison.json",
        metrics=f"reports/{SCALE}/metrics.json",
        curves=expand(f"reports/{SCALE}/curves/{{task}}.csv", task=TASKS),
    log:
        LOGS / "report.log",
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
        report=canonical(REPLICATION.pipeline["report"]),
        seeds=REPLICATION.pipeline["seeds"],
        description=REPLICATION.scale["description"],
        known=sorted(path.stem for path in Path("params/tables").glob("*.yaml")),
    message:
        "build reports/{SCALE}/index.html"
    shell:
        "sgenet report --scale {params.scale:q} > {log} 2>&1"
