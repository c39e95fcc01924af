"""Reading the files of params/, and merging what recipe, scale and row say of one run."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sgenet.config.model import M, Model, hint, validate
from sgenet.config.names import attention_names
from sgenet.config.pipeline import Pipeline
from sgenet.config.plain_yaml import read_yaml
from sgenet.config.recipes import (
    DETECTOR_OVERRIDES,
    DETECTORS,
    Classification,
    ClassificationOverrides,
    Detection,
    DetectionOverrides,
)
from sgenet.config.scales import Scale
from sgenet.config.tasks import Task
from sgenet.errors import InputError

Overrides = dict[str, Any]  # settings of a recipe, a scale or a row as in its file, to be merged

PARAMS = Path("params")
OVERRIDES: dict[str, type[Model]] = {Task.CLASSIFICATION: ClassificationOverrides, Task.DETECTION: DetectionOverrides}


def merge(base: Overrides, *overrides: Overrides) -> Overrides:
    """Return `base` with the overrides applied in order.

    Mappings are merged key by key. If `type` changes, the override replaces the mapping: AdamW does not inherit the
    momentum of the SGD that it replaces. All other values are replaced.
    """
    merged = dict(base)
    for override in overrides:
        for key, value in override.items():
            old = merged.get(key)
            if isinstance(old, dict) and isinstance(value, dict):
                other_type = "type" in value and value["type"] != old.get("type")
                merged[key] = dict(value) if other_type else merge(old, value)
            else:
                merged[key] = value
    return merged


def merge_layers(detector: str | None, model: str, *sources: Overrides) -> Overrides:
    """Return the settings of a model, with a detector if it is not None, from recipe, scale and row."""
    return merge({}, *(layer for source in sources for layer in layers(source, detector, model)))


def layers(settings: Overrides, detector: str | None, model: str) -> Iterator[Overrides]:
    """Yield the common settings, then those for this detector and for this model, in the order of merging.

    `detectors` maps the name of a detector to its settings; `models` maps a pattern such as `*resnet101`.
    """
    common = dict(settings)
    detectors, models = common.pop("detectors", {}), common.pop("models", {})
    yield common
    own = [value for name, value in detectors.items() if name == detector]
    own += [value for pattern, value in models.items() if fnmatchcase(model, pattern)]
    for value in own:
        yield from layers(value, detector, model)


def load(path: str | Path, model: type[M]) -> M:
    """Read a YAML file as a model; InputError if it does not fit."""
    return validate(model, read_yaml(path), path)


def load_pipeline(
    scale: str | None = None, seeds: int | None = None, tables: list[str] | None = None, code: str | None = None
) -> Pipeline:
    """Read params/pipeline.yaml; arguments that are not None, from the command line, override it."""
    path = PARAMS / "pipeline.yaml"
    chosen = {"scale": scale, "seeds": seeds, "tables": tables, "code": code}
    value = read_yaml(path)
    validate(Pipeline, value, path)
    return validate(
        Pipeline, value | {key: choice for key, choice in chosen.items() if choice is not None}, "command line"
    )


def load_scale(scale: str) -> Scale:
    """Read params/scales/<scale>.yaml; its overrides are checked too."""
    path = choose("scales", "scale", scale)
    value = load(path, Scale)
    for task in OVERRIDES:
        check_overrides(getattr(value, task), task, path, (task,))
    return value


def load_recipe(task: str) -> Overrides:
    """Read params/recipes/<task>.yaml, the paper's hyper-parameters, to be merged with overrides."""
    path = PARAMS / "recipes" / f"{task}.yaml"
    if not path.exists():
        raise InputError(f"{path}: not found, expected the repository's root as the working folder")
    value = read_yaml(path)
    if task == Task.CLASSIFICATION:
        validate(Classification, value, path)
    check_overrides(value, task, path)
    if task == Task.DETECTION:
        if not value.get("detectors"):
            raise InputError(f"{path}: detectors: missing")
        for name, field in Detection.model_fields.items():
            if field.is_required() and not all(name in {**value, **own} for own in value["detectors"].values()):
                raise InputError(f"{path}: {name}: missing")
        for detector in value["detectors"]:
            validate(DETECTORS[detector], merge_layers(detector, "", value), path, ("detectors", detector))
    return value


def check_overrides(
    value: Overrides, task: str, path: str | Path, at: tuple[str, ...] = (), detector: str | None = None
) -> None:
    """Check overrides of a task's settings, or of one detector's, and that the attention modules in them exist."""
    validate(DETECTOR_OVERRIDES[detector] if detector else OVERRIDES[task], value, path, at)
    _check_modules(value, path, at)


def _check_modules(value: Overrides, path: str | Path, at: tuple[str, ...]) -> None:
    """Check that the attention modules exist, also in settings of single detectors and models."""
    known = attention_names()
    for name in sorted(value.get("attention", {}).keys() - set(known)):
        raise InputError(f"{path}: {'.'.join((*at, 'attention', name))}: unknown key, {hint(name, known)}")
    for group in ("detectors", "models"):
        for name, own in value.get(group, {}).items():
            _check_modules(own, path, (*at, group, name))


def load_sources() -> dict[str, str]:
    """Read params/sources.yaml: source letter -> description."""
    path = PARAMS / "sources.yaml"
    value = read_yaml(path)
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise InputError(f"{path}: expected a mapping from a letter to the description of a source")
    return value


def choose(folder: str, what: str, name: str) -> Path:
    """Return the path of a scale or a table; the InputError of an unknown name has the nearest one."""
    known = names(folder)
    if name not in known:
        place = f"{PARAMS / 'pipeline.yaml'} or the command line: {what}"
        raise InputError(f"{place}: found {name!r}, no such file in {PARAMS / folder}/; {hint(name, known)}")
    return PARAMS / folder / f"{name}.yaml"


def names(folder: str) -> list[str]:
    """Return the names of the scales or of the tables that params/ has."""
    return sorted(file.stem for file in (PARAMS / folder).glob("*.yaml"))
