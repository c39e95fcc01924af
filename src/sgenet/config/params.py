"""Reading and merging the parameters in params/, and their validation with the schemas in workflow/schemas/."""

import difflib
import math
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema

from sgenet.config.names import attention_names
from sgenet.config.plain_yaml import read_yaml
from sgenet.errors import InputError

Settings = dict[str, Any]

PARAMS = Path("params")
SCHEMAS = Path("workflow/schemas")
_LARGEST = 2.0**53  # every integer up to here is an exact floating-point number
_MOST_ERRORS = 1000  # collected, of which one is reported
_GOOD: set[tuple[str, bool, str]] = set()  # values that `check` accepted: schema, whether partial, value
_KINDS = dict.fromkeys(("folder", "imagenet", "packed"), "images")  # sources of data with the same settings


def merge(base: Settings, *overrides: Settings) -> Settings:
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


def layers(settings: Settings, detector: str, model: str) -> Iterator[Settings]:
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


def load(path: str | Path, schema: str) -> Settings:
    """Read a YAML file that must satisfy workflow/schemas/<schema>.schema.yaml; InputError if it does not."""
    value = read_yaml(path)
    check(value, schema, path)
    return value


def load_pipeline(scale: str | None = None, seeds: int | None = None, tables: list[str] | None = None) -> Settings:
    """Read params/pipeline.yaml; arguments that are not None, from the command line, override it."""
    path = PARAMS / "pipeline.yaml"
    chosen = {"scale": scale, "seeds": seeds, "tables": tables}
    value = read_yaml(path)
    check(value, "pipeline", path)
    value = merge(value, {key: choice for key, choice in chosen.items() if choice is not None})
    check(value, "pipeline", "command line")
    return value


def load_scale(scale: str) -> Settings:
    """Read params/scales/<scale>.yaml; its overrides are checked with the schemas of the tasks."""
    path = _choose("scales", "scale", scale)
    value = load(path, "scale")
    for task in ("classification", "detection"):
        check_overrides(value[task], task, path, (task,))
        check(value["data"][task], f"data-{task}", path, ("data", task))
        kind = _KINDS.get(source := value["data"][task]["source"], source)
        check(value["data"][task], f"data-{task}-{kind}", path, ("data", task))
    return value


def load_recipe(task: str) -> Settings:
    """Read params/recipes/<task>.yaml: the paper's hyper-parameters."""
    path = PARAMS / "recipes" / f"{task}.yaml"
    value = load(path, task)
    check_overrides(value, task, path)
    if task == "detection" and "detectors" not in value:
        raise InputError(f"{path}: detectors: missing")
    return value


def check_overrides(value: Settings, task: str, path: str | Path, at: tuple[str, ...] = ()) -> None:
    """Check overrides of a task's settings with the task's schema, and those of attention modules with their own."""
    check(value, task, path, at, partial=True)
    modules, known = value.get("attention", {}), attention_names()
    for name in sorted(modules.keys() - set(known)):
        raise InputError(f"{path}: {'.'.join((*at, 'attention', name))}: unknown key, {_hint(name, known)}")
    check(modules, "attention", path, (*at, "attention"), partial=True)
    for key in ("detectors", "models"):
        for name, own in value.get(key, {}).items():
            check_overrides(own, task, path, (*at, key, name))


def load_table(name: str) -> Settings:
    """Read params/tables/<name>.yaml."""
    return load(_choose("tables", "tables", name), "table")


def load_sources() -> dict[str, str]:
    """Read params/sources.yaml: source letter -> description."""
    path = PARAMS / "sources.yaml"
    value = read_yaml(path)
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise InputError(f"{path}: expected a mapping from a letter to the description of a source")
    return value


def check(value: Any, schema: str, path: str | Path, at: tuple[str, ...] = (), *, partial: bool = False) -> None:
    """Validate `value`, from file `path` under the keys `at`, with a schema; `partial` ignores what it requires.

    Raises:
        InputError: the value does not fit; the message names file, field, what was found and what was expected.
    """
    _check_finite(value, path, at)
    seen = schema, partial, repr(value)  # many runs have the same settings
    if seen in _GOOD:
        return
    found = islice(_validator(schema, partial).iter_errors(value), _MOST_ERRORS)
    errors = sorted(found, key=lambda error: list(map(str, error.path)))
    if not errors:
        _GOOD.add(seen)
        return
    error = jsonschema.exceptions.best_match(errors)
    assert error is not None
    field = ".".join(map(str, (*at, *error.absolute_path))) or "the whole file"
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        unknown = sorted(map(str, set(error.instance) - set(known)))
        place = ".".join((*at, *map(str, error.absolute_path), unknown[0]))
        raise InputError(f"{path}: {place}: unknown key, {_hint(unknown[0], known)}")
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        raise InputError(f"{path}: {'.'.join((*at, *map(str, error.absolute_path), missing[0]))}: missing")
    expected = {
        "type": f"expected {error.validator_value}",
        "enum": f"expected one of {', '.join(map(str, error.validator_value))}" if error.validator == "enum" else "",
    }.get(str(error.validator), f"expected {error.validator} {error.validator_value}")
    about = error.schema.get("description")
    raise InputError(f"{path}: {field}: found {error.instance!r}, {expected}" + (f" ({about})" if about else ""))


def _hint(unknown: str, known: list[str]) -> str:
    near = difflib.get_close_matches(unknown, known, 1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"


def _check_finite(value: Any, path: str | Path, at: tuple[str, ...]) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{path}: {'.'.join(at)}: found {value}, expected a finite number")
    if isinstance(value, int | float) and abs(value) > _LARGEST:
        raise InputError(f"{path}: {'.'.join(at)}: found {value}, expected a number up to {_LARGEST:g}")
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        _check_finite(entry, path, (*at, str(key)))


@cache
def _validator(schema: str, partial: bool) -> Any:
    path = SCHEMAS / f"{schema}.schema.yaml"
    return _Validator(_optional(read_yaml(path)) if partial else read_yaml(path))


def _unique(_: Any, wanted: bool, value: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
    """Check `uniqueItems` of texts and numbers; jsonschema compares all pairs of other items, which `items` refuses."""
    items = [item for item in value if isinstance(item, str | int | float)] if isinstance(value, list) else []
    if wanted and len(set(items)) < len(items):
        yield jsonschema.ValidationError(f"{value!r:.60} has equal items")


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    {"uniqueItems": _unique},
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer",
        lambda _, value: isinstance(value, int) and not isinstance(value, bool),  # 2.0 would reach range()
    ),
)


def _optional(schema: Any) -> Any:
    """Return the schema without `required`, to check overrides."""
    if isinstance(schema, dict):
        return {key: _optional(value) for key, value in schema.items() if key != "required"}
    return schema


def _choose(folder: str, what: str, name: str) -> Path:
    path = PARAMS / folder / f"{name}.yaml"
    known = sorted(file.stem for file in (PARAMS / folder).glob("*.yaml"))
    if name not in known:
        place = f"{PARAMS / 'pipeline.yaml'} or the command line: {what}"
        raise InputError(f"{place}: found {name!r}, expected one of {', '.join(known) or 'none'} ({PARAMS / folder}/)")
    return path
