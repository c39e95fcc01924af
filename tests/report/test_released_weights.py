"""Released weights in the report: next to the trained value, and only of the present run, scale and data."""

import csv
import hashlib
from pathlib import Path

from sgenet.config import paths
from sgenet.config.replication import load_replication
from sgenet.report import build
from support import results as make
from support.results import BASE, SGE, cell


def test_released_weights_are_next_to_the_training(repository: Path) -> None:
    scale = Path("params/scales/demo.yaml")
    scale.write_text(scale.read_text().replace("released: false", "released: true"))
    make.write(paths.released("sge-resnet50"), "weights")
    replication = load_replication()
    make.make_results(replication)
    path = paths.released_files("demo", SGE)["metrics"]
    assert build(replication) == [] and cell(0, 1, "top1")["released"] is None
    settings = replication.runs[SGE].settings.plain()
    origin = {"command": "sgenet evaluate --released", "settings": settings, "data": {"fingerprint": "f1"}}
    digest = hashlib.sha256(b"weights").hexdigest()
    weights = {"path": "data/released/sge-resnet50.safetensors", "sha256": digest}
    value = {"metrics": {"top1": 77.5, "top5": 93.75, "images": 400}, "weights": weights, "origin": origin}
    value |= {"run": SGE, "scale": "demo"}
    make.write(path, value)
    assert build(replication) == []
    assert cell(0, 1, "top1")["released"] == {"value": 77.5, "sha256": digest}
    assert cell(0, 1, "top5")["released"]["value"] == 93.75 and cell(0, 1, "params")["released"] is None
    assert cell(0, 0, "top1")["released"] is None and cell(0, 1, "top1")["reproduced"]["value"] == 70
    lines = list(csv.DictReader(Path("reports/demo/tables/one.csv").read_text().splitlines()))
    (line,) = (line for line in lines if line["run"] == SGE and line["column"] == "top1")
    assert (line["released"], line["released_sha256"]) == ("77.5", digest)
    assert {(line["released"], line["released_sha256"]) for line in lines if line["run"] == BASE} == {("", "")}
    page = Path("reports/demo/index.html").read_text()
    assert "released weights: 77.50<" in page  # 77.584 was published, but below scale paper of other images
    assert "released weights: 93.75<" in page and "sgenet evaluate --released" in page  # no Top-5 to compare with
    make.write(path, value | {"metrics": {"top1": 101, "top5": 93.75}})
    assert build(replication) == [f"{path}: metrics.top1: found 101, expected a number from 0 to 100"]
    assert cell(0, 1, "top1")["verdict"] == "not judged" and cell(0, 1, "top1")["released"] is None
    for key, other in {"run": BASE, "scale": "paper"}.items():
        make.write(path, value | {key: other})
        assert build(replication) == [f"{path}: {key}: found {other!r}, expected {value[key]!r}"]
    make.write(path, value | {"origin": origin | {"data": {"fingerprint": "f0"}}})
    again = f"`sgenet evaluate {SGE} --released --scale demo` makes it again"
    assert build(replication) == [f"{path}: made on other data: fingerprint 'f0', now 'f1'; {again}"]
    make.write(path, value)
    make.write(paths.released("sge-resnet50"), "other weights")
    assert build(replication) == [f"{path}: made from other weights; {again}"]
    paths.released("sge-resnet50").unlink()  # what is gone is not shown
    assert build(replication) == []
