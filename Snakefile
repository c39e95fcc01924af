# The replication of SGE: `snakemake --cores all`. params/pipeline.yaml defines what to run; one invocation may be
# changed with `--config scale=smoke seeds=3`.
from snakemake.utils import min_version

min_version("9.27")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/classification.smk"
include: "workflow/rules/detection.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/hooks.smk"


rule all:
    default_target: True
    input:
        rules.report.output,


rule prepare:
    input:
        expand(DATA / "{task}.json", task=REPLICATION.tasks),


rule classify:
    input:
        records(MADE.trainings(Task.CLASSIFICATION)),


rule detect:
    input:
        records(MADE.trainings(Task.DETECTION)),


rule evaluate:
    input:
        records(MADE.measurements()),


onstart:
    be_alone()
    choose_processes()
    refuse_unready()
    note_signals()
    make_folders()


onerror:
    report_partially()
