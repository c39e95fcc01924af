"""Latency of the full-size networks on this machine: batch size 1, in eval mode.

The load of a machine changes over time. Therefore the networks under comparison are timed alternately in several
rounds, and each round gives one ratio to the plain network. The results are the median and the quartiles of the rounds.
"""

import time
from typing import Any

import numpy as np
import torch
from torch import nn

from sgenet.complexity.failures import describe_error
from sgenet.config.names import attention_settings
from sgenet.config.recipes import Network
from sgenet.models.resnet import create_resnet


def measure(
    networks: dict[str, tuple[str, Network]], baselines: dict[str, str], *, size: int, rounds: int, device: str
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Time networks and compare them with their baselines.

    Args:
        networks: name -> model such as `sge-resnet50` and its settings (`width`, `attention`).
        baselines: name -> name of the network that divides its time; a network without an entry is itself a baseline.
        size: height and width of the image in pixels.
        rounds: number of timed passes of each network, after one untimed pass.
        device: `cpu` or `cuda`.

    Returns:
        by name: `model`; `latency` in milliseconds and, with a baseline that could be timed, `latency_ratio`, each a
        mapping with `value` (the median), `low` and `high` (the quartiles). And by name, why a network failed.
    """
    families: dict[str, list[str]] = {}
    for name in networks:
        families.setdefault(baselines.get(name, name), []).append(name)
    found: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    for family in families.values():  # one family at a time, so that only one is in memory
        built: dict[str, nn.Module] = {}
        for name in family:
            try:
                built[name] = _build(*networks[name], device)
                _time({name: built[name]}, size, 0, device)
            except Exception as error:  # of an attention module, which may raise any
                failed[name] = describe_error(error)
                built.pop(name, None)
        seconds = _time(built, size, rounds, device)
        for name in built:
            found[name] = {"model": networks[name][0], "latency": _spread(1000 * seconds[name])}
            if baselines.get(name) in built:
                found[name]["latency_ratio"] = _spread(seconds[name] / seconds[baselines[name]])
    return {name: found[name] for name in networks if name in found}, failed


def _time(networks: dict[str, nn.Module], size: int, rounds: int, device: str) -> dict[str, np.ndarray]:
    """Seconds of a forward pass (rounds,) by name, after an untimed one."""
    image = torch.randn(1, 3, size, size, device=device)
    seconds = {name: np.empty(rounds) for name in networks}
    with torch.inference_mode():
        for network in networks.values():
            network(image)
        for turn in range(rounds):
            for name, network in networks.items():
                _finish(device)
                started = time.perf_counter()
                network(image)
                _finish(device)
                seconds[name][turn] = time.perf_counter() - started
    return seconds


def _finish(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def _build(model: str, settings: Network, device: str) -> nn.Module:
    """Build the network with weights of a typical scale; regular initialisation would take longer than the timing."""
    with torch.device("meta"):
        network = create_resnet(
            model,
            attention=attention_settings(model, settings),
            width=settings.width,
            max_pool=settings.max_pool,
        ).eval()
    network.to_empty(device=device)
    noise = torch.randn(max(parameter.numel() for parameter in network.parameters()), device=device)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.dim() > 1:
                tensor.copy_(noise[: tensor.numel()].view_as(tensor)).mul_((2 / tensor[0].numel()) ** 0.5)
            else:
                tensor.fill_(1)
    return network


def _spread(values: np.ndarray) -> dict[str, float]:
    low, value, high = (round(float(number), 4) for number in np.percentile(values, [25, 50, 75]))
    return {"value": value, "low": low, "high": high}
