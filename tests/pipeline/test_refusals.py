"""No code in a file is ever run: every road by which a pickle could come in, and names that are no plain names."""

import ast
import io
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sgenet.cli import main
from sgenet.config import paths
from sgenet.config.replication import load_replication
from sgenet.data.coco_format import BOXES, read_annotations
from sgenet.data.packed import PackedImages
from sgenet.errors import InputError
from sgenet.models import load_classifier
from sgenet.training.resume import newest_checkpoint

SOURCE = Path(__file__).parents[2] / "src/sgenet"


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture(params=["zip", "old", "pickle"])
def evil(request, tmp_path, monkeypatch):
    """Bytes of a checkpoint with code in it, in each format of torch.save and as a plain pickle; it must not run.

    The environment asks torch for unsafe loading, which an ordinary torch.load would do.
    """
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    ran, file = tmp_path / "ran", io.BytesIO()
    content = {"epoch": Evil(ran), "state_dict": {"a": torch.ones(1)}}
    if request.param == "pickle":
        pickle.dump(content, file, protocol=2)
        pickle.loads(file.getvalue())
    else:
        torch.save(content, file, _use_new_zipfile_serialization=request.param == "zip")
        file.seek(0)
        with pytest.warns(UserWarning, match="TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
            torch.load(file)
    assert ran.exists()  # what it does where nothing keeps it from it
    ran.unlink()
    yield file.getvalue()
    assert not ran.exists()


@pytest.mark.parametrize("model", ["resnet18", "faster-rcnn/sge-resnet50"])
def test_checkpoints_of_others(evil, tmp_path, capsys, model):
    path = tmp_path / "evil.pth.tar"
    path.write_bytes(evil)
    assert main(["import-checkpoint", str(path), str(tmp_path / "w.safetensors"), "--model", model]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and re.search(r"found \S*open, expected only tensors .* that could run code", told)
    with pytest.raises(InputError, match="that could run code"):
        load_classifier("resnet18", path)


def test_weights_and_annotations_are_no_pickles(evil, tmp_path):
    for name in ("best.safetensors", "annotations.pkl"):
        (tmp_path / name).write_bytes(evil)
    with pytest.raises(InputError, match="best.safetensors: cannot be read as safetensors weights"):
        load_classifier("resnet18", tmp_path / "best.safetensors")
    with pytest.raises(InputError, match="annotations.pkl: "):  # mmengine would choose the reader by the name
        read_annotations(tmp_path / "annotations.pkl", str(tmp_path / "annotations.pkl"), BOXES)


def test_a_checkpoint_to_continue_from(evil, tmp_path, monkeypatch):
    import hashlib

    monkeypatch.chdir(tmp_path)
    folder = paths.resume_folder("smoke", "classification/resnet18", 0, "identity", "cpu", None)
    folder.mkdir(parents=True)
    file = folder / f"epoch-0003-{hashlib.sha256(evil).hexdigest()}.pth"  # its checksum is right
    file.write_bytes(evil)
    found, damaged = newest_checkpoint(folder)
    assert found is None and damaged == ["epoch-0003 (it contains more than tensors and numbers)"]


def test_arrays_of_objects(tmp_path):
    index = np.empty((1, 3), dtype=object)
    index[:] = Evil(tmp_path / "ran")
    np.save(tmp_path / "train_index.npy", index, allow_pickle=True)
    (tmp_path / "train.bin").write_bytes(b"x")
    (tmp_path / "classes.txt").write_text("0\ta\n")
    with pytest.raises(InputError, match="train_index.npy: cannot be read, expected an int32 or int64 array"):
        PackedImages(tmp_path, "train")
    assert not (tmp_path / "ran").exists()


# Calls that run what a file or a text holds.
UNSAFE = re.compile(
    r"^torch\.load\((?!.*weights_only=True)|^np\.load\((?!.*allow_pickle=False)|^pickle\.\w*(load|Unpickler)"
    r"|^yaml\.\w*load|^mmengine\.load|^os\.(system|popen)|\.extract(all)?\(|read_pickle|^\w+\.resume\(|\.from_cfg\("
    r"|^(eval|exec)\(|shell=True|weights_only=False|allow_pickle=True|load_from|add_safe_globals"
)


def _calls(text):
    return [ast.unparse(node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]


def test_the_source_calls_nothing_that_runs_what_a_file_holds():
    for bad in ("torch.load(path)", "run(a, shell=True)", "pickle.loads(a)", "a.extractall()", "np.load(a)", "eval(a)"):
        assert UNSAFE.search(*_calls(bad))
    assert not UNSAFE.search(*_calls("torch.load(path, weights_only=True)"))
    found = [call for path in SOURCE.rglob("*.py") for call in _calls(path.read_text()) if UNSAFE.search(call)]
    assert not found


DETECTION = """
from sgenet.cli import main
for step in ("prepare classification", "train classification/resnet18",
             "prepare detection", "train detection/retinanet/resnet18", "evaluate detection/retinanet/resnet18"):
    assert main([*step.split(), "--scale", "smoke"]) == 0, step
"""


def test_a_detector_is_prepared_trained_and_evaluated_without_unpickling(project, unpickled):
    """Neither do mmengine and mmdet, from configuration and annotations to the weights."""
    row = {"label": "a", "run": "retinanet/resnet18"}
    project("params/tables/coco-retinanet.yaml", lambda table: table.update(rows=[row]))
    project("params/pipeline.yaml", lambda value: value.update(tables=["coco-retinanet"]))
    project("params/claims.yaml", lambda value: value.update(claims=[]))
    environment, log = unpickled
    environment |= {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1", "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", DETECTION], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert log.read_text() == ""


FILES = ["pipeline.yaml", "scales/smoke.yaml", "recipes/detection.yaml", "tables/imagenet.yaml", "sources.yaml"]


@pytest.mark.parametrize("name", [*FILES, "claims.yaml"])
@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['touch ran']", "!!python/name:os.system ''"])
def test_tags_in_parameters_make_no_objects(project, name, tag):
    from sgenet.config.claims import load_claims

    path = Path("params", name)
    path.write_text(path.read_text() + f"\nowned: {tag}\n")
    with pytest.raises(InputError, match=rf"params/{name}: line \d+ is not YAML"):
        load_claims(load_replication("smoke").tables)
    assert not Path("ran").exists()


NAMES = [
    "../x", "a/b", "a b", "$(touch ran)", "`touch ran`", "a;touch ran", "-x", "..", ".a", "{x}", "a'b", 'a"b', "*",
    "a\n", "é", "a" * 200, "", "a|b", "a\0b", "~", "a\\b",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_outside_the_plain_alphabet_are_refused(project, name):
    original = {path: Path(path).read_text() for path in ("params/pipeline.yaml", "params/tables/imagenet.yaml")}

    def refused(field, path, change):
        project(path, change)
        with pytest.raises(InputError, match=f"{field}|control character") as error:
            load_replication()
        assert "\n" not in str(error.value)
        Path(path).write_text(original[path])

    pipeline, table = original
    if len(name.encode()) < 250 and not {"/", "\0"} & set(name):  # so that it is no mere lack of such a file
        for folder in ("tables", "scales"):
            (Path("params") / folder / f"{name}.yaml").write_text("{}")
    refused("scale", pipeline, lambda value: value.update(scale=name))
    refused("tables", pipeline, lambda value: value.update(tables=["imagenet", name]))
    if name != "a b":
        refused("project", pipeline, lambda value: value["wandb"].update(project=name))
    if name != "a/b":
        refused("run", table, lambda value: value["rows"][0].update(run=name))
    refused("model", table, lambda value: value["rows"][0].update(model=name))
    for chosen in ({"scale": name}, {"tables": [name]}):
        with pytest.raises(InputError):
            load_replication(**chosen)


def test_what_is_shipped_has_plain_names(project):
    for path in (*Path("params/tables").iterdir(), *Path("params/scales").iterdir()):
        assert re.fullmatch(r"[a-z0-9-]{1,60}\.yaml", path.name)
    tables = sorted(path.stem for path in Path("params/tables").iterdir())
    for path in Path("params/scales").iterdir():
        assert load_replication(path.stem, None, tables).runs


def test_odd_environments_are_told_in_one_sentence(project, monkeypatch, capsys):
    monkeypatch.setenv("SGENET_SEEDS", "1; touch ran")
    assert main(["complexity"]) == 2
    told = capsys.readouterr().err
    assert told == "sgenet: environment variable SGENET_SEEDS: found '1; touch ran', expected a whole number\n"
