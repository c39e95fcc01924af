"""The examples of docs/library.md, run one after the other, and the networks that they build."""

import re
from pathlib import Path

import onnxruntime
import pytest
import timm
import torch

from sgenet.attention import create, names, placement
from sgenet.models.resnet import create_resnet

DOCUMENT = Path(__file__).parents[2] / "docs/library.md"


@pytest.fixture(scope="module")
def examples():
    """The document's Python blocks."""
    return re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S)


def test_with_torchvisions_and_timms_networks(examples):
    found, networks = {}, []
    for example in examples:
        if "create_resnet" in example:
            break
        exec(example, found)
        if "network" in found:
            networks.append(found.pop("network"))
    assert found["y"].shape == (2, 256, 56, 56)
    expected = create_resnet("sge-resnet50").eval()
    torch.nn.init.normal_(expected.layer4[2].sge.weight)
    x = torch.randn(1, 3, 64, 64)
    for network, prefix in zip(networks, ("sge", "se"), strict=True):
        state = {name.replace(".sge.", f".{prefix}."): value for name, value in expected.state_dict().items()}
        network.load_state_dict(state)
        torch.testing.assert_close(network.eval()(x), expected(x), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_export(examples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = {}
    for example in examples:
        if "create_model" not in example and "Bottleneck" not in example:
            exec(example, found)
    x = torch.randn(1, 3, 224, 224)
    expected = found["network"](x).detach()
    torch.testing.assert_close(torch.export.load("sge-resnet50.pt2").module()(x), expected, rtol=1e-5, atol=1e-5)
    session = onnxruntime.InferenceSession("sge-resnet50.onnx", providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(output), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in names() if placement(name) != "conv"])
def test_every_module_is_an_attention_layer_of_timm(name):
    layer = type(create(name, 64))
    network = timm.create_model("resnet18", block_args={"attn_layer": layer}, num_classes=2, dtype=torch.float64)
    assert sum(isinstance(module, layer) for module in network.modules()) == 8
    y = network(torch.randn(2, 3, 64, 64, dtype=torch.float64))
    y.sum().backward()
    assert all(parameter.grad.dtype == torch.float64 for parameter in network.parameters())


@pytest.mark.parametrize("name", names())
def test_parameters_are_created_on_the_device_and_of_the_type_that_are_given(name):
    module = create(name, 64, device="meta", dtype=torch.float16)
    assert {(tensor.device.type, tensor.dtype) for tensor in module.parameters()} == {("meta", torch.float16)}
    torch.manual_seed(0)
    expected = create(name, 64)
    torch.manual_seed(0)
    given = create(name, 64, device="cpu", dtype=torch.float32)
    assert all(map(torch.equal, given.state_dict().values(), expected.state_dict().values()))
