"""A small repository with made-up results, for tests of the report. Nothing here was measured."""

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import yaml
from PIL import Image

from sgenet.config import paths
from sgenet.config.replication import FullSize, Replication, load_replication
from sgenet.config.runs import FIGURES_RUN, Run
from sgenet.config.tasks import TASKS
from sgenet.evaluation.activations import Statistics
from sgenet.evaluation.coco_eval import AP_METRICS, METRICS, ap
from sgenet.evaluation.matches import Matches
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.identity import Artifacts
from sgenet.runtime.files import atomic_path
from support.history import make_history

ROOT = Path(__file__).parents[2]
IMAGES = 400
SCENES = 9
ESTIMATE = {"value": 0.512, "low": 0.501, "high": 0.523, "confidence": 0.95, "n": 40}
SGE, BASE = "classification/sge-resnet50", "classification/resnet50"
RETINA = "detection/retinanet/sge-resnet50"
COUNTS = {"resnet50": (25557032, 4.121924), "sge-resnet50": (25559080, 4.127444)}

CLASSIFICATION = {
    "title": "Classification",
    "task": "classification",
    "columns": [
        {"id": "params", "label": "#P", "unit": "M", "digits": 2, "measured": "static"},
        {"id": "gflops", "label": "GFLOPs", "digits": 3, "measured": "static"},
        {"id": "top1", "label": "Top-1", "unit": "%", "digits": 2},
        {"id": "top5", "label": "Top-5", "unit": "%", "digits": 2},
    ],
    "rows": [
        {
            "label": "ResNet50",
            "run": "resnet50",
            "published": {
                "params": {"value": 25.56, "source": ["H"], "confidence": "high"},
                "gflops": {"value": 4.122, "source": ["H", "A"]},
                "top1": {"value": 76.384, "source": ["H"]},
                "top5": {"value": 92.908, "source": ["H"]},
            },
        },
        {
            "label": "SGE-ResNet50",
            "run": "sge-resnet50",
            "baseline": "ResNet50",
            "published": {
                "gflops": {"value": 4.2, "source": ["H"]},
                "top1": {"value": 77.584, "source": ["H"], "confidence": "low", "note": "a note on a value"},
            },
        },
    ],
}
DETECTION = {
    "title": "Detection",
    "task": "detection",
    "columns": [
        {"id": "gflops", "label": "GFLOPs", "digits": 3, "measured": "static"},
        {"id": "ap", "label": "AP", "digits": 1},
        {"id": "ap_small", "label": "AP small", "digits": 1},
    ],
    "rows": [
        {
            "label": "RetinaNet",
            "run": "retinanet/resnet50",
            "published": {"ap": {"value": 36.0, "source": ["C"]}},
        },
        {
            "label": "RetinaNet SGE",
            "run": "retinanet/sge-resnet50",
            "baseline": "RetinaNet",
            "published": {"ap": {"value": 37.5, "source": ["C"]}},
        },
    ],
}
CLAIMS: list[dict[str, Any]] = [
    {
        "id": "A",
        "sentence": "SGE is better.",
        "where": "nowhere",
        "conditions": [
            {"gain": {"table": "one", "column": "top1", "row": "SGE-ResNet50"}},
            {"gain": {"table": "two", "column": "ap", "row": "RetinaNet SGE", "claimed": [1.0, 2.0]}},
        ],
    },
    {
        "id": "B",
        "sentence": "It is light.",
        "where": "nowhere",
        "note": "a note on a claim",
        "conditions": [
            {"extra": {"table": "one", "columns": ["params", "gflops"], "row": "SGE-ResNet50", "at_most": 0.1}},
        ],
    },
    {
        "id": "C",
        "sentence": "Small objects gain most.",
        "where": "nowhere",
        "conditions": [
            {"larger_gain": {"table": "two", "column": "ap_small", "than": "ap", "row": "RetinaNet SGE"}},
            {"statistic": {"name": "variance_ratio", "above": 1}},
        ],
    },
]

MAIN_GAINS = [
    {"table": "one", "column": "top1", "row": "SGE-ResNet50"},
    {"table": "two", "column": "ap", "row": "RetinaNet SGE"},
]


