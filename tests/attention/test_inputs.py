"""Every module of the registry with a map that it does not accept, and in networks that torch converts."""

import pytest
import torch

from sgenet.attention import create, names


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ((2, 32, 6, 7), "32 channels, expected 64"),
        ((2, 128, 6, 7), "128 channels, expected 64"),
        ((64, 6, 7), "3 dimensions, expected 4"),
    ],
)
def test_a_map_of_other_channels_is_refused(name, shape, found):
    with pytest.raises(ValueError, match=f"^{name.upper()}: (x: )?found {found}"):
        create(name, 64)(torch.randn(shape))


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("size", [(6, 7), (1, 1)])
@pytest.mark.parametrize("form", ["fx", "script", "trace"])
@pytest.mark.filterwarnings("error::torch.jit.TracerWarning")
def test_converted_networks_compute_the_same(name, size, form):
    torch.manual_seed(0)
    module = create(name, 64).eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(3, 64, *size)
    convert = {
        "fx": torch.fx.symbolic_trace,
        "script": torch.jit.script,
        "trace": lambda module: torch.jit.trace(module, torch.ones_like(x)),
    }[form]
    torch.testing.assert_close(convert(module)(x), module(x))
