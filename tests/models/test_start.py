"""Weights that a training starts from: torchvision's own networks, and what a file must have."""

import pytest
import torch
import torchvision

from sgenet import attention
from sgenet.errors import InputError
from sgenet.models.resnet import create_resnet
from sgenet.models.start import start_from
from sgenet.weights.checkpoints import save_weights


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """torchvision's networks with seven classes by depth, and the files of their weights."""
    folder, found = tmp_path_factory.mktemp("weights"), {}
    for depth in (18, 50):
        torch.manual_seed(depth)
        network = getattr(torchvision.models, f"resnet{depth}")(num_classes=7).eval()
        network.bn1.running_mean.fill_(0.1)
        torch.save(network.state_dict(), folder / f"resnet{depth}.pth")
        found[depth] = network, folder / f"resnet{depth}.pth"
    return found


def test_a_plain_network_with_the_same_classes_is_torchvisions(files):
    theirs, path = files[18]
    network = create_resnet("resnet18", num_classes=7).eval()
    assert start_from(network, path, 18) == f"starts from {path}"
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(network(images), theirs(images))


def test_another_number_of_classes_replaces_the_last_layer_alone(files):
    theirs, path = files[18]
    network = create_resnet("resnet18", num_classes=3)
    last = {name: tensor.clone() for name, tensor in network.fc.state_dict().items()}
    told = start_from(network, path, 18)
    assert told == f"starts from {path}; its last layer, of 7 classes, is replaced by a new one of 3"
    expected = theirs.state_dict() | {f"fc.{name}": tensor for name, tensor in last.items()}
    assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("module", attention.names())
def test_attention_modules_stay_as_they_were_initialised(files, module):
    depth = 50 if attention.placement(module) == "conv" else 18
    theirs, path = files[depth]
    network = create_resnet(f"{module}-resnet{depth}", num_classes=7)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    told = start_from(network, path, depth)
    loaded = theirs.state_dict()
    new = [name for name in before if name not in loaded and not name.endswith("num_batches_tracked")]
    assert told == f"starts from {path}; {len(new)} tensors of the attention modules are new"
    assert new
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, loaded.get(name, before[name])), name


@pytest.mark.parametrize("module", attention.names())
def test_a_file_with_attention_must_have_all_of_it(module, tmp_path):
    depth = 50 if attention.placement(module) == "conv" else 18
    network, path = create_resnet(f"{module}-resnet{depth}", num_classes=2), tmp_path / "w.safetensors"
    save_weights(network, path)
    assert start_from(create_resnet(f"{module}-resnet{depth}", num_classes=2), path, depth) == f"starts from {path}"
    state = network.state_dict()
    plain = create_resnet(f"resnet{depth}", num_classes=2).state_dict()
    del state[next(name for name in state if name not in plain)]
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="at 1 names: .* is missing"):
        start_from(create_resnet(f"{module}-resnet{depth}", num_classes=2), tmp_path / "w.pth", depth)


@pytest.mark.parametrize(
    ("model", "change", "sentence"),
    [
        ("resnet34", lambda state: None, "is missing"),
        ("resnet18", lambda state: state.pop("layer1.0.conv1.weight"), "layer1.0.conv1.weight is missing"),
        ("resnet18", lambda state: state.update(head=torch.zeros(1)), "head is unknown"),
        ("resnet18", lambda state: state.pop("fc.bias"), "fc: found no last layer"),
        ("se-resnet18", lambda state: state.update({"layer1.0.sge.weight": torch.zeros(1)}), "sge.weight is unknown"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(files, tmp_path, model, change, sentence):
    state = files[18][0].state_dict()
    change(state)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(InputError, match=sentence) as error:
        start_from(create_resnet(model, num_classes=3), tmp_path / "w.pth", int(model[-2:]))
    assert str(error.value).startswith(f"{tmp_path / 'w.pth'}: ")
