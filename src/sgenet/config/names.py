"""Model names: an attention module and a depth, `sge-resnet50`. No torch is imported here."""

import math
import re
from typing import Any

from sgenet import attention

DEPTHS = (18, 34, 50, 101)
PAPER_WIDTH = 64  # channels of the stem in the paper's networks


def parse_name(model: str) -> tuple[str | None, int]:
    """Split a model name into its attention module and depth: `sge-resnet50` -> ("sge", 50).

    Raises:
        ValueError: the name is not of that form, there is no such module or depth, or the depth has no place for it.
    """
    match = re.fullmatch(r"(?:([a-z0-9_]+)-)?resnet(\d+)", model)
    if not match or int(match[2]) not in DEPTHS or (match[1] and match[1] not in attention.names()):
        nets, modules = ", ".join(f"resnet{depth}" for depth in DEPTHS), ", ".join(attention.names())
        raise ValueError(
            f"found model {model!r}, expected one of {nets}, or such a name after one of {modules} and '-'"
        )
    name, depth = match[1], int(match[2])
    if name is not None and attention.placement(name) == "conv" and not _has_bottlenecks(depth):
        deep = " or ".join(f"{name}-resnet{depth}" for depth in DEPTHS if _has_bottlenecks(depth))
        raise ValueError(f"found model {model!r}, but {name} stands inside bottlenecks, expected {deep}")
    return name, depth


def stage_channels(depth: int, width: int) -> int:
    """Channels of the first stage's output in a network whose stem has `width`; each later stage doubles them."""
    return width * (4 if _has_bottlenecks(depth) else 1)


def attention_settings(model: str, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Keyword arguments of the model's attention module in a network of the run's width; None for a plain model.

    `groups`, of any module, counts for the paper's width and falls with it, so that a group has as many channels as in
    the paper: 64 groups are 8 at width 8.

    Args:
        model: such as `sge-resnet50`.
        settings: of a run; `width` and `attention` are read.

    Raises:
        ValueError: `groups` or `reduction` does not fit the narrowest feature map, or see `parse_name`.
    """
    name, depth = parse_name(model)
    if name is None:
        return None
    own, width = dict(settings["attention"].get(name, {})), settings["width"]
    inside = attention.placement(name) == "conv"
    channels = width if inside else stage_channels(depth, width)  # of the first stage, the narrowest
    if "reduction" in own and own["reduction"] > channels:
        raise ValueError(
            f"attention.{name}.reduction: found {own['reduction']}, expected at most {channels}, "
            f"the channels that {name} meets in the first stage at width {width}"
        )
    if "groups" in own:
        own["groups"] = _scaled_groups(name, own["groups"], channels, width)
    return own


def _scaled_groups(name: str, groups: int, channels: int, width: int) -> int:
    paper_channels = channels * PAPER_WIDTH // width
    whole = PAPER_WIDTH // math.gcd(PAPER_WIDTH, width)  # so many groups of the paper make a whole number here
    if paper_channels % groups or groups % whole:
        multiple = f" and a multiple of {whole}, for whole groups at width {width}" if whole > 1 else ""
        raise ValueError(
            f"attention.{name}.groups: found {groups}, expected a divisor of {paper_channels}, "
            f"the channels that {name} meets in the first stage at width {PAPER_WIDTH}{multiple}"
        )
    return groups * width // PAPER_WIDTH


def _has_bottlenecks(depth: int) -> bool:
    return depth >= 50
