"""Steps of the pipeline: each reads its inputs, writes its outputs atomically, and records their provenance."""

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sgenet.config import paths
from sgenet.config.model import validate
from sgenet.config.replication import Replication
from sgenet.config.runs import FIGURES_RUN, Run
from sgenet.config.tasks import Task
from sgenet.data.manifest import Manifest
from sgenet.errors import InputError
from sgenet.pipeline import learning
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.identity import Artifacts
from sgenet.provenance.origin import Making
from sgenet.provenance.records import write_record
from sgenet.provenance.results import (
    EvaluationRecord,
    Origins,
    ReleasedEvaluation,
    Timing,
    TrainingRecord,
    WeightsFile,
    read_training,
)
from sgenet.runtime.files import atomic_path, to_json, write_json
from sgenet.training import devices
from sgenet.training.devices import describe_device

_MAIN = ("top1", "top5", "ap", "ap50", "ap75", "mask_ap")  # metrics that an evaluation prints


def prepare(replication: Replication, task: str) -> None:
    """Make or check the data of a task: its folder, its manifest and a contact sheet."""
    from sgenet.data.contact_sheet import draw_contact_sheet
    from sgenet.data.folders import fresh_folder
    from sgenet.data.prepare import make_data
    from sgenet.data.splits import locate

    scale, settings = replication.scale_name, replication.scale.data.of(task)
    folder, place = paths.data_folder(scale, task), f"params/scales/{scale}.yaml: data.{task}.root"
    artifacts = Artifacts(replication)
    making = Making.of(artifacts, artifacts.data(Task(task)))
    path = making.artifact.record
    with atomic_path(path) as written, fresh_folder(folder) as target:
        cache, refused = paths.checked_images(scale, task), paths.refused_data(scale, task)
        manifest = make_data(target, settings, place, cache, refused)
        draw_contact_sheet(target, locate(manifest, settings, place), path.with_suffix(".png"))
        manifest = manifest.model_copy(update={"identity": making.identity})
        written.write_text(to_json(manifest.plain()), encoding="utf-8")
        path.unlink(missing_ok=True)  # the manifest must never describe older data
    counts = " + ".join(f"{entry.images:,}" for entry in manifest.splits.values())
    left_out = sum(manifest.defects.by_kind.values()) if manifest.defects else 0
    defects = f"; {left_out:,} defects, see {folder / 'defects.txt'}" if left_out else ""
    for remark in _remarks(manifest):
        print(f"{task}: {remark}")
    sheet = path.with_suffix(".png")
    print(f"{task}: {counts} images, {len(manifest.classes)} classes{defects}; contact sheet: {sheet}")


def _remarks(manifest: Manifest) -> list[str]:
    """What is printed of real data: images that are turned, and the remarks of the manifest."""
    turned = manifest.rotated or {}
    counts = " + ".join(f"{count:,} {split}" for split, count in turned.items())
    own = f"{counts} images are turned upright by their EXIF orientation"
    return [own] * any(turned.values()) + (manifest.remarks or [])


def train(replication: Replication, run: Run, seed: int) -> None:
    """Train a run with a seed, continuing where it stopped; writes weights, history.csv and training.json.

    If the scale sets several devices per run, one process per device trains it: of srun or torchrun, or started here.
    """
    scale, artifacts = replication.scale_name, Artifacts(replication)
    manifest, weights = _manifest(replication, run.task), _starting_weights(artifacts, run, seed)
    making = Making.of(artifacts, artifacts.training(run, seed))
    count = replication.scale.devices
    devices.join_step()
    device = acquire_device(replication, count)
    from sgenet.training import resume

    start = None if weights is None else artifacts.sha256(weights)
    of_run = f"{paths.TRIES}/{run.id}" if run.tried else run.id
    digest = artifacts.digest_of_checkpoints(making.artifact)
    folder = paths.resume_folder(scale, of_run, seed, digest, device, start)
    output = paths.training(scale, run.folder, seed)
    with resume.lock(folder) if devices.is_launcher() else nullcontext():
        if count > 1 and not devices.is_distributed():
            run.settings.micro_batches(count)
            arguments = ["train", run.id, "--scale", scale, "--seed", str(seed), *run.options]
            return devices.launch(arguments, count, device)
        devices.init_process_group(device)
        if not devices.rank():
            making = making.continued(folder / "sources.json", restart=not resume.has_checkpoint(folder))
        how = {"folder": folder, "output": output, "device": device, "weights": weights}
        started = _train(replication, run, manifest, seed=seed, **how)
        described = describe_device(device)
        devices.destroy_process_group()
        if devices.rank():
            return
        made = making.provenance(described, manifest.origin)
        epochs = sum(row["seconds"] for row in resume.read_history(output / paths.HISTORY))
        seconds = round(max(made.seconds or 0, epochs), 1)  # includes interrupted attempts
        given = WeightsFile(path=str(weights), sha256=str(start), use=started) if run.weights else None
        outputs = {"classes": manifest.classes, "category_ids": manifest.category_ids, "weights": given}
        times = {"devices": devices.world_size(), "seconds": seconds}
        write_record(making.artifact, TrainingRecord(**{**dict(made), **times, **outputs}).plain())
        resume.finish(folder)
        losses = [row["loss"] for row in resume.read_history(output / paths.HISTORY)]
        _remark(run, learning.judge(losses, {}, None, replication.pipeline.report.confidence))


