"""Networks by every way of torch to capture them, against their results in eager mode."""

import copy
import io
import pickle

import pytest
import torch
from torch.ao.quantization import disable_fake_quant, disable_observer, get_default_qat_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_qat_fx
from torchvision.models.feature_extraction import create_feature_extractor

from sgenet.models.resnet import create_resnet

SGE = pytest.mark.parametrize("model", ["sge-resnet18", pytest.param("sge-resnet50", marks=pytest.mark.slow)])
BLOCKS = pytest.mark.parametrize("model", ["sge-resnet18", "sge-resnet50"])
SIZES = [(2, 64, 96), (1, 96, 64)]  # N, H, W


def network(model, dtype=torch.float64):
    torch.manual_seed(0)
    settings = {"sge": {"groups": 16}, "sk": {"groups": 8}}.get(model.partition("-")[0])
    built = create_resnet(model, width=16, attention=settings, num_classes=3).to(dtype).eval()
    for name, parameter in built.named_parameters():
        if "sge" in name:
            torch.nn.init.normal_(parameter)
    return built


def images(size=SIZES[0], dtype=torch.float64):
    n, height, width = size
    return torch.randn(n, 3, height, width, dtype=dtype)


def assert_same(found, network):
    for size in SIZES:
        x = images(size)
        torch.testing.assert_close(found(x), network(x), rtol=1e-9, atol=1e-9)


@SGE
@pytest.mark.parametrize("strict", [pytest.param(True, marks=pytest.mark.slow), False])
def test_exported_a_network_needs_no_operator_of_this_package(model, strict):
    built, dim = network(model), torch.export.Dim.DYNAMIC
    program = torch.export.export(built, (images(),), dynamic_shapes=({0: dim, 2: dim, 3: dim},), strict=strict)
    assert not any("sgenet" in str(node.target) for node in program.graph.nodes)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    assert_same(torch.export.load(file).module(), built)


@pytest.mark.parametrize("model", ["sge-resnet18", "bam-resnet18", pytest.param("sk-resnet50", marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", ["script", "trace", "fx"])
def test_captured_a_network_keeps_its_names_and_results(model, how):
    built = network(model)
    before = built(x := images())
    if how == "fx":
        captured = torch.fx.symbolic_trace(built)
    else:
        compiled = torch.jit.script(built) if how == "script" else torch.jit.trace(built, images())
        file = io.BytesIO()
        torch.jit.save(compiled, file)
        file.seek(0)
        captured = torch.jit.load(file)
    assert captured.state_dict().keys() == built.state_dict().keys()
    assert_same(captured, built)
    torch.testing.assert_close(built(x), before, rtol=0, atol=0)  # the network itself is unchanged
    assert type(built.layer1[0]).__name__ in ("BasicBlock", "Bottleneck")


@BLOCKS
def test_a_block_can_be_scripted(model):
    block = network(model).layer2[0]
    scripted = torch.jit.script(block)
    x = torch.randn(2, block.conv1.in_channels, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(scripted(x), block(x), rtol=1e-9, atol=1e-9)


def test_the_node_of_sge_has_the_output_of_its_block():
    built = network("sge-resnet18")
    maps = create_feature_extractor(built, ["layer1.0.bn2", "layer1.0.sge", "layer4"])(x := images())
    stem = built.maxpool(built.relu(built.bn1(built.conv1(x))))
    torch.testing.assert_close(maps["layer1.0.sge"], built.layer1[0](stem))
    torch.testing.assert_close(maps["layer1.0.sge"], (built.layer1[0].sge(maps["layer1.0.bn2"]) + stem).relu())
    torch.testing.assert_close(maps["layer4"], built.stage_outputs(x)[-1])


@SGE
def test_quantisation_aware_training_quantises_the_layers_around_sge(model):
    built, x = network(model, torch.float32).train(), images(dtype=torch.float32)
    prepared = prepare_qat_fx(copy.deepcopy(built), get_default_qat_qconfig_mapping("x86"), (x,))
    exact = copy.deepcopy(prepared).apply(disable_fake_quant).apply(disable_observer)
    torch.testing.assert_close(exact(x), copy.deepcopy(built)(x), rtol=1e-3, atol=1e-3)
    optimizer = torch.optim.SGD(prepared.parameters(), lr=1e-3)
    prepared(x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in prepared.parameters())
    optimizer.step()
    quantised = convert_fx(copy.deepcopy(prepared).eval())
    nodes = [node.name for node in quantised.graph.nodes if node.name.startswith("spatial_group_enhance_add_relu")]
    assert len(nodes) == sum(name.endswith("sge.weight") for name in built.state_dict())
    assert not any(isinstance(layer, torch.nn.Conv2d) for layer in quantised.modules())
    simulated = prepared.apply(disable_observer).eval()(x)
    assert (quantised(x) - simulated).norm() < 0.5 * simulated.norm()


@BLOCKS
def test_a_compiled_block_equals_the_block(model):
    torch.compiler.reset()
    block = network(model).layer1[1].train()
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager", dynamic=True)
    for size in ((2, 8, 6), (3, 4, 7)):
        x = torch.randn(size[0], block.conv1.in_channels, *size[1:], dtype=torch.float64, requires_grad=True)
        found, expected = compiled(x), block(x)
        torch.testing.assert_close(found, expected)
        inputs = (x, *block.parameters())
        torch.testing.assert_close(
            torch.autograd.grad(found.square().sum(), inputs), torch.autograd.grad(expected.square().sum(), inputs)
        )


@BLOCKS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_under_autocast_a_block_learns_from_a_shortcut_of_either_type(model, dtype):
    block = network(model, torch.float32).layer1[1].train()
    x = torch.randn(2, block.conv1.in_channels, 8, 6)
    expected = block(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = block(x.to(dtype))
    assert found.dtype == dtype
    assert (found - expected).norm() < 0.02 * expected.norm()
    found.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in block.parameters())


def test_copies_of_a_network_compute_the_same():
    built = network("sge-resnet18")
    assert_same(copy.deepcopy(built), built)
    assert_same(pickle.loads(pickle.dumps(built)), built)
