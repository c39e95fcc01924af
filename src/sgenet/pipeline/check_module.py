"""`sgenet check-module NAME`: check an attention module before it is trained, with one line of result per check."""

import statistics
import time

import torch
from torch import nn

from sgenet.complexity.count import count_full_size
from sgenet.complexity.failures import describe_error
from sgenet.config.model import hint
from sgenet.config.names import attention_names, placement
from sgenet.config.runs import network
from sgenet.errors import InputError
from sgenet.models.resnet import AttentionResNet, create_resnet
from sgenet.pipeline.module_checks import CHECKS, CheckError, Subject
from sgenet.training import devices

_BATCH, _CHANNELS, _SIDE = 4, 256, 56  # of the timed block, the last of the first stage, on 224 x 224 pixels
_ROUNDS = 5
_COLUMN = max(map(len, CHECKS)) + 2


def check_module(name: str, device: str = "auto") -> bool:
    """Check an attention module, and print a line for each check; returns whether it passed all of them.

    Args:
        name: of its file in `sgenet/attention`.
        device: `cpu`, `cuda`, or `auto`.

    Raises:
        InputError: there is no such module.
    """
    if name not in attention_names():
        found = f"check-module: found {name!r}, expected the name of a file in sgenet/attention"
        raise InputError(f"{found}; {hint(name, attention_names())}")
    subject = Subject(name, devices.acquire(device))
    print(f"{name}: placement {placement(name)}, on {devices.describe_device(subject.device)}", flush=True)
    passed = True
    for title, check in {**CHECKS, "operations": count_operations, "time": time_block}.items():
        torch.manual_seed(0)
        try:
            result, text = "ok", check(subject)
        except CheckError as error:
            result, text, passed = "FAILED", str(error), False
        except Exception as error:  # of the module, which may raise any
            result, text, passed = "FAILED", describe_error(error), False
        print(f"{result:<8}{title:<{_COLUMN}}{text}", flush=True)
    return passed


def count_operations(subject: Subject) -> str:
    """Parameters and operations, which are counted on tensors without values."""
    own = count_full_size(subject.model, subject.settings(), backbone=False)
    plain = count_full_size("resnet50", network("resnet50", subject.settings().plain()), backbone=False)
    added, gflops = own["params"] - plain["params"], own["gflops"] - plain["gflops"]
    return f"{added:+,} parameters and {gflops:+.3f} GFLOPs in a ResNet50"


def time_block(subject: Subject) -> str:
    """Time of a block with the module, against the plain block; no time is a failure."""
    plain = _last_block(create_resnet("resnet50").to(subject.device))
    own = _last_block(subject.network(narrow=False), subject.name)
    x = torch.randn(_BATCH, _CHANNELS, _SIDE, _SIDE, device=subject.device)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    ratios = []
    for turn in range(1 + _ROUNDS):
        seconds = [_time(block, x) for block in (plain, own)]
        if turn:  # the first pass compiles
            ratios.append(seconds[1] / seconds[0])
    of = f"{_BATCH} images of {_SIDE} x {_SIDE} positions, forward and backward"
    return f"{statistics.median(ratios):.2f} times the plain block, the median of {_ROUNDS} rounds ({of})"


def _time(block: nn.Module, x: torch.Tensor) -> float:
    """Seconds of a forward and a backward pass."""
    _finish(x)
    started = time.perf_counter()
    block(x).sum().backward()
    _finish(x)
    return time.perf_counter() - started


def _last_block(net: AttentionResNet, name: str | None = None) -> nn.Module:
    """The last block of the first stage, with the module that follows the stage, in the memory format of training."""
    block: nn.Module = net.to(memory_format=torch.channels_last).layer1[-1]
    return nn.Sequential(block, getattr(net, f"{name}1")) if name and net.between == name else block


def _finish(x: torch.Tensor) -> None:
    if x.is_cuda:
        torch.cuda.synchronize()