def lay_out(folder: Path) -> None:
    """Copy this project's parameters and schemas into the working folder `folder`, with two small tables."""
    shutil.copytree(ROOT / "params", folder / "params", ignore=shutil.ignore_patterns("tables"))
    shutil.copytree(ROOT / "workflow/schemas", folder / "workflow/schemas")
    for path in Path("params/scales").glob("*.yaml"):  # which may ask for seeds, or expect values, of runs of no table
        if (scale := yaml.safe_load(path.read_text())).get("seeds"):
            path.write_text(yaml.safe_dump(scale | {"seeds": {}, "expected": {}}, sort_keys=False))
    write_table("one", CLASSIFICATION)
    write_table("two", DETECTION)
    write_claims(CLAIMS, MAIN_GAINS)
    pipeline = yaml.safe_load(Path("params/pipeline.yaml").read_text())
    pipeline |= {"scale": "demo", "tables": ["one", "two"], "seeds": 1}
    pipeline["report"] |= {"confidence": 0.95, "bootstrap_samples": 200}
    Path("params/pipeline.yaml").write_text(yaml.safe_dump(pipeline))


def write_table(name: str, table: dict[str, Any]) -> None:
    """Write a file of params/tables/."""
    path = Path("params/tables", f"{name}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(table, sort_keys=False))


def write_claims(claims: list[dict[str, Any]], main_gains: Sequence[dict[str, str]] = ()) -> None:
    """Write params/claims.yaml."""
    value = {"main_gains": list(main_gains), "claims": claims}
    Path("params/claims.yaml").write_text(yaml.safe_dump(value, sort_keys=False))


def write(path: Path, value: Any) -> None:
    """Write a text, or any other value as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def metrics_path(run: str, seed: int = 0, scale: str = "demo") -> Path:
    """metrics.json of a run."""
    return paths.evaluation(scale, run, seed) / "metrics.json"


def edit_metrics(run: str, seed: int = 0, **metrics: Any) -> None:
    """Change some metrics of a run."""
    value = json.loads(metrics_path(run, seed).read_text())
    value["metrics"] |= metrics
    metrics_path(run, seed).write_text(json.dumps(value))


def edit_origin(run: str, seed: int, step: str, **origin: Any) -> None:
    """Change where the numbers of a step of a run come from."""
    value = json.loads(metrics_path(run, seed).read_text())
    value["origin"][step] |= origin
    metrics_path(run, seed).write_text(json.dumps(value))


def edit_times(run: str, seed: int, step: str, **times: Any) -> None:
    """Change how long a step of a run took, and when it ended."""
    path = metrics_path(run, seed).with_name("timing.json")
    value = json.loads(path.read_text())
    value[step] |= times
    path.write_text(json.dumps(value))


def make_results(replication: Replication, images: int = IMAGES) -> None:
    """Made-up results of every run, with data, counts and curves."""
    scale = replication.scale_name
    counts = {}
    for run in replication.runs.values():
        counts[run.id] = count(run)
        for seed in replication.seeds(run.id):
            make_run(scale, run.id, seed, images, skill=0.6 + 0.1 * ("sge" in run.model) + 0.01 * seed, asked=run)
    write_counts(replication, counts)
    for task in TASKS:
        write(paths.manifest(scale, task), manifest(task, images))
        noise = np.random.default_rng(0).integers(0, 255, (60, 240, 3), dtype=np.uint8)
        Image.fromarray(noise).save(paths.manifest(scale, task).with_suffix(".png"))


def write_counts(replication: Replication, counts: dict[str, Any]) -> None:
    """Write complexity.json with these counts."""
    artifacts = Artifacts(replication)
    write(
        paths.complexity(replication.scale_name),
        {"models": counts, "origin": record(artifacts, artifacts.complexity())},
    )


def record(artifacts: Artifacts, artifact: Artifact) -> dict[str, Any]:
    """What a step records of a current artifact that needs no data."""
    settings, identity = artifact.settings, artifacts.identity(artifact).plain()
    return {"command": artifact.command, "settings": settings, "identity": identity}


def manifest(task: str, images: int = IMAGES) -> dict[str, Any]:
    """The manifest of a task's made-up data."""
    split: dict[str, Any] = {"images": images}
    made: dict[str, Any] = {"task": task, "source": "embedded", "fingerprint": "f1", "files": []}
    made |= {"settings": load_replication().scale.data.of(task).plain()}
    if task == "detection":
        split |= {"objects": 3 * images, "per_size": {"small": images, "large": 2 * images}}
        made |= {"category_ids": [1, 2], "masks": True, "area_limits": [150, 400]}
    return made | {"classes": ["zero", "one"], "splits": {"train": split, "val": split}}


def count(run: Run | FullSize) -> dict[str, Any]:
    """Parameters and operations of a run's full-size network: the published ones of two, others made up."""
    params_, gflops = COUNTS.get(run.model, (30_000_000, 5.0))
    found = {"model": run.model, "params": params_, "gflops": gflops, "macs": int(gflops * 1e9)}
    if run.task != "detection":
        return found | {"input": [224, 224], "part": "network"}
    of_backbone = {"params": params_ - 2_048_000, "gflops": gflops * 21.36, "part": "backbone"}
    return found | of_backbone | {"input": [800, 1333]}


def make_run(scale: str, run: str, seed: int, images: int, skill: float, asked: Run | None = None) -> None:
    """Made-up results of one run; `skill` is about the share of what it gets right, `asked` the run itself."""
    asked = asked or load_replication(scale).runs[run]
    folder = paths.evaluation(scale, run, seed)
    metrics = make_evaluation(folder, asked, images if asked.detector is None else images // 4, skill)
    origin = {
        "data": {"source": "embedded", "fingerprint": "f1"},
        "commit": "c0ffee",
        "versions": {"python": "3.11.2", "torch": "2.11.0"},
        "device": "a made-up CPU",
    }
    times = {"seconds": 312.4, "peak_memory_mib": 812, "finished": "2026-01-02T03:04:05+00:00"}
    steps = {}
    for step, settings in {"train": asked.identity, "evaluate": asked.test_settings}.items():
        command = f"sgenet {step} {run} --scale {scale} --seed {seed}"
        steps[step] = {"command": command, "settings": settings} | origin
    write(folder / "metrics.json", {"run": run, "scale": scale, "seed": seed, "metrics": metrics, "origin": steps})
    write(folder / "timing.json", dict.fromkeys(steps, times))
    write(paths.training(scale, run, seed) / "history.csv", make_history(metrics, 8, skill))


def make_evaluation(folder: Path, run: Run, images: int, skill: float) -> dict[str, Any]:
    """Write made-up predictions or matches of a run on `images` images; returns its metrics."""
    folder.mkdir(parents=True, exist_ok=True)
    if run.detector is None:
        return _classification(folder, images, skill)
    matches = make_matches(images, skill)
    masks = make_matches(images, skill - 0.05) if run.detector == "mask-rcnn" else None
    matches.save(folder / "matches.npz", masks)
    metrics = dict.fromkeys(METRICS, 10.0) | {name: ap(matches, metric=name) for name in AP_METRICS}
    if masks:
        metrics |= {f"mask_{name}": ap(masks, metric=name) for name in AP_METRICS}
    return metrics | {"images": images}


def _classification(folder: Path, images: int, skill: float) -> dict[str, float]:
    """The first `skill` of the images are right at once, half of the others within five."""
    label = np.arange(images) % 10
    top5 = (label[:, None] + np.arange(1, 6)) % 10
    right, near = round(skill * images), round((1 + skill) / 2 * images)
    top5[:right, 0], top5[right:near, 1] = label[:right], label[right:near]
    last_top5 = top5.copy()
    lost = max(images // 100, 1)
    last_top5[:lost] = (label[:lost, None] + 1) % 10
    top1, top5_ = 100 * right / images, 100 * near / images
    with atomic_path(folder / "predictions.npz") as temporary:
        np.savez(temporary, label=label, best_top5=top5, last_top5=last_top5)
    last = {
        "top1_last": top1 - 100 * lost / images,
        "top5_last": top5_ - 100 * lost / images,
        "top1_mean10": top1 - 2,
        "best_epoch": 7,
        "last_epoch": 8,
    }
    return {"top1": top1, "top5": top5_, **last, "images": images}


def make_matches(images: int, skill: float, categories: int = 3) -> Matches:
    """One object an image and category, of each size in turn; found where a fixed draw lies below the skill."""
    rng = np.random.default_rng(0)
    draw, fresh = rng.random((categories, images)), rng.random((categories, images, 2))
    truths = np.zeros((4, categories, images), dtype=np.int32)
    rows = []
    for category, image in np.ndindex(categories, images):
        size = 1 + (category + image) % 3
        truths[[0, size], category, image] = 1
        strict = np.arange(10) / 20
        hit = draw[category, image] < skill - strict
        in_range = np.array([True, *(size == other for other in (1, 2, 3))])
        rows.append((category, fresh[category, image, 0], image, hit & in_range[:, None], ~in_range))
        rows.append((category, fresh[category, image, 1] / 2, image, np.zeros((4, 10), bool), ~in_range))
    rows.sort(key=lambda row: (row[0], -row[1]))
    category, score, image, matched, ignored = zip(*rows, strict=True)
    return Matches(
        image_ids=np.arange(images),
        categories=np.array([f"class {index}" for index in range(categories)]),
        image=np.array(image, dtype=np.int32),
        category=np.array(category, dtype=np.int32),
        score=np.array(score),
        matched=np.stack(matched, axis=-1),
        ignored=np.repeat(np.array(ignored).T[:, None], 10, axis=1),
        truths=truths,
    )


def activations(seeds: Iterable[int] = (0,)) -> dict[str, Any]:
    """A made-up measurement of three groups; nothing here was measured."""
    names = Statistics.model_fields
    estimates = {str(seed): ESTIMATE for seed in seeds}
    data = {"source": "embedded", "fingerprint": "f1"}
    settings = load_replication("demo").scale.figures.plain()
    measurement = {"command": "sgenet activations --scale demo", "settings": settings, "data": data}
    image = {"index": 7, "class": "<seven>", "pixels": "data:image/webp;base64,AAAA"}
    image |= {"before": [[[0, 8], [4, 2]]], "after": [[[0, 4], [1, 1]]]}
    return {
        "run": FIGURES_RUN,
        "scale": "demo",
        "seed": 0,
        "fingerprint": "f1",
        "stage": 2,
        "groups": 3,
        "positions": [2, 2],
        "images": 40,
        "maps": {"groups": [1], "images": [image]},
        "histogram": {
            "bin_width": 0.5,
            "before": [0, 100, 296, 3, 1],
            "after": [200, 200, 0, 0, 0],
            "mean": {"before": 1.25, "after": 0.5},
        },
        "variance": {
            "before": {"mean": [2.0, 1.0, 4.0], "std": [1.0, 2.0, 1.0]},
            "after": {"mean": [1.0, 0.0, 2.5], "std": [0.5, 0.0, 0.5]},
        },
        "statistics": {name: {"description": "made up", "seeds": dict(estimates)} for name in names},
        "origin": {"train": {}, "activations": measurement},
    }


def make_scenes(images: Path, annotations: Path, size: tuple[int, int] = (64, 48)) -> None:
    """Write images with one object each, and their annotations."""
    images.mkdir(parents=True)
    entries, objects = [], []
    for number in range(10, 10 + SCENES):
        Image.new("RGB", size, (20 * (number - 9), 0, 0)).save(images / f"{number}.png")
        entries.append({"id": number, "file_name": f"{number}.png", "width": size[0], "height": size[1]})
        box = {"bbox": [8, 8, 16, 16], "area": 256, "iscrowd": 0}
        objects.append({"id": number, "image_id": number, "category_id": 2, **box})
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    write(annotations, {"images": entries, "annotations": objects, "categories": categories})


def detection(image: int, category: int, score: float, x: float = 8) -> dict[str, Any]:
    """A detection in COCO's result format."""
    return {"image_id": image, "category_id": category, "bbox": [x, 8, 16, 16], "score": score}


def comparison(scale: str = "demo") -> dict[str, Any]:
    """The valid comparison.json of a report."""
    value = json.loads(Path("reports", scale, "comparison.json").read_text())
    jsonschema.validate(value, json.loads(Path("workflow/schemas/comparison.schema.json").read_text()))
    return value


def cell(table: int, row: int, column: str, scale: str = "demo") -> dict[str, Any]:
    """A cell of it, by numbers of table and row."""
    return comparison(scale)["tables"][table]["rows"][row]["cells"][column]


def judged(table: int, row: int, column: str, scale: str = "demo") -> tuple[str, str]:
    """The verdict on a cell, and its reason."""
    found = cell(table, row, column, scale)
    return found["verdict"], found["reason"]


def scale_paper() -> None:
    """Make scale paper as small as scale demo."""
    Path("params/scales/paper.yaml").write_text(Path("params/scales/demo.yaml").read_text())
