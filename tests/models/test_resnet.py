"""The networks against torchvision's, and the names that the authors' weights carry."""

import copy
import re

import pytest
import torch
import torchvision

from sgenet.attention import SpatialGroupEnhance, create, names
from sgenet.errors import InputError
from sgenet.models.resnet import create_resnet
from sgenet.weights.checkpoints import load_weights, save_weights


@pytest.mark.parametrize("depth", [18, 50])
def test_plain_network_is_torchvisions(depth):
    torch.manual_seed(0)
    ours = create_resnet(f"resnet{depth}", num_classes=7).eval()
    theirs = getattr(torchvision.models, f"resnet{depth}")(num_classes=7).eval()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(("model", "extra"), [("sge-resnet50", 2048), ("sge-resnet101", 4224)])
def test_sge_adds_two_parameters_a_group_and_block(model, extra):
    def count(name):
        with torch.device("meta"):
            return sum(p.numel() for p in create_resnet(name).parameters())

    assert count(model) - count(model.removeprefix("sge-")) == extra


def test_attention_stands_before_the_shortcut_under_its_own_name():
    network = create_resnet("sge-resnet50", width=8, attention={"groups": 8}, num_classes=3).eval()
    assert network.state_dict()["layer1.0.sge.weight"].shape == (1, 8, 1, 1)
    block = network.layer1[1]
    x = torch.randn(1, 32, 6, 6).relu()
    branch = block.bn3(block.conv3(block.bn2(block.conv2(block.bn1(block.conv1(x)).relu())).relu()))
    torch.testing.assert_close(block(x), (block.sge(branch) + x).relu())


def test_sk_stands_in_place_of_the_3x3_convolution_under_flat_names():
    network = create_resnet("sk-resnet50", width=8, attention={"groups": 4, "reduction": 4}, num_classes=3).eval()
    inside = "conv1 bn1 conv2 bn2 conv2g bn2g conv_fc1 bn_fc1 conv_fc2 conv3 bn3"
    assert {name.split(".")[2] for name in network.state_dict() if name.startswith("layer2.1.")} == set(inside.split())
    block = network.layer2[0]
    assert block.conv2.stride == block.conv2g.stride == (2, 2) and block.conv2g.groups == 4
    module = create("sk", 16, groups=4, reduction=4, stride=2).eval()
    module.load_state_dict({name: block.state_dict()[name] for name in module.state_dict()})
    x = torch.randn(1, 32, 6, 6).relu()
    branch = block.bn3(block.conv3(module(block.bn1(block.conv1(x)).relu())))
    torch.testing.assert_close(block(x), (branch + block.downsample(x)).relu())


def test_a_copy_of_sk_shares_nothing_with_its_original():
    network = create_resnet("sk-resnet50", width=8, attention={"groups": 4, "reduction": 4}, num_classes=3).eval()
    x = torch.randn(1, 3, 64, 64)
    twin, before = copy.deepcopy(network), network(x)
    torch.testing.assert_close(twin(x), before)
    for parameter in twin.parameters():
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(network(x), before)
    assert not twin(x).any()


def test_bam_stands_after_the_first_three_stages():
    network = create_resnet("bam-resnet18", width=16, num_classes=3).eval()
    assert {name.split(".")[0] for name in network.state_dict() if "att." in name} == {"bam1", "bam2", "bam3"}
    layers = [network.get_submodule(f"bam{number}.channel_att.gate_c.gate_c_fc_0") for number in (1, 2, 3)]
    assert [layer.in_features for layer in layers] == [16, 32, 64]
    x = torch.randn(1, 3, 64, 64)
    maps = network.stage_outputs(x)
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 16, 16), (32, 8, 8), (64, 4, 4), (128, 2, 2)]
    torch.testing.assert_close(maps[1], network.bam2(network.layer2(maps[0])))
    torch.testing.assert_close(maps[3], network.layer4(maps[2]))
    torch.testing.assert_close(network(x), network.fc(maps[3].mean((2, 3))))


