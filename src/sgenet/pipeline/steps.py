"""Steps of the pipeline: each reads its inputs, writes its outputs atomically, and records their provenance."""

import hashlib
import json
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from sgenet.config import paths
from sgenet.config.model import validate
from sgenet.config.runs import FIGURES_RUN, Replication, Run
from sgenet.data.manifest import Manifest
from sgenet.errors import InputError
from sgenet.provenance.origin import origin, stamp
from sgenet.provenance.results import (
    Counts,
    EvaluationRecord,
    Latencies,
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


def prepare(replication: Replication, task: str) -> None:
    """Make or check the data of a task: its folder, its manifest and a contact sheet."""
    from sgenet.data.contact_sheet import draw_contact_sheet
    from sgenet.data.folders import fresh_folder
    from sgenet.data.prepare import make_data
    from sgenet.data.splits import locate

    scale, settings = replication.scale_name, replication.scale.data.of(task)
    folder, place = paths.data_folder(scale, task), f"params/scales/{scale}.yaml: data.{task}.root"
    path = paths.manifest(scale, task)
    with atomic_path(path) as written, fresh_folder(folder) as target:
        manifest = make_data(target, settings, place, paths.checked_images(scale, task))
        draw_contact_sheet(target, locate(manifest, settings, place), path.with_suffix(".png"))
        written.write_text(to_json(manifest.plain()), encoding="utf-8")
        path.unlink(missing_ok=True)  # the manifest must never describe older data
    counts = " + ".join(f"{entry.images:,}" for entry in manifest.splits.values())
    left_out = sum(manifest.defects.by_kind.values()) if manifest.defects else 0
    defects = f"; {left_out:,} defects, see {folder / 'defects.txt'}" if left_out else ""
    sheet = path.with_suffix(".png")
    print(f"{task}: {counts} images, {len(manifest.classes)} classes{defects}; contact sheet: {sheet}")


def train(replication: Replication, run: Run, seed: int) -> None:
    """Train a run with a seed, continuing where it stopped; writes weights, history.csv and training.json.

    If the scale sets several devices per run, one process per device trains it.
    """
    scale, started = replication.scale_name, time.monotonic()
    manifest = _manifest(replication, run.task)
    weights = _starting_weights(replication, run, seed)
    count = replication.scale.devices
    device = _device(replication, count)
    from sgenet.training import resume

    start = None if weights is None else hashlib.sha256(weights.read_bytes()).hexdigest()
    identity = {**run.identity, "device": device, "weights": start}
    folder = resume.resume_folder(run.id, scale, seed, identity, manifest.fingerprint)
    output = paths.training(scale, run.id, seed)
    with resume.lock(folder) if devices.is_launcher() else nullcontext():
        if count > 1 and not devices.is_distributed():
            from sgenet.training.batches import micro_batches_per_step

            micro_batches_per_step(run.settings, count)
            return devices.launch(["train", run.id, "--scale", scale, "--seed", str(seed)], count, device)
        devices.init_process_group(device)
        _train(replication, run, manifest, folder=folder, output=output, seed=seed, device=device, weights=weights)
        described = describe_device(device)
        devices.destroy_process_group()
        if devices.rank():
            return
        command = f"sgenet train {run.id} --scale {scale} --seed {seed}"
        made = origin(command, run.identity, manifest.origin, started, described)
        epochs = sum(row["seconds"] for row in resume.read_history(output / paths.HISTORY))
        seconds = round(max(made.seconds or 0, epochs), 1)  # includes interrupted attempts
        training = made.model_copy(update={"devices": devices.world_size(), "seconds": seconds})
        write_json(output / paths.TRAINING, training.plain())
        resume.remove_checkpoints(folder)


def _train(replication: Replication, run: Run, manifest: Manifest, *, seed: int, **how: Any) -> None:
    """Train a run with the function of its task, which receives `how`; its learning curves are logged to W&B."""
    from sgenet.training.tracking import wandb_run

    if run.detector is None:
        from sgenet.classification import train as task_train
    else:
        from sgenet.detection import train as task_train  # type: ignore[no-redef]
    scale, name = replication.scale_name, f"{run.name} seed {seed}"
    tracking = replication.pipeline.wandb
    if devices.rank():
        tracking = tracking.model_copy(update={"mode": "disabled"})
    tables = _tables_of(replication, run)
    with wandb_run(tracking, name=name, scale=scale, task=run.task, tables=tables, config=run.identity) as log:
        task_train.train(run, paths.data_folder(scale, run.task), manifest, seed=seed, log=log, **how)


def evaluate(replication: Replication, run: Run, seed: int) -> None:
    """Evaluate a trained run; writes metrics.json, timing.json, and predictions or detections."""
    scale, started = replication.scale_name, time.monotonic()
    trained, manifest, training = _trained(replication, run, seed)
    device = _device(replication)
    output = paths.evaluation(scale, run.id, seed)
    if run.detector is None:
        from sgenet.classification import evaluate as task_evaluate
    else:
        from sgenet.detection import evaluate as task_evaluate  # type: ignore[no-redef]
    metrics = task_evaluate.evaluate(
        run, paths.data_folder(scale, run.task), manifest, trained=trained, output=output, device=device
    )
    command = f"sgenet evaluate {run.id} --scale {scale} --seed {seed}"
    evaluation = origin(command, run.test_settings, manifest.origin, started, describe_device(device))
    origins = Origins(train=training.without_times(), evaluate=evaluation.without_times())
    result = EvaluationRecord(run=run.id, scale=scale, seed=seed, metrics=metrics, origin=origins)
    write_json(output / paths.TIMING, Timing(train=training.times, evaluate=evaluation.times).plain())
    write_json(output / paths.METRICS, result.plain())


def evaluate_released(replication: Replication, run: Run) -> None:
    """Evaluate the weights that the authors released in place of a run's own; writes metrics.json and timing.json."""
    scale, started = replication.scale_name, time.monotonic()
    manifest = _manifest(replication, run.task)
    weights = paths.require(paths.released(run.model), f"sgenet import-checkpoint ... --model {run.model}")
    if run not in replication.released():
        expected = "expected a classification run of a plain model, and `released: true` in the scale"
        raise InputError(f"{run.id}: --released: found at scale {scale}, {expected}")
    from sgenet.classification.evaluate import evaluate_weights

    device = _device(replication)
    folder = paths.data_folder(scale, run.task)
    metrics = evaluate_weights(run, folder, manifest, weights=weights, device=device)
    command = f"sgenet evaluate {run.id} --released --scale {scale}"
    evaluation = origin(command, run.settings.plain(), manifest.origin, started, describe_device(device))
    file = WeightsFile(path=str(weights), sha256=hashlib.sha256(weights.read_bytes()).hexdigest())
    result = ReleasedEvaluation(
        run=run.id, scale=scale, metrics=metrics, weights=file, origin=evaluation.without_times()
    )
    files = paths.released_files(scale, run.id)
    write_json(files["timing"], Timing(evaluate=evaluation.times).plain())
    write_json(files["metrics"], result.plain())


def activations(replication: Replication) -> None:
    """Measure what figures 2 to 4 show on the run FIGURES_RUN with seed 0; writes activations.json."""
    scale, started, seed = replication.scale_name, time.monotonic(), 0
    run, figures = replication.run(FIGURES_RUN), replication.scale.figures
    trained, manifest, training = _trained(replication, run, seed)
    device = _device(replication)
    from sgenet.classification.activations import measure
    from sgenet.evaluation.activations import MeasuredActivations

    folder, weights = paths.data_folder(scale, run.task), trained / paths.BEST
    measured = measure(run, folder, manifest, weights=weights, figures=figures, device=device)
    command = f"sgenet activations --scale {scale}"
    measurement = origin(command, figures.plain(), manifest.origin, started, describe_device(device))
    origins = {"train": training.without_times().plain(), "activations": measurement.without_times().plain()}
    head = {"run": run.id, "scale": scale, "seed": seed, "fingerprint": manifest.fingerprint}
    path, result = paths.activations(scale), {**head, **measured, "origin": origins}
    validate(MeasuredActivations, result, path)
    write_json(path, result)


def complexity(replication: Replication) -> None:
    """Count parameters and operations of every run's full-size model; writes complexity.json."""
    from sgenet.complexity.count import count_run

    counts: dict[str, Counts] = {}
    known: dict[str, Counts] = {}  # a network shared by several runs is counted once
    for run in replication.full_size():
        network = json.dumps([run.model, run.task, run.network.plain()], sort_keys=True)
        if network not in known:
            known[network] = Counts.model_validate(count_run(run))
        counts[run.id] = known[network]
    write_json(paths.complexity(replication.scale_name), {id: count.plain() for id, count in counts.items()})


def latency(replication: Replication) -> None:
    """Time the models of tables of complexity on this machine; writes latency.json."""
    import torch

    from sgenet.complexity.latency import measure

    started, device, settings = time.monotonic(), _device(replication), replication.scale.latency
    networks = {run.id: (run.model, run.network) for run in replication.full_size() if not run.task.trained}
    size, rounds = settings.image_size, settings.rounds
    models = measure(networks, replication.plain_of(), size=size, rounds=rounds, device=device)
    how = {"input": [size, size], "batch": 1, "threads": torch.get_num_threads(), "rounds": rounds}
    command = f"sgenet latency --scale {replication.scale_name}"
    made = stamp(command, started, describe_device(device)).plain()
    path = paths.latency(replication.scale_name)
    write_json(path, validate(Latencies, {**how, "models": models, "origin": made}, path).plain())


def plan(replication: Replication, as_json: bool) -> str:
    """Estimate the cost of the replication from a short calibration on this machine; nothing is written.

    If the scale requires a GPU and this machine has none, its CPU is measured.
    """
    from sgenet.pipeline import plan

    images = plan.images_of(replication)
    from sgenet.data.cores import count_cores

    wanted, threads = replication.scale.device, min(replication.scale.threads, count_cores())
    here = {"device": "auto" if wanted == "cuda" else wanted, "threads": threads}
    device = _device(replace(replication, scale=replication.scale.model_copy(update=here)))
    from sgenet.pipeline.calibration import calibrate

    costs, measured = calibrate(plan.remaining(replication), {task: of.classes for task, of in images.items()}, device)
    made = plan.make(replication, images, costs, {**measured, "wanted": wanted})
    return plan.to_json(made) if as_json else plan.to_text(made)


def _manifest(replication: Replication, task: str) -> Manifest:
    from sgenet.data.splits import open_manifest

    scale = replication.scale_name
    return open_manifest(scale, task, replication.scale.data.of(task))


def _trained(replication: Replication, run: Run, seed: int) -> tuple[Path, Manifest, TrainingRecord]:
    """The folder of the run's weights, the manifest of its data, and training.json, all checked."""
    scale = replication.scale_name
    manifest = _manifest(replication, run.task)
    trained = paths.training(scale, run.id, seed)
    command = f"sgenet train {run.id} --scale {scale} --seed {seed}"
    training = read_training(paths.require(trained / paths.TRAINING, command))
    paths.require(trained / paths.HISTORY, command)
    _check_origin(training, run, manifest, trained)
    return trained, manifest, training


def _device(replication: Replication, count: int = 1) -> str:
    """Lock `count` of the scale's devices, set torch's number of threads to the scale's, and return the device."""
    import torch

    device = devices.acquire(replication.scale.device, count)
    torch.set_num_threads(replication.scale.threads)
    return device


def _tables_of(replication: Replication, run: Run) -> list[str]:
    """Tables that contain a run, then those with detectors initialised from it, each in the order of the pipeline."""
    of = {table.id: [table.run_id(row) for row in table.rows] for table in replication.tables}
    shown = [table for table, ids in of.items() if run.id in ids]
    starts = {other.id for other in replication.runs.values() if other.starts_from == run.id}
    return list(dict.fromkeys([*shown, *(table for table, ids in of.items() if starts & set(ids))]))


def _check_origin(training: TrainingRecord, run: Run, manifest: Manifest, trained: Path) -> None:
    """Raise an InputError if weights were trained with other settings or other data than the current ones."""
    settings = run.identity
    again = f"train {run.id} again"
    for key in sorted(settings.keys() | training.settings.keys()):
        found, expected = training.settings.get(key), settings.get(key)
        if found != expected:
            raise InputError(f"{trained}/training.json: settings.{key}: found {found}, expected {expected}: {again}")
    if training.data.fingerprint != manifest.fingerprint:
        found, expected = "other data", "the current data"
        raise InputError(f"{trained}/training.json: data.fingerprint: found {found}, expected {expected}: {again}")


def _starting_weights(replication: Replication, run: Run, seed: int) -> Path | None:
    if run.starts_from is None:
        return None
    scale = replication.scale_name
    path = paths.training(scale, run.starts_from, seed) / paths.BEST
    return paths.require(path, f"sgenet train {run.starts_from} --scale {scale} --seed {seed}")
