"""Model names: an attention module and a depth, `sge-resnet50`. No torch is imported here."""

import math
import re
import sys
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgenet.config.recipes import Network

DEPTHS = (18, 34, 50, 101)
PAPER_WIDTH = 64  # channels of the stem in the paper's networks


_PLACEMENTS = ("branch", "conv", "stage")


def _folders() -> list[str]:
    """Return the folders of the attention modules without importing their package."""
    package = sys.modules.get("sgenet.attention")
    spec = None if package else find_spec("sgenet.attention")
    return [*(package.__path__ if package else (spec and spec.submodule_search_locations) or [])]


def attention_names() -> list[str]:
    """Return the names of the attention modules: the files of `sgenet/attention` without a leading underscore."""
    return list(_names(*_folders()))


@cache
def _names(*folders: str) -> list[str]:
    return sorted(file.name for file in iter_modules(folders) if not file.name.startswith("_"))


def placement(name: str) -> str:
    """Return the placement of the attention module `name` in a ResNet: `branch`, `conv` or `stage`.

    It is read from the module's source, so that torch is not imported.

    Raises:
        ValueError: the source sets another value.
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
        ValueError: the name has another form, the module or depth does not exist, or they do not fit each other.
    """
    match = re.fullmatch(r"(?:([a-z0-9_]+)-)?resnet(\d+)", model)
    if not match or int(match[2]) not in DEPTHS or (match[1] and match[1] not in attention_names()):
        nets, modules = ", ".join(f"resnet{depth}" for depth in DEPTHS), ", ".join(attention_names())
        raise ValueError(f"found model {model!r}, expected one of {nets}, or one of {modules}, '-' and such a name")
    name, depth = match[1], int(match[2])
    if name is not None and placement(name) == "conv" and not _has_bottlenecks(depth):
        deep = " or ".join(f"{name}-resnet{depth}" for depth in DEPTHS if _has_bottlenecks(depth))
        raise ValueError(f"found model {model!r}, but {name} is placed inside bottlenecks, expected {deep}")
    return name, depth


def stage_channels(depth: int, width: int) -> int:
    """Return the channels of the first stage's output if the stem has `width`; each later stage doubles them."""
    return width * (4 if _has_bottlenecks(depth) else 1)


def attention_settings(model: str, settings: "Network") -> dict[str, Any] | None:
    """Return the keyword arguments of a model's attention module at the run's width; None for a plain model.

    `groups` is given for the paper's width of 64 and is scaled with the width, so that a group has as many channels as
    in the paper: 64 groups become 8 at width 8.

    Args:
        model: such as `sge-resnet50`.
        settings: of a run; `width` and `attention` are used.

    Raises:
        ValueError: `groups` or `reduction` does not fit the narrowest feature map; see also `parse_name`.
    """
    name, depth = parse_name(model)
    if name is None:
        return None
    own, width = settings.attention.of(name), settings.width
    inside = placement(name) == "conv"
    channels = width if inside else stage_channels(depth, width)  # of the first stage, the narrowest
    if "reduction" in own and own["reduction"] > channels:
        raise ValueError(
            f"attention.{name}.reduction: found {own['reduction']}, expected at most {channels}, "
            f"the input channels of {name} in the first stage at width {width}"
        )
    if "groups" in own:
        own["groups"] = _scaled_groups(name, own["groups"], channels, width)
    return own


def _scaled_groups(name: str, groups: int, channels: int, width: int) -> int:
    paper_channels = channels * PAPER_WIDTH // width
    whole = PAPER_WIDTH // math.gcd(
        PAPER_WIDTH, width
    )  # `groups` must be a multiple of this, so that the scaled number is whole
    if paper_channels % groups or groups % whole:
        multiple = f" and a multiple of {whole}, for whole groups at width {width}" if whole > 1 else ""
        raise ValueError(
            f"attention.{name}.groups: found {groups}, expected a divisor of {paper_channels}, "
            f"the input channels of {name} in the first stage at width {PAPER_WIDTH}{multiple}"
        )
    return groups * width // PAPER_WIDTH


def _has_bottlenecks(depth: int) -> bool:
    return depth >= 50
