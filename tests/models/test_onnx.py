"""ONNX files of SGE and its networks, run by onnxruntime, against the results in eager mode."""

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from sgenet.attention import SpatialGroupEnhance
from sgenet.models.resnet import create_resnet

DYNAMO = pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "torchscript"])


class Tail(nn.Module):
    """The end of a residual block."""

    def __init__(self, **settings):
        super().__init__()
        self.sge = SpatialGroupEnhance(8, 4, **settings)

    def forward(self, x, identity):
        return self.sge(x, identity, relu=True)


def randomise(module):
    torch.manual_seed(0)
    for name, parameter in module.named_parameters():
        if "sge" in name or isinstance(module, SpatialGroupEnhance):
            nn.init.normal_(parameter)
    return module.eval()


def check(module, channels, file, dynamo, sizes, **settings):
    """Export with free sizes of the first size's inputs, and compare the results for all sizes (N, H, W)."""

    def create(size):
        n, height, width = size
        return [torch.randn(n, count, height, width) + 0.3 for count in channels]

    names, given = [f"x{i}" for i in range(len(channels))], create(sizes[0])
    free, dim = {0: "n", 2: "h", 3: "w"}, torch.export.Dim.DYNAMIC
    if dynamo:
        settings["dynamic_shapes"] = tuple(dict.fromkeys(free, dim) for _ in given)
    else:
        settings["dynamic_axes"] = dict.fromkeys(names, free)
    torch.onnx.export(module, tuple(given), file, dynamo=dynamo, input_names=names, verbose=False, **settings)
    model = onnx.load(file)
    onnx.checker.check_model(model)
    assert {opset.domain for opset in model.opset_import} <= {"", "pkg.onnxscript.torch_lib.common"}
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for size in sizes:
        given = create(size)
        (found,) = session.run(None, {name: x.numpy() for name, x in zip(names, given, strict=True)})
        expected = module(*given).detach()
        assert (torch.from_numpy(found) - expected).abs().max() <= 1e-5 * expected.abs().max(), size
    return model.opset_import[0].version


SIZES = [(2, 5, 6), (3, 9, 4), (1, 1, 7), (2, 1, 1), (1, 56, 56)]


@DYNAMO
@pytest.mark.parametrize("normalize", [True, False])
def test_alone(tmp_path, dynamo, normalize):
    module = randomise(SpatialGroupEnhance(8, 4, normalize=normalize))
    check(module, [8], tmp_path / "sge.onnx", dynamo, SIZES)


@DYNAMO
def test_with_a_shortcut_and_relu(tmp_path, dynamo):
    check(randomise(Tail()), [8, 8], tmp_path / "tail.onnx", dynamo, SIZES)


@pytest.mark.parametrize(("dynamo", "opset"), [(True, 18), (False, 13)])
def test_the_lowest_opset_of_the_documentation(tmp_path, dynamo, opset):
    found = check(randomise(Tail()), [8, 8], tmp_path / "tail.onnx", dynamo, SIZES, opset_version=opset)
    assert found == opset


@DYNAMO
@pytest.mark.parametrize("model", ["sge-resnet18", pytest.param("sge-resnet50", marks=pytest.mark.slow)])
def test_a_network(tmp_path, dynamo, model):
    network = randomise(create_resnet(model, width=8, attention={"groups": 8}, num_classes=3))
    check(network, [3], tmp_path / "network.onnx", dynamo, [(2, 64, 96), (1, 96, 64), (3, 160, 64)])
