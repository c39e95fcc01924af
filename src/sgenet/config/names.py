"""Model names: an attention module and a depth, `sge-resnet50`. No torch is imported here."""

import math
import re
import sys
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

DEPTHS = (18, 34, 50, 101)
PAPER_WIDTH = 64  # channels of the stem in the paper's networks


_PLACEMENTS = ("branch", "conv", "stage")


def _folders() -> list[str]:
    """Folders of the attention modules; the package is not imported for them."""
    package = sys.modules.get("sgenet.attention")
    spec = None if package else find_spec("sgenet.attention")
    return [*(package.__path__ if package else (spec and spec.submodule_search_locations) or [])]


def attention_names() -> list[str]:
    """Names of the attention modules: those of the files in `sgenet/attention`, without a leading underscore."""
    return list(_names(*_folders()))


@cache
def _names(*folders: str) -> list[str]:
    return sorted(file.name for file in iter_modules(folders) if not file.name.startswith("_"))


def placement(name: str) -> str:
    """Where the attention module `name` is placed in a ResNet, read from its source, so that torch is not imported.

    Raises:
        ValueError: the source says something else than the three words above.
    """
    return _placement(name, *_folders())


@cache
def _placement(name: str, *folders: str) -> str:
    spec = PathFinder.find_spec(name, [*folders])
    assert spec is not None and spec.origin is not None, name
    found = re.search(r"^    placement\b.*=\s*[\"'](\w*)[\"']", Path(spec.origin).read_text(encoding="utf-8"), re.M)
    where = found[1] if found else "branch"
    if where not in _PLACEMENTS:
        raise ValueError(f"{spec.origin}: placement: found {where!r}, expected one of {', '.join(_PLACEMENTS)}")
    return where


def parse_name(model: str) -> tuple[str | None, int]:
    """Split a model name into its attention module and depth: `sge-resnet50` -> ("sge", 50).

    Raises:
        ValueError: the name is not of that form, there is no such module or depth, or the depth has no place for it.
    """
    match = re.fullmatch(r"(?:([a-z0-9_]+)-)?resnet(\d+)", model)
    if not match or int(match[2]) not in DEPTHS or (match[1] and match[1] not in attention_names()):
        nets, modules = ", ".join(f"resnet{depth}" for depth in DEPTHS), ", ".join(attention_names())
        raise ValueError(
            f"found model {model!r}, expected one of {nets}, or such a name after one of {modules} and '-'"
        )
    name, depth = match[1], int(match[2])
    if name is not None and placement(name) == "conv" and not _has_bottlenecks(depth):
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
    inside = placement(name) == "conv"
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
