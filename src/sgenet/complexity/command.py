"""`sgenet complexity MODEL`: the counts of one full-size model, as text or JSON."""

import json
from typing import Any

from sgenet.config import params, paths
from sgenet.config.names import PAPER_WIDTH, parse_name
from sgenet.config.recipes import Attention, Network
from sgenet.config.runs import network
from sgenet.config.tasks import Task
from sgenet.errors import InputError

SIDES = (32, 16384)  # pixels: the network halves its input five times; larger inputs are not used


def describe(model: str, *, backbone: bool, size: tuple[int, int] | None, as_json: bool) -> str:
    """Count a model with the recipe's settings and return what to print.

    Outside of a checkout, the settings are the paper's: its width, and the defaults of the attention module.

    Args:
        model: such as `sk-resnet101`.
        backbone: as in the detection tables: without the last layer, by default on 800 x 1333 pixels.
        size: height and width in pixels.
        as_json: one line of JSON with exact values; otherwise text.

    Raises:
        InputError: the model is unknown or fails, or the size is out of range.
    """
    try:
        parse_name(model)
    except ValueError as error:
        raise InputError(f"complexity: {error}") from None
    if size is not None and not all(SIDES[0] <= side <= SIDES[1] for side in size):
        found = " ".join(map(str, size))
        raise InputError(f"--input: found {found}, expected height and width from {SIDES[0]} to {SIDES[1]} pixels")
    from sgenet.complexity.count import count_full_size
    from sgenet.complexity.failures import describe_error

    if paths.in_checkout():
        settings = network(model, params.load_recipe(Task.DETECTION if backbone else Task.CLASSIFICATION))
    else:
        settings = Network(width=PAPER_WIDTH, attention=Attention())
    try:
        counted = count_full_size(model, settings, backbone=backbone, size=size)
    except InputError:
        raise
    except Exception as error:  # of an attention module, which may raise any
        raise InputError(f"{model}: cannot be counted: {describe_error(error)}") from None
    return json.dumps(counted) if as_json else _text(counted)


def _text(counted: dict[str, Any]) -> str:
    height, width = counted["input"]
    lines = [
        f"{counted['model']}, {counted['part']}, one image of {height} x {width} pixels",
        f"params  {counted['params'] / 1e6:11.3f} M  trainable parameters",
        f"gflops  {counted['gflops']:11.3f} G  operations by the authors' convention",
        f"macs    {counted['macs'] / 1e9:11.3f} G  multiply-adds, and one per element for every other operation",
    ]
    return "\n".join(lines)
