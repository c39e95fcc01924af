# What happens around a workflow: before it starts, and when it has succeeded or failed.
import atexit
import signal
import threading
import time
from contextlib import suppress
from functools import partial

from sgenet.pipeline import prune, readiness, recording
from sgenet.runtime import fork_server, locks, processes
from sgenet.training import devices

CANCELLING = 60  # seconds in which cancelled jobs end
STOPPED = []  # signals that ask this workflow to stop
TARGETS = {
    "train_classifier": "classify",
    "train_detector": "detect",
    "evaluate_classifier": "evaluate",
    "evaluate_detector": "evaluate",
}
LOCKED = []  # the lock of this checkout, once this workflow has it


def be_alone():
    """Refuse to run while another Snakemake runs in this checkout; end when the DVC that runs a stage is gone.

    Locks that do not work are found before they are needed. On a cluster, Slurm's job list takes their place.
    """
    working = locks.work_in(locks.CHECKOUT.parent)
    if not (working or workflow.local_exec):
        os.environ[locks.NO_LOCKS] = "1"  # the owners that lock files name decide
    try:
        LOCKED.append(locks.acquire(locks.CHECKOUT, "this checkout"))
    except InputError as error:
        sys.exit(str(error))
    if not working and workflow.local_exec:
        sys.exit(
            f"{locks.CHECKOUT}: another process does not see that it is locked, expected a file system with locks: "
            "use a local disk"
        )
    if dvc := processes.dvc_of_stage():
        processes.end_with(dvc)


def choose_processes():
    """Prepare where the steps run: in forks of one process that has imported what they need, or in jobs of a cluster.

    Jobs that a killed workflow has left are cancelled. Their trainings continue from the last checkpoint, in jobs of this
    workflow.
    """
    if workflow.local_exec:
        if not WORKFLOW.gpus:
            os.environ.setdefault("SGENET_WARM", fork_server.folder_of(os.getpid()))
        return
    if "DVC_STAGE" in os.environ:  # with the limits of profiles/default too
        sys.exit(
            "dvc repro: found jobs for a cluster, expected `snakemake --workflow-profile profiles/slurm` before it: "
            "dvc repro then records what that made"
        )
    os.environ.update({slurm.CLUSTER: "1", "SGENET_WARM": ""})
    try:
        cancel_jobs(CANCELLING)
    except InputError as error:
        sys.exit(str(error))


def cancel_jobs(patience):
    """Cancel the jobs of this checkout, and report those that do not end."""
    if not (left := slurm.jobs_of_checkout()):
        return
    print(
        f"cancelling {len(left)} jobs of this checkout that are in Slurm",
        file=sys.stderr,
    )
    if left := slurm.cancel_checkout(patience):
        print(
            f"Slurm jobs {', '.join(left)} have not ended after {patience} seconds; what they train waits for them",
            file=sys.stderr,
        )


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
    if workflow.local_exec:
        handle(number, frame)
    elif len(STOPPED) == 1:
        # Snakemake would wait for its jobs after SIGTERM; now it cancels them. But it ends only after its next look at
        # them, in up to three minutes.
        threading.Thread(target=end_cancelled, daemon=True).start()
        raise KeyboardInterrupt
    else:
        slurm.cancel(slurm.jobs_of_checkout())
        os._exit(1)


def end_cancelled():
    """End this workflow as soon as its jobs have ended, and no further one is being submitted."""
    while processes.runs_below("sbatch"):
        time.sleep(0.1)
    cancel_submitted()
    os._exit(1)


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


def has_executed():
    """Whether this workflow has ended by itself, and was neither listed, drawn, touched, unlocked nor a dry run."""
    executed = workflow.execution_settings is not None
    return executed and not (workflow.dryrun or workflow.touch or STOPPED)


def warn_of_until():
    """State that `--until` has left missing results out.

    Once the data are prepared, Snakemake 9.27 looks at the DAG again without what follows these rules, and then takes
    none of their missing outputs for wanted.
    """
    until = set(workflow.dag_settings.until) & TARGETS.keys()
    if until and has_executed():
        current = WORKFLOW.stages()
        for target in sorted({TARGETS[each] for each in until}):
            if not current[target]:
                print(
                    f"--until: not everything is made, expected the target: snakemake {target}",
                    file=sys.stderr,
                )


def record_with_dvc():
    """Record what is current, also where a workflow that was killed could not, and where nothing was left to be done."""
    if has_executed():
        try:
            if not LOCKED:
                LOCKED.append(locks.acquire(locks.CHECKOUT, "this checkout"))
            recording.record(WORKFLOW)
        except locks.InUseError:
            pass  # the other workflow records what it makes
        except (InputError, OSError) as error:
            print(f"dvc.lock: {errors.explain(error) or error}", file=sys.stderr)


def cancel_submitted():
    """Cancel what is left of a workflow that was stopped: a job may have been submitted at that moment."""
    if STOPPED and not workflow.local_exec:
        try:
            cancel_jobs(CANCELLING)
        except InputError as error:
            print(error, file=sys.stderr)


def remove_checkpoints():
    """Remove the checkpoints of trainings that are recorded as finished: jobs of a cluster keep theirs until then."""
    if has_executed() and not workflow.local_exec:
        with suppress(InputError, OSError):  # in use; the next workflow removes them
            if not LOCKED:
                LOCKED.append(locks.acquire(locks.CHECKOUT, "this checkout"))
            prune.remove_finished(WORKFLOW.replication)


def lift_rate_limit():
    """Start jobs on this machine as soon as they can.

    With a limit of jobs a second, Snakemake 9.27 schedules once more a second for each job that has ended: after 150 jobs
    that took a third of a core. A limit other than the default one stays.
    """
    settings = workflow.scheduling_settings
    limit = getattr(settings, "max_jobs_per_timespan", None)
    if workflow.local_exec and limit and (limit.max_jobs, limit.timespan) == (100, 1):
        settings.max_jobs_per_timespan = None


def use_all_gpus():
    """Run jobs on all GPUs of this machine at a time, unless `--resources gpu=N` gives another number.

    Each training locks its own GPUs.
    """
    if not on_cluster() and WORKFLOW.gpus and "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", devices.visible())


if workflow.is_main_process:
    lift_rate_limit()
    use_all_gpus()
    atexit.register(warn_unready)
    atexit.register(warn_of_until)
    atexit.register(record_with_dvc)
    atexit.register(remove_checkpoints)
    atexit.register(cancel_submitted)
