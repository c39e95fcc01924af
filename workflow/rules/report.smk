rule complexity:
    input:
        **request(lambda wildcards: WORKFLOW.request(MADE.complexity())),
    output:
        report(
            RESULTS / "complexity.json",
            caption="../report/complexity.rst",
            category="Networks",
            labels={"content": "parameters and operations"},
        ),
    log:
        paths.log(SCALE, "complexity"),
    resources:
        **RESOURCES.small(),
    params:
        scale=SCALE,
    message:
        "count parameters and operations of the full-size models"
    shell:
        logged("sgenet complexity --scale {params.scale:q}")


rule latency:
    input:
        **request(lambda wildcards: WORKFLOW.request(MADE.latency())),
    output:
        paths.latency(SCALE),
    log:
        paths.log(SCALE, "latency"),
    priority: 1  # first, while nothing has to end for it
    threads: lambda wildcards: RESOURCES.machine_threads()  # so that nothing else runs
    resources:
        **RESOURCES.measurement(alone=True),
    params:
        scale=SCALE,
    message:
        "time the full-size models"
    shell:
        logged("sgenet latency --scale {params.scale:q}")


rule report:
    input:
        **request(lambda wildcards: WORKFLOW.report(), REPLICATION.tasks),
        data=ancient(
            expand(
                DATA / "{task}.{kind}", task=REPLICATION.tasks, kind=["json", "png"]
            )
        ),
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
    log:
        paths.log(SCALE, "report"),
    resources:
        **RESOURCES.small(),
    params:
        scale=SCALE,
    message:
        "build reports/{SCALE}/index.html"
    shell:
        logged("sgenet report --scale {params.scale:q}")
