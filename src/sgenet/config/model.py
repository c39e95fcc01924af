"""The base of all configuration models, and one sentence for what is wrong with a value.

A model (pydantic) is the one definition of a file of params/ or of a result: its checks, its JSON Schema in
workflow/schemas/ and its documentation.
"""

import difflib
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, Tag, ValidationError, create_model
from pydantic.fields import FieldInfo

from sgenet.errors import InputError

_LARGEST = 2.0**53  # every integer up to here is an exact floating-point number
_SHOWN = 80  # characters of a wrong value


def _check_number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"found {value!r:.60}, expected a number")
    return value


Number = Annotated[int | float, PlainValidator(_check_number)]  # an integer remains one
Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Seeds = Annotated[int, Field(ge=1, le=1000)]  # number of trainings of a run
Share = Annotated[float, Field(ge=0, le=1)]
Above0 = Annotated[float, Field(gt=0)]
Pair = Annotated[tuple[Above0, Above0], Field(strict=False)]
Text = Annotated[str, Field(min_length=1)]


class Model(BaseModel):
    """Base of the configuration models: unknown keys are refused, types are not converted, values do not change."""

    accepts_null: ClassVar[bool] = False  # null in a result is a value; in parameters, a key whose value was forgotten
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    def plain(self) -> dict[str, Any]:
        """Return the values that are set as dicts, lists, numbers and text, to be written to a file or compared."""
        return self.model_dump(mode="json", exclude_none=True)


M = TypeVar("M", bound=Model)


def validate(model: type[M], value: Any, path: str | Path, at: Sequence[str | int] = ()) -> M:
    """Return the model of a value that was read from a file.

    Args:
        model: the class to build.
        value: plain data.
        path: of the file.
        at: keys under which the value is in the file.

    Raises:
        InputError: the value does not fit; the message names file, field, what was found and what was expected.
    """
    _check_values(value, path, at, model.accepts_null)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        raise InputError(f"{path}: {_sentence(model, errors[0], at)}") from None


@cache
def partial(model: type[Model]) -> type[Model]:
    """Return a model of overrides: the same fields and checks of single values, none of them required."""
    fields: dict[str, Any] = {
        name: (_partial_type(field.annotation), FieldInfo.merge_field_infos(field, default=None))
        for name, field in model.model_fields.items()
    }
    base = next(kind for kind in model.__mro__[1:] if issubclass(kind, Model) and not kind.model_fields)
    return create_model(f"{model.__name__}Overrides", __base__=base, __doc__=model.__doc__, **fields)


