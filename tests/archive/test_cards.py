"""Model cards: read by the library of the Hugging Face Hub, with the measured numbers and code that runs."""

import json
import re
import zipfile
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from PIL import Image

from sgenet.archive.cards import model_card
from sgenet.archive.contents import archive
from sgenet.cli import main
from sgenet.config import paths
from sgenet.config.replication import Replication, load_replication
from sgenet.provenance.identity import Artifacts
from support.results import RETINA, SGE

CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize(("run", "metric"), [(SGE, "top1"), (RETINA, "ap")])
def test_metadata(finished: Replication, run: str, metric: str) -> None:
    training = Artifacts(finished).training(finished.run(run), 0)
    text = model_card(finished, training)
    data = ModelCard(text).data
    measured = json.loads((paths.evaluation("demo", run, 0) / "metrics.json").read_text())["metrics"]
    assert data.license == "apache-2.0" and data.library_name == "sgenet"
    assert data.pipeline_tag == f"{'image-classification' if metric == 'top1' else 'object-detection'}"
    found = {one.metric_type: one.metric_value for one in data.eval_results}
    assert found[metric] == measured[metric] and found.items() <= measured.items()
    assert {one.dataset_type for one in data.eval_results} == {"embedded"}
    assert f"| {measured[metric]:.2f} |" in text and training.command in text


def test_weights_are_optional(finished: Replication, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive(finished, tmp_path / "a.zip", weights=True)
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        names = {name for name in file.namelist() if name.startswith("results/demo/") and "evaluation" not in name}
    folder = paths.training("demo", SGE, 0)
    assert {f"{folder}/{name}" for name in ("best.safetensors", "last.safetensors", "README.md")} <= names
    (folder / "best.safetensors").unlink()
    assert main(["archive", "--weights", str(tmp_path / "b.zip")]) == 2
    assert f"{folder}/best.safetensors: is missing, expected with --weights" in capsys.readouterr().err


@pytest.mark.parametrize("run", ["classification/sge-resnet50", "detection/retinanet/sge-resnet50"])
def test_the_code_loads_the_weights(prepared_project, run: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a real training at scale smoke."""
    made = [run] if run.startswith("classification") else ["classification/sge-resnet50", run]
    assert [main(["train", one, "--scale", "smoke"]) for one in made] == [0] * len(made)
    replication = load_replication("smoke")
    training = Artifacts(replication).training(replication.run(run), 0)
    Image.new("RGB", (64, 48)).save("image.jpg")
    names: dict[str, object] = {}
    exec(CODE.search(model_card(replication, training))[1], names)
    assert names.get("network") is not None if run.startswith("class") else "[" in capsys.readouterr().out
