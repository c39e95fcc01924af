"""The networks against torchvision's, and the names that the authors' weights carry."""

import pytest
import torch
import torchvision

from sgenet.checkpoints import load_weights, save_weights
from sgenet.files import InputError
from sgenet.models.names import parse_name
from sgenet.models.resnet import create_resnet


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


@pytest.mark.parametrize("name", ["resnet49", "sgx-resnet50", "ResNet50", "sge-resnet50-g32", ""])
def test_unknown_names_are_refused(name):
    with pytest.raises(ValueError, match="expected one of resnet18"):
        parse_name(name)


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


@pytest.mark.parametrize(("model", "last"), [("resnet18", "bn2.weight"), ("sge-resnet50", "bn3.weight")])
def test_residual_gain_sets_each_blocks_last_normalisation_alone(model, last):
    network = create_resnet(model, width=8, attention={"groups": 8} if "-" in model else None, num_classes=2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.set_residual_gain(0.2)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.startswith("layer") and name.endswith(last)}
    assert all(torch.all(network.state_dict()[name] == 0.2) for name in changed)
