"""Attention modules, one per file; the folder is the registry, and a module is imported when it is first used.

A module's name, in models (`sge-resnet50`), settings and state dicts, is the name of its file; its class is the first
in the file's `__all__`. The class takes `channels` first and its settings as keywords, and its output has the shape of
its input. The class attribute `placement` defines the module's position in a ResNet:

- `branch` (the default): at the end of each residual branch, after the last batch normalisation;
- `conv`: inside each bottleneck, in place of the 3x3 convolution, its normalisation and ReLU; the class also takes
  `stride`, and consists of submodules only, which the block registers under their own names;
- `stage`: after each of the first three stages, as the network's submodules `<name>1` to `<name>3`.
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
        ValueError: the module is unknown, does not accept these settings, cannot be built with them, or the `placement`
            of its class differs from the one read from its source.
    """
    if name not in names():
        raise ValueError(f"found attention module {name!r}, expected one of {', '.join(names())}")
    module = import_module(f"{__name__}.{name}")
    cls = getattr(module, module.__all__[0])
    actual, declared = getattr(cls, "placement", "branch"), placement(name)
    if actual != declared:
        expected = f"expected {declared!r}, as read from its source file; assign a string literal in the class"
        raise ValueError(f"attention.{name}: {cls.__name__}.placement: found {actual!r}, {expected}")
    try:
        inspect.signature(cls).bind(channels, **settings)
    except TypeError as error:
        raise ValueError(f"attention.{name}: {error}") from None
    return cls(channels, **settings)


def __getattr__(attribute: str) -> Any:
    if attribute == "SpatialGroupEnhance":  # the paper's own module, for use outside this project
        return import_module(f"{__name__}.sge").SpatialGroupEnhance
    raise AttributeError(f"module {__name__!r} has no attribute {attribute!r}")
