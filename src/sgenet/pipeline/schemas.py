"""JSON Schemas and the page of all parameters, generated from the models: `python -m sgenet.pipeline.schemas`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, create_model

from sgenet.config.claims import Claims
from sgenet.config.model import Model
from sgenet.config.pipeline import Pipeline
from sgenet.config.plain_yaml import read_yaml
from sgenet.config.recipes import DETECTORS, Classification, ClassificationOverrides, Detection, DetectionOverrides
from sgenet.config.scales import Scale
from sgenet.config.tables import Table
from sgenet.data.manifest import Manifest
from sgenet.evaluation.activations import MeasuredActivations
from sgenet.evaluation.comparison import Comparison

SCHEMAS, PAGE = Path("workflow/schemas"), Path("docs/parameters.md")
_RECIPES = "params/recipes"
_SCALE: type[Model] = create_model(
    "ScaleFile",
    __base__=Scale,
    __doc__=Scale.__doc__,
    classification=(ClassificationOverrides, Field(description=f"overrides of {_RECIPES}/classification.yaml")),
    detection=(DetectionOverrides, Field(description=f"overrides of {_RECIPES}/detection.yaml")),
)
FILES: dict[str, tuple[str, type[Model]]] = {  # name of the schema: title, model
    "pipeline": ("params/pipeline.yaml", Pipeline),
    "scale": ("params/scales/*.yaml", _SCALE),
    "classification": (f"{_RECIPES}/classification.yaml", Classification),
    "detection": (f"{_RECIPES}/detection.yaml", DetectionOverrides),
    "table": ("params/tables/*.yaml", Table),
    "claims": ("params/claims.yaml", Claims),
    "manifest": ("data/<scale>/<task>.json", Manifest),
    "activations": ("results/<scale>/evaluation/activations.json", MeasuredActivations),
    "comparison": ("reports/<scale>/comparison.json", Comparison),
}
_DOCUMENTED: dict[str, type[Model]] = {"scale": Scale, "detection": Detection}  # in place of overrides, for the page
_HEAD = """# Parameters

Every parameter of the files in `params/`, generated from the models in `sgenet.config` by `make schemas`. A scale may
override any parameter of the recipes; a row of a table may too, under `settings`.
"""
_LIMITS = {
    "minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "to {}", "exclusiveMaximum": "below {}",
    "minItems": "of at least {}", "maxItems": "and at most {}",
}  # fmt: skip


def schemas() -> dict[Path, str]:
    """Return the text of every generated JSON Schema by its path."""
    found = {}
    for name, (title, model) in FILES.items():
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
        schema |= _without_titles(model.model_json_schema())
        found[SCHEMAS / f"{name}.schema.json"] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return found


def _without_titles(schema: Any) -> Any:
    """Return a schema without the titles that pydantic makes of names."""
    if isinstance(schema, list):
        return [_without_titles(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key != "title" or not isinstance(value, str)}
    return {key: _without_titles(value) for key, value in kept.items()}


def page() -> str:
    """Return the text of docs/parameters.md."""
    parts = [_HEAD]
    for name, (title, model) in FILES.items():
        if not title.startswith("params/"):
            continue
        recipe = read_yaml(title) if title.startswith(_RECIPES) else {}
        schema = _DOCUMENTED.get(name, model).model_json_schema()
        parts.append(f"\n## {title}\n\n| parameter | value | meaning |\n|---|---|---|\n")
        parts += map(_line, _rows(_resolve(schema, schema)[0], schema, recipe))
        if name == "detection":
            parts += map(_line, _of_detectors(recipe["detectors"]))
    return "".join(parts)


def _line(row: tuple[str, str, str]) -> str:
    return f"| `{row[0]}` | {row[1]} | {row[2]} |\n"


def _of_detectors(recipe: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the rows of the parameters that single detectors have, besides the common ones."""
    yield "detectors", "mapping", "detector -> settings of its own, over the common ones"
    yield (
        "models",
        "mapping",
        "model, or a pattern such as *resnet101 -> settings of its own; also in `detectors.<name>`",
    )
    for name, model in DETECTORS.items():
        schema = model.model_json_schema()
        own = {key: entry for key, entry in schema["properties"].items() if key not in Detection.model_fields}
        yield from _rows({"properties": own}, schema, recipe.get(name), f"detectors.{name}.")


def _rows(schema: dict[str, Any], root: dict[str, Any], recipe: Any, place: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield key, kind of value and description of each parameter, those of nested models after their own."""
    for key, entry in schema.get("properties", {}).items():
        own = recipe.get(key) if isinstance(recipe, dict) else None
        merged, members = _resolve(entry, root)
        listed = merged.get("type") == "array" and merged.get("items", {}).get("$ref")
        path = f"{place}{key}{'[]' if listed else ''}"
        kind = _kind(merged, members)
        if own is not None and not isinstance(own, dict):
            kind += f"; recipe: {json.dumps(own)}"
        elif entry.get("default") not in (None, "", [], {}) and not isinstance(entry.get("default"), dict):
            kind += f"; default: {json.dumps(entry['default'])}"
        yield path, kind, merged.get("description", "").replace("|", "\\|").replace("\n", " ")
        if listed:
            members = [_resolve(merged["items"], root)[0]]
        if isinstance(named := merged.get("additionalProperties"), dict) and "$ref" in named:  # a mapping of names
            members, path = [_resolve(named, root)[0]], f"{path}.<name>"
        for member in members:
            form = member["properties"].get("source", {}) if len(members) > 1 else {}
            name = ", ".join(form.get("enum") or [form["const"]]) if form else ""
            for row in _rows(member, root, own, f"{path}."):
                yield (f"{row[0]} ({name})" if name else row[0], *row[1:])


def _resolve(entry: dict[str, Any], root: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return an entry with the first of its alternatives merged into it, and the models among these."""
    choices = [choice for choice in entry.get("anyOf") or entry.get("oneOf") or [entry] if choice.get("type") != "null"]
    found = [root["$defs"][choice["$ref"].rpartition("/")[2]] if "$ref" in choice else choice for choice in choices]
    models = [choice for choice in found if "properties" in choice]
    return {**(found[0] if found else {}), **entry}, models


def _kind(entry: dict[str, Any], members: list[dict[str, Any]]) -> str:
    if len(members) > 1:
        return "one of several forms, by `source`"
    if choices := entry.get("enum") or ([entry["const"]] if "const" in entry else []):
        return ", ".join(f"`{choice}`" for choice in choices)
    kind = {"object": "mapping", "array": "list", "string": "text", "boolean": "`true` or `false`"}
    words = [kind.get(entry.get("type", ""), entry.get("type", "value"))]
    if "minItems" in entry and entry["minItems"] == entry.get("maxItems"):
        return f"list of {entry['minItems']}"
    words += [text.format(f"{entry[limit]:g}") for limit, text in _LIMITS.items() if limit in entry]
    return " ".join(words)


def write() -> None:
    """Write all generated files."""
    for path, text in {**schemas(), PAGE: page()}.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
