# What happens around a workflow: before it starts, and when it has succeeded or failed.
import signal
import subprocess
from functools import partial

STOPPED = []  # signals that ask this workflow to stop


def make_folders():
    """Folders that DVC expects even where no run of a task was asked for."""
    for folder in TASKS:
        (RESULTS / folder).mkdir(parents=True, exist_ok=True)


def note_signals():
    """Remember that the workflow was stopped: to its hooks that looks as if a job had failed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        handle = signal.getsignal(number)
        if callable(handle):
            signal.signal(number, partial(note_signal, handle))


def note_signal(handle, number, frame):
    STOPPED.append(number)
    handle(number, frame)


def report_partially():
    """Build the report from what is finished, where it was asked for and a failure kept it from being built.

    `dvc repro` asks for it at its end; behind a stage that failed it never gets there.
    """
    asked = any(job.rule.name == "report" for job in workflow.dag.jobs)
    staged = (
        "DVC_STAGE" in os.environ and "prepare" not in workflow.dag_settings.targets
    )
    if STOPPED or not (asked or staged):
        return
    REPORT_COMPLETE.unlink(missing_ok=True)  # so that the next run builds it whole
    shell("sgenet report --partial --scale {SCALE:q} || true")


def record_with_dvc():
    """Bring dvc.lock up to date with what Snakemake made, so that `dvc repro` has nothing left to do."""
    from sgenet import params

    whole = (
        set(workflow.dag_settings.targets or ["all"]) == {"all"}
        and not workflow.dag_settings.until
    )
    asked = params.load_pipeline()["scale"] == SCALE and not config
    if whole and asked and "DVC_STAGE" not in os.environ and Path(".dvc").is_dir():
        dvc = Path(sys.executable).with_name("dvc")
        if subprocess.run(
            [dvc, "commit", "--force", "--quiet"], check=False
        ).returncode:
            print(
                "dvc.lock is not up to date: `dvc commit --force` failed, see above",
                file=sys.stderr,
            )
