# What happens around a workflow: before it starts, and when it has succeeded or failed.
import atexit
import signal
from functools import partial

from sgenet.pipeline import readiness, recording
from sgenet.runtime import locks, processes

STOPPED = []  # signals that ask this workflow to stop
LOCKED = []  # the lock of this checkout, once this workflow has it


def be_alone():
    """Refuse to run while another Snakemake runs in this checkout; end when the DVC that runs a stage is gone."""
    try:
        LOCKED.append(locks.acquire(locks.CHECKOUT, "this checkout"))
    except InputError as error:
        sys.exit(str(error))
    if dvc := processes.dvc_of_stage():
        processes.end_with(dvc)


def refuse_unready():
    """Refuse to start jobs that cannot run here, before any of them does: for lack of data, or of a GPU that is needed."""
    settings = workflow.dag_settings
    asked = set(settings.targets or settings.until or ["all"])
    if asked <= {"complexity", str(paths.complexity(SCALE))} or not workflow.local_exec:
        return
    trains = any(
        name not in ("prepare", "prepare_data") and not name.startswith("data/")
        for name in asked
    )
    if why := readiness.refuse(WORKFLOW, trains=trains):
        sys.exit(why)


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
    targets = set(workflow.dag_settings.targets) or {"all"}
    asked = {"all", "report"} & targets
    staged = "DVC_STAGE" in os.environ and "prepare" not in targets
    if not STOPPED and (asked or staged):
        shell("sgenet report --partial --scale {SCALE:q} || true")


def warn_unready():
    """State at the end of a dry run what jobs lack on this machine: they may run elsewhere, as on a cluster."""
    if workflow.dryrun and (why := readiness.refuse(WORKFLOW)):
        print(f"warning: {why}", file=sys.stderr)


def record_with_dvc():
    """Record what is current, also where a workflow that was killed could not, and where nothing was left to be done."""
    executed = (
        workflow.execution_settings is not None
    )  # neither listed, drawn nor unlocked
    if executed and not (workflow.dryrun or workflow.touch or STOPPED):
        try:
            if not LOCKED:
                locks.acquire(locks.CHECKOUT, "this checkout")
            recording.record(WORKFLOW)
        except locks.InUseError:
            pass  # the other workflow records what it makes
        except (InputError, OSError) as error:
            print(f"dvc.lock: {errors.explain(error) or error}", file=sys.stderr)


def lift_rate_limit():
    """Start jobs on this machine as soon as they can.

    With a limit of jobs a second, Snakemake 9.27 schedules once more a second for each job that has ended: after 150 jobs
    that took a third of a core. A limit other than the default one stays.
    """
    settings = workflow.scheduling_settings
    limit = getattr(settings, "max_jobs_per_timespan", None)
    if workflow.local_exec and limit and (limit.max_jobs, limit.timespan) == (100, 1):
        settings.max_jobs_per_timespan = None


if workflow.is_main_process:
    lift_rate_limit()
    atexit.register(warn_unready)
    atexit.register(record_with_dvc)
