"""Released classifiers: the authors' format is read, old files too; nothing in a file runs; misfits are named."""

import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
import torchvision

from sgenet import attention
from sgenet.cli import main
from sgenet.errors import InputError
from sgenet.models import load_classifier
from sgenet.models.resnet import create_resnet
from sgenet.weights.checkpoints import save_weights
from sgenet.weights.released import WRAPPERS, read_released


def _save(content, path, *, old=False):
    """Write a file as torch does today, or as torch 1.0 did on a GPU: no zip, storages on cuda:0, names of numpy 1."""
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    if old:
        content = path.read_bytes()
        assert b"X\x03\x00\x00\x00cpu" in content
        content = content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
        path.write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    return path


@pytest.fixture(scope="module")
def released():
    """torchvision's ResNet18 for seven classes, and its checkpoint as the authors' training wrote it."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=7)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    optimizer.step()
    state = torch.nn.DataParallel(network).state_dict()
    old_torch = OrderedDict((name, value) for name, value in state.items() if "num_batches_tracked" not in name)
    content = {"epoch": 97, "state_dict": old_torch, "best_acc": np.float64(77.584)}
    return network.eval(), {**content, "optimizer": optimizer.state_dict()}


@pytest.mark.parametrize("old", [False, True])
def test_the_authors_format_gives_the_same_network(released, tmp_path, capsys, old):
    theirs, content = released
    source, destination = _save(content, tmp_path / "a.pth.tar", old=old), tmp_path / "b/w.safetensors"
    assert main(["import-checkpoint", str(source), str(destination), "--model", "resnet18"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("resnet18: 122 tensors; epoch 97, best accuracy 77.584, according to the file; written to ")
    images = torch.randn(2, 3, 64, 64)
    for weights in (destination, source):
        ours = load_classifier("resnet18", weights=weights)
        assert not ours.training
        torch.testing.assert_close(ours(images), theirs(images))
        assert ours.bn1.num_batches_tracked == 0
    assert list(tmp_path.glob("b/*")) == [destination]


@pytest.mark.parametrize("module", attention.names())
def test_every_module_is_loaded_strictly(module, tmp_path):
    model = f"{module}-resnet{50 if attention.placement(module) == 'conv' else 18}"
    network = create_resnet(model, num_classes=3)
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    save = _save({"state_dict": state, "best_acc": torch.tensor(70.0)}, tmp_path / "a.pth.tar")
    loaded = load_classifier(model, save).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in network.state_dict().items())
    del state[next(name for name in state if f".{module}" in name or f"conv_{module}" in name or ".conv2" in name)]
    with pytest.raises(InputError, match="at 1 names: .* is missing"):
        load_classifier(model, _save({"state_dict": state}, tmp_path / "a.pth.tar"))


def test_what_a_checkpoint_tells_of_itself(tmp_path):
    bare = read_released(_save({"module.a": torch.ones(2), "b": torch.ones(1)}, tmp_path / "a.pth"))
    assert set(bare.state) == {"module.a", "b"} and (bare.epoch, bare.accuracy, bare.classes) == (None, None, None)
    for kind in ("float32", "float64", "int32", ">f8"):
        value = np.array(12, dtype=kind)[()]
        content = {"state_dict": {"a": torch.ones(1)}, "best_acc": value, "epoch": torch.tensor(3)}
        found = read_released(_save(content, tmp_path / "a.pth", old=True))
        assert (found.accuracy, found.epoch) == (12, 3)


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("average", ["state_dict_ema", None])
def test_common_wrappers_are_read_and_averages_are_mentioned(released, tmp_path, capsys, wrapper, average):
    state = released[0].state_dict()
    content = {"epoch": 3, wrapper: OrderedDict(state), "args": {"lr": 0.1}}
    if average:
        content[average] = {name: torch.zeros_like(value) for name, value in state.items()}
    source, destination = _save(content, tmp_path / "a.pth"), tmp_path / "w.safetensors"
    assert main(["import-checkpoint", str(source), str(destination), "--model", "resnet18"]) == 0
    told = capsys.readouterr().out
    assert "epoch 3" in told and (average is None) == ("not used: " not in told) and (average or "") in told
    loaded = load_classifier("resnet18", destination).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


def test_an_unknown_wrapper_is_named(tmp_path):
    text = (
        "a.pth: found OrderedDict under 'weights', expected tensors by name, in the file itself or under state_dict, "
    )
    with pytest.raises(InputError, match=text):
        read_released(_save({"weights": OrderedDict(a=torch.ones(1))}, tmp_path / "a.pth"))


def test_what_does_not_fit_is_named_and_nothing_is_overwritten(released, tmp_path, capsys):
    source, destination = _save(released[1], tmp_path / "a.pth.tar"), tmp_path / "w.safetensors"
    destination.write_text("as it was")

    def refused(*arguments):
        assert main(["import-checkpoint", str(source), *arguments]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and destination.read_text() == "as it was"
        return error

    assert "a.pth.tar: does not fit the model at 16 names: layer1.0.sge.bias is missing; " in refused(
        str(destination), "--model", "sge-resnet18"
    )
    assert "layer1.2.bn1.bias is missing" in refused(str(destination), "--model", "resnet34")
    assert "found model 'resnet49', expected one of resnet18" in refused(str(destination), "--model", "resnet49")
    assert "expected with a detector only" in refused(str(destination), "--model", "resnet18", "--classes", "a,b")
    assert "expected a name that ends with .safetensors" in refused(str(tmp_path / "w.pth"), "--model", "resnet18")
    inside = str(destination / "w.safetensors")
    assert "cannot be written" in refused(inside, "--model", "resnet18")


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("kind", ["zip", "old", "pickle"])
def test_code_in_a_file_is_never_run(tmp_path, capsys, kind):
    content = {"state_dict": {"a": torch.ones(1)}, "best_acc": Evil(f"touch {tmp_path}/ran")}
    path = tmp_path / "evil.pth.tar"
    path.write_bytes(pickle.dumps(content, protocol=2)) if kind == "pickle" else _save(content, path, old=kind == "old")
    assert main(["import-checkpoint", str(path), str(tmp_path / "w.safetensors"), "--model", "resnet18"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "it was not loaded, because that could run code" in error
    assert not (tmp_path / "ran").exists() and not (tmp_path / "w.safetensors").exists()
    if kind == "pickle":
        pickle.loads(path.read_bytes())
        assert (tmp_path / "ran").exists()  # what an ordinary load would have done


def test_a_whole_pickled_model_is_refused(tmp_path):
    path = _save(torch.nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(InputError, match="found torch.nn.modules.linear.Linear, expected only tensors and plain"):
        read_released(path)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "cannot be read (no such file or directory)"),
        (lambda path: path.mkdir(), "cannot be read (is a directory)"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("<html>not found</html>"), "damaged, truncated or of another kind"),
        (lambda path: save_weights(torch.nn.Linear(2, 2), path), "damaged, truncated or of another kind"),
        (lambda path: _cut(path, old=False), "damaged, truncated or of another kind"),
        (lambda path: _cut(path, old=True), "damaged, truncated or of another kind"),
        (lambda path: _save([torch.ones(1)], path), "found list, expected a checkpoint"),
        (lambda path: _save({}, path), "found {}, expected tensors by name"),
        (
            lambda path: _save({"weights": {"a": torch.ones(1)}}, path),
            "found dict under 'weights', expected tensors by",
        ),
        (
            lambda path: _save({"a": torch.zeros(1).expand(10**12)}, path),
            "Tensor under 'a' that is larger than the file",
        ),
        (lambda path: _save({"state_dict": _laughs()}, path), "state_dict: found [["),
        (
            lambda path: _save({"state_dict": {"a": torch.ones(1)}, "meta": {"CLASSES": _laughs()}}, path),
            "CLASSES: found",
        ),
        (lambda path: _zip_bomb(path), "an archive that unpacks to more than its"),
        (lambda path: _long_name(path, old=False), "found a name of 70,012 characters, expected those of tensors"),
        (lambda path: _long_name(path, old=True), "found a name of 70,012 characters, expected those of tensors"),
        (lambda path: _long_name(path, old=False, letter=b"\xc3\xa9"), "found a name that is not text"),
        (lambda path: os.mkfifo(path), "cannot be read (is not a regular file)"),
        (lambda path: _save({"a": torch.tensor([1.0, float("nan")])}, path), "found Tensor under 'a', expected"),
    ],
)
def test_unusable_files_are_told_in_one_sentence(tmp_path, capsys, make, sentence):
    path = tmp_path / "a.pth.tar"
    make(path)
    assert main(["import-checkpoint", str(path), str(tmp_path / "w.safetensors"), "--model", "resnet18"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith(f"sgenet: {path}: ") and sentence in error


def _laughs():
    """Lists in lists: 10^12 in all, a dozen in memory."""
    lists = ["ha"]
    for _ in range(12):
        lists = [lists] * 10
    return lists


def _zip_bomb(path):
    """What torch.save wrote, with its tensor of zeros compressed to a thousandth."""
    _save({"a": torch.zeros(10**6)}, path)
    with zipfile.ZipFile(path) as whole:
        entries = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name, content in entries.items():
            bomb.writestr(name, content)


def _long_name(path, old, letter=b"x"):
    """What torch, which looks for its kind by a pattern, is busy with for minutes."""
    _save({"a": torch.ones(1)}, path, old=old)
    name, longer = b"torch._utils\n_rebuild_tensor_v2", b"collections\n" + letter * 70_000
    content = path.read_bytes().replace(name, longer)
    if old:
        path.write_bytes(content)
        return
    with zipfile.ZipFile(path) as whole:
        entries = {entry: whole.read(entry) for entry in whole.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content.replace(name, longer))


def _cut(path, old):
    _save({"state_dict": {"a": torch.ones(5000)}}, path, old=old)
    path.write_bytes(path.read_bytes()[:-3000])


def test_the_names_of_models_cost_no_torch():
    code = "import sys, sgenet.models; assert sgenet.models.load_classifier and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def smoke(project):
    """The smoke scale with released weights wanted, and a random narrow SGE-ResNet50 as if it had been released."""
    from sgenet.classification.classifier import build_network
    from sgenet.config import paths
    from sgenet.config.replication import load_replication
    from sgenet.pipeline import steps

    project("params/scales/smoke.yaml", lambda scale: scale.update(released=True))
    replication = load_replication("smoke", tables=["imagenet"])
    steps.prepare(replication, "classification")
    run = replication.run("classification/sge-resnet50")
    torch.manual_seed(0)
    network = build_network(run.model, run.settings, 10)
    save_weights(network, paths.released(run.model))
    threads = torch.get_num_threads()
    yield replication, run, network
    torch.set_num_threads(threads)


def test_released_weights_are_evaluated_with_the_scales_settings(smoke, capsys):
    from sgenet.config import paths
    from sgenet.data.packed import PackedImages
    from sgenet.runtime.files import read_json

    replication, run, network = smoke
    assert replication.released() == [run]
    command = ["evaluate", run.id, "--released", "--scale", "smoke"]
    assert main(command) == 0
    found = read_json("results/smoke/evaluation/released/classification/sge-resnet50/metrics.json")
    network.eval()
    right = []
    for image, label in PackedImages(paths.data_folder("smoke", "classification"), "val", transform=np.asarray):
        pixels = torch.tensor(image).permute(2, 0, 1).float() / 255
        mean, std = (torch.tensor(getattr(run.settings, name)).view(3, 1, 1) for name in ("mean", "std"))
        with torch.no_grad():
            best = network(((pixels - mean) / std)[None])[0].argsort(descending=True)[:5].tolist()
        right.append((best[0] == label, label in best))
    assert found["metrics"]["images"] == len(right) == 40
    for name, column in zip(("top1", "top5"), zip(*right, strict=True), strict=True):
        assert found["metrics"][name] == pytest.approx(100 * sum(column) / 40)
    timing = read_json("results/smoke/evaluation/released/classification/sge-resnet50/timing.json")
    assert "finished" in timing["evaluate"]
    assert "finished" not in found["origin"] and len(found["weights"]["sha256"]) == 64
    assert found["origin"]["command"] == "sgenet " + " ".join(command)
    assert main(["evaluate", "classification/resnet50", "--released", "--scale", "smoke"]) == 2
    assert "resnet50.safetensors: missing, expected from `sgenet import-checkpoint" in capsys.readouterr().err
    save_weights(create_resnet("sge-resnet50", num_classes=10), paths.released(run.model))  # another width
    assert main(command) == 2
    assert "does not fit the model" in capsys.readouterr().err


def test_the_workflow_evaluates_what_was_released(smoke, project):
    def planned():
        command = [sys.executable, "-m", "snakemake", "--dry-run", "--config", "scale=smoke", "tables=imagenet"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "evaluate the released weights of sge-resnet50" in planned()
    project("params/scales/smoke.yaml", lambda scale: scale.update(released=False))
    assert "evaluate the released" not in planned()
