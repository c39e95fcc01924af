"""COCO's json files, mutated: as data to train on, and as ground truth and detections to be evaluated."""

import contextlib
import json

import pytest
from pycocotools.coco import COCO

from sgenet.config.scales import CocoData
from sgenet.data.prepare import make_data
from sgenet.evaluation.coco_eval import evaluate
from support.mutations import forms, fuzz, mutated_bytes, mutated_documents, refused
from support.sources import Source

RUN_LENGTH = {"size": [32, 40], "counts": [100, 5, 27, 5, 1143]}
PACKED = {"size": [32, 40], "counts": "U4d0<00000000000000000ki0"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data set, and its training json when whole, with polygons and both kinds of run-length masks."""
    source = Source(tmp_path_factory.mktemp("coco") / "source").coco()
    source.edit("train", lambda coco: coco["annotations"][0].update(segmentation=RUN_LENGTH))
    path = source.root / "annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    more = {"id": 3, "image_id": 20, "category_id": 3, "bbox": [1.5, 2, 3, 4.5], "area": 9.5, "iscrowd": 1}
    content["annotations"].append(more | {"segmentation": PACKED})
    path.write_text(json.dumps(content))
    return source.root, path, content


@pytest.fixture
def prepare(data, tmp_path):
    """Prepare the data with other training annotations; what is left must be fit for COCO's own library."""
    root, path, _ = data

    def run(content):
        path.write_bytes(content)
        taken = False
        for policy in ("strict", "skip"):
            settings = CocoData(source="coco", root=str(root), defects=policy)
            taken |= bool(refused(lambda settings=settings: make(settings), "instances_", "2017", "data.detection"))
        return taken

    def make(settings):
        folder = tmp_path / "made"
        manifest = make_data(folder, settings, "place", tmp_path / "known.sqlite", tmp_path / "defects.txt")
        json.dumps(manifest.plain(), allow_nan=False)
        made = folder / "annotations/train.json"
        with contextlib.redirect_stdout(None):
            coco = COCO(made if made.exists() else path)
        for entry in coco.loadAnns(coco.getAnnIds()):
            assert not entry.get("segmentation") or coco.annToMask(entry).shape == (32, 40)
        return manifest

    return run


@forms(40, 1000)
def test_bytes_of_annotations(data, prepare, form):
    valid = json.dumps(data[2]).encode()
    fuzz(mutated_bytes(valid), prepare, form, also=[valid])


@forms(60, 2000)
def test_structure_of_annotations(data, prepare, form):
    def check(content):
        return prepare(json.dumps(content).encode())

    fuzz(mutated_documents(data[2]), check, form)


OWNERS = [{"image_id": number, "category_id": 3 + number % 2, "bbox": [4, 5, 10, 20]} for number in (1, 2)]
TRUTH = {
    "images": [{"id": number, "file_name": f"{number}.png", "height": 30, "width": 40} for number in (1, 2)],
    "annotations": [
        {**OWNERS[0], "id": 1, "area": 200, "iscrowd": 0, "segmentation": [[4, 5, 14, 5, 14, 25, 4, 25]]},
        {**OWNERS[1], "id": 2, "area": 9.5, "iscrowd": 1, "segmentation": RUN_LENGTH},
        {**OWNERS[1], "id": 3, "area": 30, "segmentation": PACKED},
    ],
    "categories": [{"id": 3, "name": "cell"}, {"id": 4, "name": "dot"}],
}
FOUND = [{**owner, "score": 0.9 - 0.1 * number, "segmentation": PACKED} for number, owner in enumerate(OWNERS)]


@pytest.fixture
def measure(tmp_path):
    """Evaluate boxes, then masks, of two files."""
    truth, found = tmp_path / "truth.json", tmp_path / "found.json"

    def run(annotations, detections):
        truth.write_bytes(annotations), found.write_bytes(detections)
        taken = [refused(lambda kind=kind: use(kind), truth, found) for kind in ("bbox", "segm")]
        return any(taken)

    def use(kind):
        evaluation = evaluate(truth, found, kind)
        evaluation.matches.save(tmp_path / "matches.npz")
        type(evaluation.matches).load(tmp_path / "matches.npz")
        return evaluation

    return run


@forms(20, 800)
def test_bytes_of_what_is_evaluated(measure, form):
    whole = [json.dumps(content).encode() for content in (TRUTH, FOUND)]
    fuzz(mutated_bytes(whole[0]), lambda content: measure(content, whole[1]), form, also=[whole[0]])
    fuzz(mutated_bytes(whole[1]), lambda content: measure(whole[0], content), form)


@forms(60, 1500)
def test_structure_of_what_is_evaluated(measure, form):
    def check(both):
        both = both if isinstance(both, dict) else {}
        return measure(*(json.dumps(both.get(key)).encode() for key in ("truth", "found")))

    fuzz(mutated_documents({"truth": TRUTH, "found": FOUND}), check, form)
