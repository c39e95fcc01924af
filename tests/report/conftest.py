"""A small repository in a temporary folder with made-up results. Nothing here was measured."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from sgenet import paths
from sgenet.detection.coco_eval import AP_METRICS, METRICS, Matches, ap
from sgenet.runs import TASKS, Replication, Run, load_replication

ROOT = Path(__file__).parents[2]
IMAGES = 400
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
CLAIMS = [
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


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: this project's parameters and schemas, with two small tables in place of the paper's."""
    monkeypatch.chdir(tmp_path)
    _lay_out(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Replication]:
    """A repository in which everything was run once, to be copied."""
    folder = tmp_path_factory.mktemp("everything")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _lay_out(folder)
        replication = load_replication()
        make_results(replication)
    return folder, replication


@pytest.fixture
def replication(tmp_path: Path, everything: tuple[Path, Replication], monkeypatch: pytest.MonkeyPatch) -> Replication:
    """Everything was run once: SGE gains a lot of Top-1 and of AP."""
    shutil.copytree(everything[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return everything[1]


def _lay_out(folder: Path) -> None:
    shutil.copytree(ROOT / "params", folder / "params", ignore=shutil.ignore_patterns("tables"))
    shutil.copytree(ROOT / "workflow/schemas", folder / "workflow/schemas")
    write_table("one", CLASSIFICATION)
    write_table("two", DETECTION)
    write_claims(CLAIMS)
    pipeline = yaml.safe_load(Path("params/pipeline.yaml").read_text())
    pipeline |= {"scale": "demo", "tables": ["one", "two"], "seeds": 1}
    pipeline["report"] |= {"confidence": 0.95, "bootstrap_samples": 200}
    Path("params/pipeline.yaml").write_text(yaml.safe_dump(pipeline))


def write_table(name: str, table: dict[str, Any]) -> None:
    path = Path("params/tables", f"{name}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(table, sort_keys=False))


def write_claims(claims: list[dict[str, Any]]) -> None:
    Path("params/claims.yaml").write_text(yaml.safe_dump({"claims": claims}, sort_keys=False))


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def metrics_path(run: str, seed: int = 0, scale: str = "demo") -> Path:
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
        params_, gflops = COUNTS.get(run.model, (30_000_000, 5.0))
        counts[run.id] = {"model": run.model, "params": params_, "gflops": gflops, "macs": int(gflops * 1e9)}
        counts[run.id] |= {"input": [224, 224], "part": "network"}
        if run.task == "detection":
            counts[run.id] |= {"params": params_ - 2_048_000, "gflops": gflops * 21.36, "part": "backbone"}
            counts[run.id] |= {"input": [800, 1333]}
        for seed in replication.seeds:
            make_run(scale, run.id, seed, images, skill=0.6 + 0.1 * ("sge" in run.model) + 0.01 * seed, asked=run)
    write(paths.complexity(scale), counts)
    for task in TASKS:
        split = {"images": images, "objects": 3 * images, "per_size": {"small": images, "large": 2 * images}}
        manifest = {"task": task, "source": "embedded", "fingerprint": "f1", "settings": {"seed": 0}}
        manifest |= {"classes": ["zero", "one"], "splits": {"train": split, "val": split}}
        write(paths.manifest(scale, task), manifest)
        noise = np.random.default_rng(0).integers(0, 255, (60, 240, 3), dtype=np.uint8)
        Image.fromarray(noise).save(paths.manifest(scale, task).with_suffix(".png"))


def make_run(scale: str, run: str, seed: int, images: int, skill: float, asked: Run | None = None) -> None:
    """Made-up results of one run; `skill` is about the share of what it gets right, `asked` the run itself."""
    asked = asked or load_replication(scale).runs[run]
    folder, task = paths.evaluation(scale, run, seed), run.partition("/")[0]
    folder.mkdir(parents=True, exist_ok=True)
    columns, epochs = ["epoch", "loss", "lr", "seconds"], []
    for epoch in range(1, 9):
        epochs.append([epoch, round(2.3 * (1 - skill) ** (epoch / 5), 4), 0.001, 3.2])
    if task == "classification":
        metrics = _classification(folder, images, skill)
        columns[3:3] = ["top1", "top5"]
        for epoch, row in enumerate(epochs, 1):
            row[3:3] = [metrics["top1"] - (epoch - 7) ** 2, metrics["top5"]]
    else:
        matches = make_matches(images // 4, skill)
        masks = make_matches(images // 4, skill - 0.05) if "/mask-rcnn/" in run else None
        matches.save(folder / "matches.npz", masks)
        metrics = dict.fromkeys(METRICS, 10.0) | {name: ap(matches, metric=name) for name in AP_METRICS}
        if masks:
            metrics |= {f"mask_{name}": ap(masks, metric=name) for name in AP_METRICS}
        metrics["images"] = images // 4
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
    lines = [",".join(columns), *(",".join(map(str, row)) for row in epochs)]
    write(paths.training(scale, run, seed) / "history.csv", "\n".join(lines) + "\n")


def _classification(folder: Path, images: int, skill: float) -> dict[str, float]:
    """The first `skill` of the images are right at once, half of the others within five."""
    label = np.arange(images) % 10
    top5 = (label[:, None] + np.arange(1, 6)) % 10
    right, near = round(skill * images), round((1 + skill) / 2 * images)
    top5[:right, 0], top5[right:near, 1] = label[:right], label[right:near]
    last_top5 = top5.copy()
    last_top5[: images // 100] = (label[: images // 100, None] + 1) % 10  # a hundredth less
    top1, top5_ = 100 * right / images, 100 * near / images
    np.savez(folder / "predictions.npz", label=label, best_top5=top5, last_top5=last_top5)
    last = {"top1_last": top1 - 1, "top5_last": top5_ - 1, "top1_mean10": top1 - 2, "best_epoch": 7, "last_epoch": 8}
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
