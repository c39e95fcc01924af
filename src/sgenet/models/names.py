"""Model names: an attention module and a depth, `sge-resnet50`. No torch is imported here."""

import re
from typing import Any

from sgenet import attention

DEPTHS = (18, 34, 50, 101)


def parse_name(model: str) -> tuple[str | None, int]:
    """Split a model name into its attention module and depth: `sge-resnet50` -> ("sge", 50).

    Raises:
        ValueError: the name is not of that form, or there is no such module or depth.
    """
    match = re.fullmatch(r"(?:([a-z0-9_]+)-)?resnet(\d+)", model)
    if not match or int(match[2]) not in DEPTHS or (match[1] and match[1] not in attention.names()):
        nets, modules = ", ".join(f"resnet{depth}" for depth in DEPTHS), ", ".join(attention.names())
        raise ValueError(
            f"found model {model!r}, expected one of {nets}, or such a name after one of {modules} and '-'"
        )
    return match[1], int(match[2])


def attention_settings(model: str, settings: dict[str, Any]) -> dict[str, Any] | None:
    """What a run's settings say of its model's attention module; None where they, or the model, name none."""
    name, _ = parse_name(model)
    return None if name is None else settings["attention"].get(name)