def _train(replication: Replication, run: Run, manifest: Manifest, *, seed: int, **how: Any) -> str:
    """Train a run with the function of its task, which receives `how`; its learning curves are logged to W&B.

    Returns what was loaded of the weights that it starts from, in one sentence.
    """
    from sgenet.training.tracking import wandb_run

    if run.detector is None:
        from sgenet.classification import train as task_train
    else:
        from sgenet.detection import train as task_train  # type: ignore[no-redef]
    scale, name = replication.scale_name, " ".join([run.name, "seed", str(seed), *run.tried])
    tracking = replication.pipeline.wandb
    if devices.rank():
        tracking = tracking.model_copy(update={"mode": "disabled"})
    tables = _tables_of(replication, run)
    with wandb_run(tracking, name=name, scale=scale, task=run.task, tables=tables, config=run.identity) as log:
        return task_train.train(run, paths.data_folder(scale, run.task), manifest, seed=seed, log=log, **how)


def evaluate(replication: Replication, run: Run, seed: int) -> None:
    """Evaluate a trained run; writes metrics.json, timing.json, and predictions or detections; prints main metrics."""
    scale, artifacts = replication.scale_name, Artifacts(replication)
    artifact = artifacts.evaluation(run, seed)
    trained, manifest, training = _trained(replication, artifacts, artifact)
    making = Making.of(artifacts, artifact)
    device = acquire_device(replication)
    output = artifact.record.parent
    if run.detector is None:
        from sgenet.classification import evaluate as task_evaluate
    else:
        from sgenet.detection import evaluate as task_evaluate  # type: ignore[no-redef]
    metrics = task_evaluate.evaluate(
        run, paths.data_folder(scale, run.task), manifest, trained=trained, output=output, device=device
    )
    times = making.times()
    write_json(output / paths.TIMING, Timing(train=training.times, evaluate=times).plain())
    evaluation = making.provenance(describe_device(device), manifest.origin)
    origins = Origins(train=training.of_measurement(), evaluate=evaluation.without_times())
    result = EvaluationRecord(run=run.id, scale=scale, seed=seed, metrics=metrics, origin=origins)
    write_record(artifact, result.plain())
    print(f"{run.id}: {_describe(metrics)} ({artifact.record})")
    _remark(run, learning.did_not_learn(replication, run, seed))


def _remark(run: Run, why: str | None) -> None:
    """Print that a training did not learn, if that is known."""
    if why:
        print(f"{run.id}: did not learn: {why}", flush=True)


def evaluate_released(replication: Replication, run: Run) -> None:
    """Evaluate the weights that the authors released in place of a run's own; writes metrics.json and timing.json."""
    scale, artifacts = replication.scale_name, Artifacts(replication)
    manifest = _manifest(replication, run.task)
    weights = paths.require(paths.released(run.model), f"sgenet import-checkpoint ... --model {run.model}")
    if run not in replication.containing(run.id).released():
        expected = "expected a classification run of a plain model, and `released: true` in the scale"
        raise InputError(f"{run.id}: --released: found at scale {scale}, {expected}")
    from sgenet.classification.evaluate import evaluate_weights

    artifact = artifacts.released(run)
    making = Making.of(artifacts, artifact)
    device = acquire_device(replication)
    folder = paths.data_folder(scale, run.task)
    metrics = evaluate_weights(run, folder, manifest, weights=weights, device=device)
    write_json(artifact.record.with_name(paths.TIMING), Timing(evaluate=making.times()).plain())
    evaluation = making.provenance(describe_device(device), manifest.origin).without_times()
    file = WeightsFile(path=str(weights), sha256=artifacts.sha256(weights))
    result = ReleasedEvaluation(run=run.id, scale=scale, metrics=metrics, weights=file, origin=evaluation)
    write_record(artifact, result.plain())
    print(f"{run.id}: {_describe(metrics)} ({artifact.record})")


def _describe(metrics: Mapping[str, float | None]) -> str:
    """Return the main metrics in words: `top1 71.20, top5 90.31`."""
    main = ((name, metrics[name]) for name in _MAIN if name in metrics)
    return ", ".join(f"{name} undefined" if value is None else f"{name} {value:.2f}" for name, value in main)