def _partial_type(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return partial(annotation)
    if get_origin(annotation) is None:
        return annotation
    members = [_partial_type(member) for member in get_args(annotation)]
    models = [member for member in members if isinstance(member, type) and issubclass(member, Model)]
    return models[0] if models and type(None) in members else annotation


def _sentence(model: type[Model], error: Any, at: Sequence[str | int]) -> str:
    kind, found, context = error["type"], error["input"], error.get("ctx", {})
    fields, way, _ = _along(model, error["loc"])
    if kind.startswith("union_tag"):  # the key that says which model of several this is
        way = [*way, str(context["discriminator"]).strip("'")]
        kind, found = ("missing", found) if kind == "union_tag_not_found" else (kind, context["tag"])
    place = ".".join(map(str, (*at, *way))) or "the whole file"
    if kind == "missing" and isinstance(way[-1], int):
        parent = ".".join(map(str, (*at, *way[:-1])))
        return f"{parent}: found {found!r:.80}, expected {way[-1] + 1} entries or more"
    if kind == "missing":
        return f"{place}: missing"
    if kind == "extra_forbidden":
        *parents, last = error["loc"]
        known = [str(name) for kind in _along(model, parents)[2] for name in fields_of(kind)]
        return f"{place}: unknown key, {hint(str(last), known)}"
    if kind == "value_error":  # of this project's own checks, which begin with a field or with what was found
        text = str(context["error"])
        if text.startswith("found"):
            return f"{place}: {text}"
        return f"{place}.{text}" if at or way else text
    about = next((field.description for field in reversed(fields) if field.description), None)
    text = repr(found)
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return f"{place}: found {text}, expected {_expected(kind, context)}" + (f" ({about})" if about else "")


def _expected(kind: str, context: dict[str, Any]) -> str:
    """Return what an error of pydantic asks for, in words."""
    match kind:
        case "greater_than_equal":
            return f"at least {context['ge']:g}"
        case "greater_than":
            return f"more than {context['gt']:g}"
        case "less_than_equal":
            return f"at most {context['le']:g}"
        case "less_than":
            return f"less than {context['lt']:g}"
        case "literal_error" | "union_tag_invalid" | "enum":
            names = context.get("expected") or context["expected_tags"]
            return f"one of {names.replace(' or ', ', ')}".replace("'", "")
        case "string_pattern_mismatch":
            return f"pattern {context['pattern']}"
        case "too_short" | "string_too_short":
            return f"at least {context['min_length']} {_unit(context['min_length'], kind)}"
        case "too_long" | "string_too_long":
            return f"at most {context['max_length']} {_unit(context['max_length'], kind)}"
        case "finite_number":
            return "a finite number"
    nouns = {"int": "an integer", "float": "a number", "string": "text", "bool": "true or false"}
    nouns |= {"list": "a list", "tuple": "a list", "dict": "a mapping", "model": "a mapping"}
    return nouns.get(kind.partition("_")[0], kind.replace("_", " "))


def _unit(number: int, kind: str) -> str:
    word = "character" if kind.startswith("string") else "entry"
    return word if number == 1 else {"character": "characters", "entry": "entries"}[word]


def hint(unknown: str, known: Iterable[str]) -> str:
    """Return what was probably meant by an unknown key or name; the known ones if none is similar."""
    known = sorted(known)
    near = nearest(unknown, known)
    return f"did you mean {near}?" if near else f"expected one of {', '.join(known) or 'none'}"


def nearest(unknown: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the most similar known name, whose similarity (difflib's ratio) is at least `cutoff`."""
    return next(iter(difflib.get_close_matches(unknown, sorted(known), 1, cutoff)), None)


def _along(
    model: type[Model], place: Sequence[str | int]
) -> tuple[list[FieldInfo], list[str | int], list[type[Model]]]:
    """Return the fields on the way to a place, the way without the names of a union's members, and the models there."""
    fields: list[FieldInfo] = []
    way: list[str | int] = []
    inside = list(_models(model))
    for key in place:
        found = [fields_of(kind)[key] for kind in inside if key in fields_of(kind)]
        members = [kind for kind in inside if key in _tags(kind)]
        if members and not found:
            inside = members
            continue
        if fields and key in _members(fields[-1].annotation):
            continue
        way.append(key)
        if found:
            fields.append(found[0])
            inside = [kind for field in found for kind in _models(field.annotation)]
    return fields, way, inside


def describe_field(model: type[Model], key: str) -> str:
    """Return the description of a field by its dotted key; empty where the model has none such."""
    place = key.split(".")
    fields, way, _ = _along(model, place)
    return (fields[-1].description or "") if len(fields) == len(way) == len(place) else ""


def fields_of(model: type[Model]) -> dict[str | int, FieldInfo]:
    """Return the fields of a model by the keys that files use."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[Model]]:
    """Yield the models in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for member in get_args(annotation):
        yield from _models(member)


def _members(annotation: Any) -> set[str]:
    """Return the tags of a union whose members are chosen by a function."""
    return {part.tag for member in get_args(annotation) for part in get_args(member) if isinstance(part, Tag)}


def _tags(model: type[Model]) -> tuple[Any, ...]:
    """Return the values of a model's `source`, by which it is chosen among others."""
    return get_args(model.model_fields["source"].annotation) if "source" in model.model_fields else ()


def _check_values(value: Any, path: str | Path, at: Sequence[str | int], nulls: bool) -> None:
    """Refuse numbers that no parameter can have, and null, except as an argument of an attention module."""
    place = ".".join(map(str, at)) or "the whole file"
    if value is None and at and not nulls and "attention" not in at[-3:-2]:
        raise InputError(f"{path}: {place}: found no value, expected one, or the key left out")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{path}: {place}: found {value}, expected a finite number")
    if isinstance(value, int | float) and abs(value) > _LARGEST:
        raise InputError(f"{path}: {place}: found {value}, expected a number up to {_LARGEST:g}")
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        _check_values(entry, path, (*at, key), nulls)
