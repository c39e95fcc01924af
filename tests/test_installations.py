"""What `pip install sgenet` and its extras give: the library with torch alone, the tools outside of a checkout."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sgenet.models.resnet import create_resnet
from support.installed import only

ROOT = Path(__file__).parents[1]
TRUTH = {
    "images": [{"id": 7, "height": 200, "width": 200}],
    "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 10, 50, 40], "area": 2000, "iscrowd": 0}],
    "categories": [{"id": 3, "name": "cat"}],
}
COMPLEXITY = ["complexity", "sge-resnet50", "--json"]
COCO_EVAL = ["coco-eval", "--annotations", "truth.json", "--detections", "found.json", "--json"]
IMPORT = ["import-checkpoint", "released.pth.tar", "new.safetensors", "--model", "sge-resnet18"]
IMPORT_DETECTOR = [*IMPORT[:-1], "retinanet/sge-resnet50"]


@pytest.fixture
def python(tmp_path):
    """Run Python in an empty folder, where it finds only the packages of some extras."""
    (tmp_path / "hide").mkdir()
    (tmp_path / "work").mkdir()

    def run(arguments, extras=()):
        environment = only(extras, tmp_path / "hide")
        command = [sys.executable, "-P", *arguments]
        return subprocess.run(command, cwd=tmp_path / "work", env=environment, capture_output=True, text=True)

    run.folder = tmp_path / "work"
    return run


def sgenet(*arguments):
    return ["-m", "sgenet.cli", *arguments]


@pytest.mark.parametrize(("extras", "imported"), [((), "none"), (("cpu",), "numpy, numba")])
def test_the_library_needs_torch_alone(python, extras, imported):
    done = python([str(ROOT / "tests/support/torch_alone.py")], extras)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"; also imported: {imported}\n")


def test_help_and_doctor_need_torch_alone(python):
    done = python(sgenet("--help"))
    assert done.returncode == 0 and "coco-eval" in done.stdout
    done = python(sgenet("doctor"))
    assert done.returncode == 1 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "extras     cpu: lacks numba"
    assert lines[1].startswith("           tools: lacks numpy, pycocotools, ")
    assert lines[-1] == "not ready: pip install 'sgenet[replicate]'; in a checkout: make setup"


@pytest.mark.parametrize(
    ("command", "extras", "lacking"),
    [
        (COMPLEXITY, (), "tools"),
        (COCO_EVAL, (), "tools"),
        (IMPORT, (), "tools"),
        (IMPORT_DETECTOR, ("tools",), "replicate"),
        (["predict", "best.safetensors", "photos"], ("tools",), "replicate"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_missing_package_is_named_with_its_extra(python, command, extras, lacking):
    torch.save({"a": torch.zeros(1)}, python.folder / "released.pth.tar")
    done = python(sgenet(*command), extras)
    assert done.returncode == 2 and done.stdout == ""
    sentence = rf"sgenet {command[0]}: needs the package \S+: pip install 'sgenet\[{lacking}\]'\n"
    lines = done.stderr.splitlines(keepends=True)
    assert re.fullmatch(sentence, lines[-1]) and "Traceback" not in done.stderr, (
        done.stderr
    )  # torch warns without numpy


@pytest.mark.parametrize("package", ["models", "evaluation"])
def test_an_import_names_the_extra(python, package):
    done = python(["-c", f"import sgenet.{package}"])
    sentence = rf"ModuleNotFoundError: sgenet.{package}: needs the package \w+: pip install 'sgenet\[tools\]'"
    assert re.fullmatch(sentence, done.stderr.splitlines()[-1])


def test_the_tools_run_outside_of_a_checkout_with_their_own_packages(python):
    found = [{"image_id": 7, "category_id": 3, "bbox": [10, 10, 50, 40], "score": 0.5}]
    for name, content in (("truth.json", TRUTH), ("found.json", found)):
        (python.folder / name).write_text(json.dumps(content))
    network = create_resnet("sge-resnet18")
    torch.save({"state_dict": network.state_dict(), "epoch": 3}, python.folder / "released.pth.tar")
    done = {command[0]: python(sgenet(*command), ["tools"]) for command in (COMPLEXITY, COCO_EVAL, IMPORT)}
    assert [(one.returncode, one.stderr) for one in done.values()] == [(0, "")] * 3
    assert json.loads(done["complexity"].stdout)["params"] == 25557032 + 16 * 2 * 64  # torchvision's, and SGE's
    assert json.loads(done["coco-eval"].stdout)["ap"] == pytest.approx(100)
    written = load_file(python.folder / "new.safetensors")
    assert written.keys() == network.state_dict().keys()
    assert all(torch.equal(tensor, written[name]) for name, tensor in network.state_dict().items())


@pytest.mark.slow
def test_the_wheel_needs_torch_alone_and_has_the_package_only(tmp_path):
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, tmp_path / name)
    for folder in ("src", "tests/support", "bench", "params"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    build = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"  # what `uv build` calls
    done = subprocess.run([sys.executable, "-c", build], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "dist" / done.stdout.split()[-1]) as wheel:
        files = set(wheel.namelist())
        (metadata,) = (message_from_bytes(wheel.read(name)) for name in files if name.endswith("/METADATA"))
    required = metadata.get_all("Requires-Dist")
    assert [text for text in required if "extra ==" not in text] == ["torch>=2.6"]
    assert metadata.get_all("Provides-Extra") == ["cpu", "tools", "replicate", "dev"]
    in_package = {name for name in files if not name.split("/")[0].endswith(".dist-info")}
    source = {path for path in (ROOT / "src/sgenet").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert in_package == {path.relative_to(ROOT / "src").as_posix() for path in source}
    assert {"sgenet/py.typed", "sgenet/report/templates/page.html"} <= in_package
