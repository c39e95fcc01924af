"""Attention modules, one a file; the folder is the registry, and nothing is imported before it is asked for.

A module's name, in models (`sge-resnet50`), settings and state dicts, is that of its file; its class is the first of
the file's `__all__`. It takes `channels` first and its settings as keywords, and returns a tensor of its input's shape.
The class attribute `placement` says where it stands in a ResNet:

- `branch` (if there is none): at the end of each residual branch, after the last batch normalisation;
- `conv`: inside each bottleneck, in place of the 3x3 convolution, its normalisation and ReLU; it takes `stride` too,
  and all that it has is submodules, which stand in the block under their own names;
- `stage`: after each of the first three stages, held by the network as `<name>1` to `<name>3`.
"""

import inspect
import re
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from sgenet.attention.sge import SpatialGroupEnhance

__all__ = ["SpatialGroupEnhance", "create", "names", "placement"]

_PLACEMENTS = ("branch", "conv", "stage")


def names() -> list[str]:
    """Names of the attention modules: those of the files in this folder, without a leading underscore."""
    return list(_names(*__path__))


@cache
def _names(*folders: str) -> list[str]:
    return sorted(file.name for file in iter_modules(folders) if not file.name.startswith("_"))


def placement(name: str) -> str:
    """Where the module `name` stands, read from its source, so that torch need not be imported.

    Raises:
        ValueError: the source says something else than the three words above.
    """
    return _placement(name, *__path__)


@cache
def _placement(name: str, *_: str) -> str:
    spec = find_spec(f"{__name__}.{name}")
    assert spec is not None and spec.origin is not None, name
    found = re.search(r"^    placement\b.*=\s*[\"'](\w*)[\"']", Path(spec.origin).read_text(encoding="utf-8"), re.M)
    where = found[1] if found else "branch"
    if where not in _PLACEMENTS:
        raise ValueError(f"{spec.origin}: placement: found {where!r}, expected one of {', '.join(_PLACEMENTS)}")
    return where


def create(name: str, channels: int, /, **settings: Any) -> "nn.Module":
    """Build the attention module `name` for feature maps of `channels` channels.

    Raises:
        ValueError: there is no such module, it does not take these settings, it cannot be built with them, or its
            class stands elsewhere than its source told.
    """
    if name not in names():
        raise ValueError(f"found attention module {name!r}, expected one of {', '.join(names())}")
    module = import_module(f"{__name__}.{name}")
    cls = getattr(module, module.__all__[0])
    where, told = getattr(cls, "placement", "branch"), placement(name)
    if where != told:
        expected = f"expected {told!r}, as read from the text of its file; write it there as a plain word in the class"
        raise ValueError(f"attention.{name}: {cls.__name__}.placement: found {where!r}, {expected}")
    try:
        inspect.signature(cls).bind(channels, **settings)
    except TypeError as error:
        raise ValueError(f"attention.{name}: {error}") from None
    return cls(channels, **settings)


def __getattr__(attribute: str) -> Any:
    if attribute == "SpatialGroupEnhance":  # the paper's own module, for use outside this project
        return import_module(f"{__name__}.sge").SpatialGroupEnhance
    raise AttributeError(f"module {__name__!r} has no attribute {attribute!r}")