@pytest.mark.parametrize("model", [f"{name}-resnet{depth}" for name in names() for depth in (18, 34) if name != "sk"])
def test_shallow_networks_take_every_module_but_sk(model):
    network = create_resnet(model, num_classes=2).train()
    network(torch.randn(2, 3, 32, 32)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_what_cannot_be_built_is_told_in_one_sentence():
    sentence = "bam-resnet18, width 8: BAM: 8 channels leave no hidden unit at reduction 16"
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
        create_resnet("bam-resnet18", width=8)
    with pytest.raises(
        InputError, match="^sk-resnet50, width 64: attention.sk.stride: found 2, but each block sets it$"
    ):
        create_resnet("sk-resnet50", attention={"stride": 2})
    with pytest.raises(InputError, match="^sge-resnet50, width 64: attention.sge: got an unexpected keyword argument"):
        create_resnet("sge-resnet50", attention={"reduction": 4})


def test_weights_survive_a_round_trip_and_misfits_are_named(tmp_path):
    def small(classes):
        return create_resnet("sge-resnet18", width=8, attention={"groups": 4}, num_classes=classes)

    first, second = small(5), small(5)
    save_weights(first, tmp_path / "w.safetensors")
    load_weights(second, tmp_path / "w.safetensors")
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    with pytest.raises(InputError, match=r"fc.weight is \(5, 64\), expected \(6, 64\)"):
        load_weights(small(6), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="layer1.0.sge.bias is unknown"):
        load_weights(create_resnet("resnet18", width=8, num_classes=5), tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        load_weights(second, tmp_path / "w.safetensors")


@pytest.mark.parametrize("model", ["resnet18", *(f"{name}-resnet50" for name in names())])
def test_residual_gain_sets_each_blocks_last_normalisation_alone(model):
    network, last = create_resnet(model, num_classes=2), "bn2.weight" if model == "resnet18" else "bn3.weight"
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.set_residual_gain(0.2)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.startswith("layer") and name.endswith(last)}
    assert all(torch.all(network.state_dict()[name] == 0.2) for name in changed)


class Doubled(SpatialGroupEnhance):
    """As a module of one's own may be written: its forward takes the branch alone."""

    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize("cls", [SpatialGroupEnhance, Doubled])
@pytest.mark.parametrize("depth", [18, 50])
def test_a_block_ends_with_module_shortcut_and_relu(cls, depth):
    block = create_resnet(f"sge-resnet{depth}").layer2[0].double().eval()
    block.sge = cls(block.sge.channels, gamma=1.0).double()
    x, before = torch.randn(2, block.conv1.in_channels, 6, 5, dtype=torch.float64), []
    block.sge.register_forward_pre_hook(lambda module, given: before.append(given[0]))
    found = block(x)
    torch.testing.assert_close(found, torch.relu(block.sge.forward(before[0]) + block.downsample(x)))


def _seeded(model, seed=0):
    """A narrow network, and the state of torch's generator after it was built."""
    torch.manual_seed(seed)
    settings = {"sge": {"groups": 8}, "sk": {"groups": 4, "reduction": 4}}.get(model.partition("-")[0])
    return create_resnet(model, width=8, attention=settings, num_classes=5), torch.get_rng_state()


@pytest.mark.parametrize("name", names())
def test_networks_with_one_seed_share_the_weights_of_the_plain_one(name):
    (plain, after), (network, state) = _seeded("resnet50"), _seeded(f"{name}-resnet50")
    found, expected = network.state_dict(), plain.state_dict()
    assert found.keys() >= expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    assert torch.equal(state, after)
    other = _seeded(f"{name}-resnet50", seed=1)[0].state_dict()
    weights = [key for key in found if found[key].dim() > 1 and found[key].std() > 0]  # those of SGE are constants
    assert not any(torch.equal(found[key], other[key]) for key in weights)
    by_shape = {}
    for key in weights:
        by_shape.setdefault(found[key].shape, []).append(found[key])
    assert all(not torch.equal(first, second) for first, second, *_ in (v for v in by_shape.values() if len(v) > 1))


@pytest.mark.parametrize("model", ["resnet18", "sge-resnet50", "bam-resnet50"])
def test_a_stem_without_max_pooling_halves_the_strides(model):
    settings = {"groups": 8} if model.startswith("sge") else None
    network = create_resnet(model, width=16, attention=settings, num_classes=3, max_pool=False).eval()
    pooled = create_resnet(model, width=16, attention=settings, num_classes=3).eval()
    pooled.load_state_dict(network.state_dict())
    x = torch.randn(1, 3, 64, 64)
    assert [m.shape[-1] for m in network.stage_outputs(x)] == [32, 16, 8, 4]
    first = pooled.layer1(network.relu(network.bn1(network.conv1(x))))
    torch.testing.assert_close(network.stage_outputs(x)[0], pooled.bam1(first) if model == "bam-resnet50" else first)
    assert network(x).shape == (1, 3)
