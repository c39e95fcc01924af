"""Attention modules behind one registry; nothing is imported before it is asked for.

Every module takes `channels` first and returns a tensor of its input's shape, so any of them fits into any block.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from sgenet.attention.sge import SpatialGroupEnhance

__all__ = ["SpatialGroupEnhance", "create", "names"]

# name in models, settings and state dicts -> class, in the file of that name
_CLASSES = {"sge": "SpatialGroupEnhance"}


def names() -> list[str]:
    """Names of the attention modules, as they stand in model names (`sge-resnet50`)."""
    return sorted(_CLASSES)


def create(name: str, channels: int, **settings: Any) -> "nn.Module":
    """Build the attention module `name` for feature maps of `channels` channels; KeyError if there is none."""
    return getattr(import_module(f"{__name__}.{name}"), _CLASSES[name])(channels, **settings)


def __getattr__(attribute: str) -> Any:
    for name, cls in _CLASSES.items():
        if cls == attribute:
            return getattr(import_module(f"{__name__}.{name}"), cls)
    raise AttributeError(f"module {__name__!r} has no attribute {attribute!r}")
