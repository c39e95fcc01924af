"""The paper's recipe and circumstances next to those of this replication, setting by setting."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sgenet.config import params, starting
from sgenet.config.model import describe_field
from sgenet.config.replication import Replication
from sgenet.config.runs import FIGURES_RUN, Run, collect_runs
from sgenet.config.scales import CocoData, EmbeddedImages, EmbeddedScenes, FigureSettings, ImageData
from sgenet.config.seeds import number_range
from sgenet.config.tasks import TASKS, Task
from sgenet.data.manifest import Manifest
from sgenet.judgement import Judged
from sgenet.judgement.evaluations import Result
from sgenet.judgement.values import DETECTORS, flatten, plain, plain_pair
from sgenet.pipeline.plan import CLASSES, DEVICES, SHIPPED, is_coco_2017
from sgenet.provenance.results import TrainingRecord

# The paper's circumstances, which are no settings of a recipe. The sizes of its data are plan.SHIPPED and plan.CLASSES.
_DATA = {"classification": ("imagenet", "ImageNet (ILSVRC 2012)"), "detection": ("coco", "COCO 2017")}
_SOURCES = {
    "embedded": "embedded scenes of handwritten digits",
    "folder": "an image folder",
    "packed": "a packed set of images",
    "imagenet": "ImageNet (ILSVRC 2012)",
    "coco": "COCO-format data",
}
_TRAININGS = {"classification": "1, no seed fixed", "detection": "not recovered"}
_UNKNOWN_VERSION = "version not recovered, of 2019 or before"
_LIBRARIES = {
    "classification": {"torch": f"PyTorch, {_UNKNOWN_VERSION}", "torchvision": f"torchvision, {_UNKNOWN_VERSION}"},
    "detection": {
        "torch": f"PyTorch, {_UNKNOWN_VERSION}",
        "mmdet": "mmdetection 0.6.rc0",
        "mmcv-lite": f"mmcv, {_UNKNOWN_VERSION}",
    },
}
_FIGURES = {
    "stage": ("Stage", 4),
    "groups": ("Groups of figure 2", [18, 22, 41]),
    "images": ("Images of figure 2", 9),
}
_CHANGES_NOTHING = ("workers",)  # keys of settings that no number depends on


@dataclass(frozen=True)
class Setting:
    """A setting in the paper and here; `differs` is None where that cannot be told.

    `label` is the dotted key of a setting of the recipe, and `about` what it means; `recipe` is false for a
    circumstance: data, libraries, devices, figures. `runs` are those that it counts for; none where all agree.
    """

    label: str
    paper: str
    ours: str
    differs: bool | None
    runs: tuple[str, ...] = ()
    recipe: bool = True
    about: str = ""


@dataclass(frozen=True)
class Comparison:
    """Settings under one title, those of the recipe last."""

    title: str
    settings: tuple[Setting, ...]

    @property
    def recipe(self) -> set[str]:
        """The settings of the recipe."""
        return {setting.label for setting in self.settings if setting.recipe}

    @property
    def changed(self) -> set[str]:
        """The settings of the recipe that differ, for one run or more."""
        return {setting.label for setting in self.settings if setting.recipe and setting.differs}

    @property
    def apart(self) -> list[Setting]:
        """All that differs, or may."""
        return [setting for setting in self.settings if setting.differs is not False]

    @property
    def equal(self) -> list[Setting]:
        """All that is the same."""
        return [setting for setting in self.settings if setting.differs is False]


def compare(judged: Judged) -> Iterator[Comparison]:
    """The comparisons, task by task; the paper's side is the recipe without any scale.

    Raises:
        InputError: a row that its scale allows and the recipe alone does not.
    """
    replication = judged.replication
    recipes = {task: params.load_recipe(task) for task in TASKS}
    of_paper = collect_runs(replication.tables, recipes, {task: {} for task in TASKS})
    for task in TASKS:
        if runs := [run for run in replication.runs.values() if run.task == task]:
            yield from _of_task(task, runs, of_paper, judged)
    if FIGURES_RUN in replication.runs:
        yield Comparison("Figures 2 to 4", tuple(_figures(replication.scale.figures)))


def _of_task(task: Task, runs: list[Run], of_paper: dict[str, Run], judged: Judged) -> Iterator[Comparison]:
    """What all runs of a task have in common; for several detectors, then what each has of its own."""
    replication, manifest = judged.replication, judged.manifest(task)
    results = [result for run in runs for result in judged.found.runs[run.id].by_seed.values()]
    around = [*_data(task, replication.scale.data.of(task), manifest), *_trainings(task, replication, results)]
    rows, detectors = _settings(runs, of_paper), list(dict.fromkeys(run.detector for run in runs))
    if len(detectors) == 1:
        title = task.capitalize() if detectors[0] is None else DETECTORS.get(detectors[0], detectors[0])
        yield Comparison(title, (*around, *_in_order(rows)))
        return
    parts = {name: _settings([run for run in runs if run.detector == name], of_paper) for name in detectors}
    shared = {key for key in rows if len(rows[key]) == 1 and all(key in part for part in parts.values())}
    yield Comparison("Every detector", (*around, *_in_order({key: rows[key] for key in rows if key in shared})))
    for name, part in parts.items():
        own = {key: part[key] for key in part if key not in shared}
        yield Comparison(DETECTORS.get(str(name), str(name)), tuple(_in_order(own)))


def _in_order(rows: dict[str, list[Setting]]) -> list[Setting]:
    return [setting for group in rows.values() for setting in group]


def _settings(runs: list[Run], of_paper: dict[str, Run]) -> dict[str, list[Setting]]:
    """The recipe of these runs by dotted key, in the order of the files: one entry where all runs agree."""
    pairs: dict[str, list[tuple[Any, Any, str]]] = {}
    for run in runs:
        paper, here = dict(flatten(_settings_of(of_paper[run.id]))), dict(flatten(_settings_of(run)))
        for key in dict.fromkeys((*paper, *here)):
            pairs.setdefault(key, []).append((paper.get(key), here.get(key), run.name.rpartition("/")[2]))
    found = {}
    for key, values in pairs.items():
        groups: dict[str, tuple[Any, Any, list[str]]] = {}
        for paper, here, name in values:
            groups.setdefault(repr((paper, here)), (paper, here, []))[2].append(name)
        found[key] = [
            Setting(
                key,
                *plain_pair(paper, here),
                differs=paper != here and key not in _CHANGES_NOTHING,
                runs=_named(members, [known for *_, known in groups.values()]),
                about=next(filter(None, (describe_field(type(run.settings), key) for run in runs)), ""),
            )
            for paper, here, members in groups.values()
        ]
    return found


def _settings_of(run: Run) -> dict[str, Any]:
    """The settings of a run; of a classifier that starts from weights, which; those of detectors are a deviation."""
    start = starting.kind_of(run.settings.starts_from) if run.detector is None else None
    settings = run.settings.resolved() | {"max_pool": run.settings.max_pool}  # which resolved() has only if it is false
    return settings | ({"starts_from": start} if start else {})


def _named(members: list[str], groups: list[list[str]]) -> tuple[str, ...]:
    """The runs of a group: none where it is the only one; the largest has no need of so many names."""
    if len(groups) == 1:
        return ()
    return ("the others",) if members is max(groups, key=len) and len(members) > 3 else tuple(members)


def _data(
    task: str, asked: EmbeddedImages | ImageData | EmbeddedScenes | CocoData, manifest: Manifest | None
) -> Iterator[Setting]:
    """Source and size of the data, as their manifest tells; before there is one, the source that the scale names."""
    source, name = _DATA[task]
    missing = "not prepared" if manifest is None else "not recorded"
    found = asked.source if manifest is None else manifest.source
    same = found == source and (not isinstance(asked, CocoData) or is_coco_2017(asked))
    yield Setting("Data", name, name if same else _SOURCES.get(str(found), str(found)), not same, recipe=False)
    splits = manifest.splits if manifest else {}
    for label, split, images in zip(("Training", "Validation"), ("train", "val"), SHIPPED[source], strict=True):
        yield _count(f"{label} images", images, splits[split].images if split in splits else None, missing)
    yield _count("Classes", CLASSES[source], len(manifest.classes) if manifest else None, missing)
    if task == "detection":
        limits = list(CocoData.model_fields["area_limits"].default)
        asked_limits = list(asked.area_limits) if isinstance(asked, CocoData | EmbeddedScenes) else limits
        areas = list(manifest.area_limits) if manifest and manifest.area_limits else asked_limits
        paper, here = (f"{plain(value)} px²".replace(", ", " and ") for value in (limits, areas))
        yield Setting("Areas where medium and large objects begin", paper, here, areas != limits, recipe=False)


def _count(label: str, paper: int, ours: Any, missing: str) -> Setting:
    known = isinstance(ours, int)
    differs = ours != paper if known else None
    return Setting(label, plain(paper), plain(ours) if known else missing, differs, recipe=False)


def _trainings(task: str, replication: Replication, results: list[Result]) -> Iterator[Setting]:
    """How often, on what and with which libraries the runs were trained, as their origins tell."""
    counts = [replication.seed_counts[run.id] for run in replication.runs.values() if run.task == task]
    most = max(counts)
    here = f"{number_range(counts)} (seed{'s 0 to ' if most > 1 else ' '}{most - 1})"
    known = task == "classification"
    differs = most > 1 if known else None
    yield Setting("Trainings per row", _TRAININGS[task], here, differs, recipe=False)
    origins = [result.origin.train for result in results]
    devices = sorted({(plain(origin.devices or 1), origin.device or "not recorded") for origin in origins})
    told = "; ".join(f"{count} × {name}" for count, name in devices) or "no result yet"
    other = any(count != str(DEVICES) for count, _ in devices) if devices else None
    yield Setting("Devices per training", f"{DEVICES} GPUs, their kind not recovered", told, other, recipe=False)
    for package, paper in _LIBRARIES[task].items():
        versions = {_version(origin, package) for origin in origins}
        told = ", ".join(sorted(versions)) or "no result yet"
        yield Setting("Library", paper, told, True if versions else None, recipe=False)


def _version(origin: TrainingRecord, package: str) -> str:
    return f"{package} {origin.versions.get(package, 'not recorded')}"


def _figures(ours: FigureSettings) -> Iterator[Setting]:
    """What figures 2 to 4 show."""
    for key, (label, paper) in _FIGURES.items():
        yield Setting(label, plain(paper), plain(getattr(ours, key)), getattr(ours, key) != paper, recipe=False)
    shown = "the first validation images of each class in turn"
    yield Setting("Which images", "of dogs", shown, True, recipe=False)