def activations(replication: Replication) -> None:
    """Measure what figures 2 to 4 show, and its statistics on all seeds of FIGURES_RUN; writes activations.json."""
    scale, artifacts, figures = replication.scale_name, Artifacts(replication), replication.scale.figures
    run, artifact = replication.run(FIGURES_RUN), artifacts.activations()
    _, manifest, training = _trained(replication, artifacts, artifact)
    making = Making.of(artifacts, artifact)
    device = acquire_device(replication)
    from sgenet.classification.activations import measure
    from sgenet.evaluation.activations import MeasuredActivations

    folder = paths.data_folder(scale, run.task)
    weights = {source.seed or 0: source.record.with_name(paths.BEST) for source in artifact.measures}
    measured = measure(run, folder, manifest, weights=weights, figures=figures, device=device)
    measurement = making.provenance(describe_device(device), manifest.origin)
    origins = {"train": training.of_measurement().plain(), "activations": measurement.without_times().plain()}
    head = {"run": run.id, "scale": scale, "seed": artifact.seed, "fingerprint": manifest.fingerprint}
    result = {**head, **measured, "origin": origins}
    validate(MeasuredActivations, result, artifact.record)
    write_record(artifact, result)


def plan(replication: Replication, as_json: bool) -> str:
    """Estimate the cost of the replication from a short calibration on this machine; writes plan.json among the logs.

    If the scale requires a GPU and this machine has none, its CPU is measured.
    """
    from sgenet.data.cores import count_cores
    from sgenet.pipeline import plan

    images = plan.images_of(replication)

    wanted, threads = replication.scale.device, min(replication.scale.threads, count_cores())
    here = {"device": "auto" if wanted == "cuda" else wanted, "threads": threads}
    device = acquire_device(replace(replication, scale=replication.scale.model_copy(update=here)))
    from sgenet.pipeline.calibration import calibrate
    from sgenet.pipeline.plan_text import to_text
    from sgenet.pipeline.resources import suggestions

    costs, measured = calibrate(plan.remaining(replication), {task: of.classes for task, of in images.items()}, device)
    made = plan.make(replication, images, costs, {**measured, "wanted": wanted})
    for known in (False, True):  # what jobs ask for follows from the plan itself
        made["jobs"] = suggestions(replication) if known else []
        with suppress(InputError):  # `sgenet status` can do without; the plan is most useful where the disk is full
            write_json(paths.plan(replication.scale_name), made)
    return plan.to_json(made) if as_json else to_text(made)


def _manifest(replication: Replication, task: str) -> Manifest:
    from sgenet.data.splits import open_manifest

    return open_manifest(replication.scale_name, task, replication.scale.data.of(task))


def _trained(
    replication: Replication, artifacts: Artifacts, artifact: Artifact
) -> tuple[Path, Manifest, TrainingRecord]:
    """The folder of the weights that a step measures, the manifest of its data, and training.json, all checked.

    Of several seeds, folder and training.json are the first one's.
    """
    assert artifact.task is not None
    manifest = _manifest(replication, artifact.task)
    for training in artifact.measures:
        for path in (training.record, training.record.with_name(paths.HISTORY)):
            paths.require(path, training.command)
        _refuse_stale(artifacts, training)
    first = artifact.measures[0].record
    return first.parent, manifest, read_training(first)


def _refuse_stale(artifacts: Artifacts, artifact: Artifact) -> None:
    """Raise an InputError if an artifact that a step reads is not what the present parameters ask for."""
    if why := artifacts.stale(artifact):
        raise InputError(f"{artifact.record}: {why}; expected a current one from `{artifact.command}`")


def acquire_device(replication: Replication, count: int = 1) -> str:
    """Lock `count` of the scale's devices, set torch's number of threads to the scale's, and return the device."""
    import torch

    device = devices.acquire(replication.scale.device, count)
    torch.set_num_threads(replication.scale.threads)
    return device


def _tables_of(replication: Replication, run: Run) -> list[str]:
    """Tables that contain a run, then those with detectors initialised from it, each in the order of the pipeline."""
    replication = replication.containing(run.id)
    of = {table.id: [table.run_id(row) for row in table.rows] for table in replication.tables}
    shown = [table for table, ids in of.items() if run.id in ids]
    starts = {other.id for other in replication.runs.values() if other.starts_from == run.id}
    return list(dict.fromkeys([*shown, *(table for table, ids in of.items() if starts & set(ids))]))


def _starting_weights(artifacts: Artifacts, run: Run, seed: int) -> Path | None:
    training = artifacts.training(run, seed)
    if sentence := run.missing_weights:
        raise InputError(sentence)
    if training.start is None or "start" not in training.inputs:
        return training.start
    source = training.inputs["start"]
    paths.require(training.start, source.command)
    _refuse_stale(artifacts, source)
    return training.start
