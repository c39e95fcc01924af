# What happens around a workflow: before it starts, and when it has succeeded or failed.
import atexit
import signal
import subprocess
from functools import partial

from sgenet import errors
from sgenet.runtime import locks, processes

STOPPED = []  # signals that ask this workflow to stop
UNRECORDED = Path(
    ".snakemake/sgenet-unrecorded"
)  # while dvc.lock may tell of less than was made


def be_alone():
    """Refuse to work beside another Snakemake or DVC in this checkout; end when the DVC that runs a stage is gone."""
    dvc = processes.dvc_of_stage()
    try:
        locks.acquire(locks.CHECKOUT, "this checkout")
        other = dvc or processes.running_dvc(Path(), patience=3)
        if other != dvc:
            raise InputError(
                f"this checkout is in use by process {other}, of DVC; wait for it, or end it"
            )
    except InputError as error:
        sys.exit(str(error))
    if dvc:
        processes.end_with(dvc)
    else:
        UNRECORDED.touch()


def make_folders():
    """Folders that DVC expects even where no run of a task was asked for."""
    for folder in TASKS:
        (RESULTS / folder).mkdir(parents=True, exist_ok=True)


def note_signals():
    """Stop the steps too when the workflow is to stop, and remember it: to its hooks it looks as if a job had failed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        handle = signal.getsignal(number)
        if callable(handle):
            signal.signal(number, partial(note_signal, handle))


def note_signal(handle, number, frame):
    if not STOPPED:
        print("stopping; the same command continues", file=sys.stderr)
        processes.stop_steps()
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


def record_jobs():
    """Write beside results how they were made, so that another checkout can tell whether they are what it wants."""
    try:
        adopt.record(workflow.dag.jobs, workflow.persistence)
    except (InputError, OSError) as error:
        told = errors.explain(error) or error
        print(f"how results were made is not recorded: {told}", file=sys.stderr)


def record_with_dvc():
    """Update dvc.lock, where DVC is in use, to what Snakemake made, so that `dvc repro` has nothing left to do.

    The first `dvc repro` creates it. A checkout in which nobody uses DVC has neither the file nor a second copy of its
    results in DVC's cache.
    """
    from sgenet.config import params

    if not (Path("dvc.lock").exists() and Path(".dvc").is_dir()):
        UNRECORDED.unlink(missing_ok=True)
        return
    whole = (
        set(workflow.dag_settings.targets or ["all"]) == {"all"}
        and not workflow.dag_settings.until
    )
    asked = params.load_pipeline().scale == SCALE and not config
    if whole and asked and "DVC_STAGE" not in os.environ:
        processes.running_dvc(Path(), patience=3)  # removes what a killed one left
        dvc = Path(sys.executable).with_name("dvc")
        if subprocess.run([dvc, "commit", "--force"], check=False).returncode:
            print(
                "dvc.lock is not up to date: `dvc commit --force` failed, see above",
                file=sys.stderr,
            )
        else:
            UNRECORDED.unlink(missing_ok=True)


def record_after_all():
    """Record what a workflow made that was killed before it could, now that nothing is left to be made."""
    dag = workflow._dag  # none where Snakemake ended before it looked
    if (
        UNRECORDED.exists()
        and dag is not None
        and len(dag) == 0
        and not workflow.dryrun
    ):
        record_jobs()
        record_with_dvc()


if workflow.is_main_process:
    atexit.register(record_after_all)
