rule complexity:
    output:
        report(
            RESULTS / "complexity.json",
            caption="../report/complexity.rst",
            category="Networks",
            labels={"content": "parameters and operations"},
        ),
    log:
        paths.log(SCALE, "complexity"),
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
        models=WORKFLOW.networks(),
    message:
        "count parameters and operations of the full-size models"
    shell:
        logged("sgenet complexity --scale {params.scale:q}")


rule latency:
    output:
        paths.latency(SCALE),
    log:
        paths.log(SCALE, "latency"),
    priority: 1  # first, while nothing has to end for it
    conda:
        "../../environment.yml"
    threads: workflow.cores  # so that nothing else runs
    resources:
        gpu=WORKFLOW.gpus,
    params:
        scale=SCALE,
        how=canonical(
            REPLICATION.scale.model_dump(include={"latency", "threads", "device"})
        ),
        models=WORKFLOW.networks(timed=True),
        against=canonical(REPLICATION.plain_of()),
    message:
        "time the full-size models"
    shell:
        logged("sgenet latency --scale {params.scale:q}")


# Made by this rule alone: a page that was built from a part of the results, after a failure or by hand, does not count.
REPORT_COMPLETE = paths.log(SCALE, "report").with_suffix(".complete")


rule report:
    input:
        WORKFLOW.evaluations(),
        complexity=rules.complexity.output,
        data=expand(
            DATA / "{task}.{kind}", task=REPLICATION.tasks, kind=["json", "png"]
        ),
        histories=[
            path.with_name(paths.HISTORY)
            for task in TASKS
            for path in WORKFLOW.trainings(task)
        ],
        tables=[f"params/tables/{table.id}.yaml" for table in REPLICATION.tables],
        sources="params/sources.yaml",
        claims="params/claims.yaml",
    output:
        page=report(
            f"reports/{SCALE}/index.html",
            caption="../report/page.rst",
            category="Report",
            labels={"content": "page", "scale": SCALE},
        ),
        comparison=report(
            f"reports/{SCALE}/comparison.json",
            caption="../report/comparison.rst",
            category="Report",
            labels={"content": "all cells", "scale": SCALE},
        ),
        metrics=report(
            f"reports/{SCALE}/metrics.json",
            caption="../report/metrics.rst",
            category="Report",
            labels={"content": "reproduced values", "scale": SCALE},
        ),
        curves=[
            report(
                f"reports/{SCALE}/curves/{task}.csv",
                caption="../report/curves.rst",
                category="Training curves",
                labels={"task": task},
            )
            for task in TASKS
        ],
        exports=[
            report(
                f"reports/{SCALE}/tables/{table.id}.{kind}",
                caption="../report/tables.rst",
                category="Tables",
                labels={"table": table.id, "format": kind},
            )
            for table in REPLICATION.tables
            for kind in ["csv", "md", "tex"]
        ],
        complete=touch(REPORT_COMPLETE),
    log:
        paths.log(SCALE, "report"),
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
        report=canonical(REPLICATION.pipeline.report.plain()),
        seeds=REPLICATION.pipeline.seeds,
        # functions, since Snakemake takes {words} in a text for wildcards
        description=lambda wildcards: REPLICATION.scale.description,
        known=lambda wildcards: sorted(
            path.stem for path in Path("params/tables").glob("*.yaml")
        ),
    message:
        "build reports/{SCALE}/index.html"
    shell:
        logged("sgenet report --scale {params.scale:q}")
