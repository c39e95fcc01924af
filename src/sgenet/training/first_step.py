"""Why a training is not finite at its first step: the first layer whose output, or gradient, is not.

The step is repeated with the weights that the training started from, on the same batch and with the same random
numbers. The learning rate has had no effect by then, so that a lower one would not help.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from sgenet.weights.checkpoints import copy_weights


class FirstStep:
    """The first step of a training, to be explained if it fails.

    Args:
        network: its names are those of the state dict; a copy of its weights is kept.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self._weights = copy_weights(network)

    def explain_loss(self, model: nn.Module, batch: Any) -> str:
        """Name the first layer whose output is not finite in a forward pass.

        Args:
            model: the model that is trained, with or without its distributed wrapper.
            batch: as the data loader returned it.
        """
        found: list[str] = []

        def look(name: str, inputs: Any, output: Any) -> None:
            if not found and not _are_finite(output):
                also = "" if _are_finite(inputs) else ", and its input is not finite either"
                found.append(self._describe(name) + also)

        with self._watched(lambda *_: None, look), torch.no_grad():
            self._repeat(model, batch, lambda loss: None)
        if found:
            return f"the first layer whose output is not finite is {found[0]}"
        return "the outputs of all layers are finite, and the loss of these outputs is not"

    def explain_gradients(self, model: nn.Module, batch: Any) -> str | None:
        """Name the layer where a backward pass turns finite gradients into others; None if all remain finite."""
        bad_inputs, bad_outputs = set[str](), set[str]()
        order: list[str] = []

        def watch(name: str, tensors: Any, bad: set[str]) -> None:
            def note(gradient: Tensor) -> None:
                if not _are_finite(gradient):
                    bad.add(name)

            for tensor in _tensors(tensors):
                if tensor.requires_grad:
                    tensor.register_hook(note)

        def look(name: str, inputs: Any, output: Any) -> None:
            order.append(name)
            watch(name, output, bad_outputs)

        self.network.zero_grad()
        with self._watched(lambda name, inputs: watch(name, inputs, bad_inputs), look):
            self._repeat(model, batch, lambda loss: loss.backward())
        for name in order:  # of nested layers the innermost comes first
            weights = [weight.grad for weight in self.network.get_submodule(name).parameters()]
            if name not in bad_outputs and (name in bad_inputs or not _are_finite(weights)):
                return f"the backward pass of {self._describe(name)} returns gradients that are not finite"
        return None

    def _describe(self, name: str) -> str:
        return f"{name or 'the network'} ({type(self.network.get_submodule(name)).__name__})"

    @contextmanager
    def _watched(self, before: Callable[[str, Any], None], after: Callable[[str, Any, Any], None]) -> Iterator[None]:
        """Call `before` with name and inputs of each layer, and `after` with name, inputs and output."""
        hooks = []
        for name, layer in self.network.named_modules():
            hooks.append(layer.register_forward_pre_hook(lambda _, inputs, name=name: before(name, inputs)))
            hooks.append(layer.register_forward_hook(lambda _, *data, name=name: after(name, *data)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _repeat(self, model: nn.Module, batch: Any, act: Any) -> None:
        """Compute the loss of a batch as in training, with the weights at the start, and call `act` with it."""
        self.network.load_state_dict(self._weights)
        bare: Any = model.module if is_model_wrapper(model) else model
        with torch.compiler.set_stance("force_eager"):  # compiled code calls no hooks
            bare.train_step(batch, _WithoutOptimizer(act))


class _WithoutOptimizer:
    """What `train_step` uses of mmengine's OptimWrapper, without an optimiser."""

    def __init__(self, act: Any) -> None:
        self.update_params = act

    def optim_context(self, model: nn.Module) -> nullcontext[None]:
        return nullcontext()


def _are_finite(value: Any) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in _tensors(value))


def _tensors(value: Any) -> Iterator[Tensor]:
    """The floating-point tensors in nested lists, tuples and mappings."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, list | tuple | dict):
        for member in value.values() if isinstance(value, dict) else value:
            yield from _tensors(member)
