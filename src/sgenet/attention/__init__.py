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
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sgenet.config.names import attention_names as names
from sgenet.config.names import placement

if TYPE_CHECKING:
    from torch import nn

    from sgenet.attention.sge import SpatialGroupEnhance

__all__ = ["SpatialGroupEnhance", "create", "names", "placement"]


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
