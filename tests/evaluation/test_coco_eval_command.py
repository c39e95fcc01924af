"""`sgenet coco-eval` outside the repository: against pycocotools' recorded numbers, and on bad files."""

import contextlib
import io
import json
import subprocess
import sys

import pytest

from sgenet.cli import main

NAMES = {  # ours -> the name in the case's expected.json
    "ap": "AP", "ap50": "AP50", "ap75": "AP75", "ap_small": "APs", "ap_medium": "APm", "ap_large": "APl",
    "ar1": "AR1", "ar10": "AR10", "ar100": "AR100", "ar_small": "ARs", "ar_medium": "ARm", "ar_large": "ARl",
}  # fmt: skip
TRUTH = {
    "images": [{"id": 7, "height": 200, "width": 200}],
    "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 10, 50, 40], "area": 2000, "iscrowd": 0}],
    "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}],
}
DETECTION = {"image_id": 7, "category_id": 3, "bbox": [10, 10, 50, 40], "score": 0.5}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Write ground truth and detections, each as text or as what JSON holds; returns the command's arguments."""
    monkeypatch.chdir(tmp_path)

    def write(truth, detections):
        for name, content in (("truth.json", truth), ("found.json", detections)):
            (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
        return ["coco-eval", "--annotations", "truth.json", "--detections", "found.json"]

    return write


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_json_is_what_pycocotools_recorded(shared, tmp_path, monkeypatch, capsys, iou_type):
    monkeypatch.chdir(tmp_path)
    case = shared / "cases/cocoapi_fake100"
    arguments = ["--annotations", str(case / "instances_val2014_100.json")]
    arguments += ["--detections", str(case / f"instances_val2014_fake{iou_type}100_results.json")]
    assert main(["coco-eval", *arguments, "--iou-type", iou_type, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = json.loads((case / "expected.json").read_text())[f"pycocotools_2.0.11_here_{iou_type}"]
    assert list(found) == list(NAMES)
    assert found == pytest.approx({ours: 100 * expected[theirs] for ours, theirs in NAMES.items()}, abs=1e-9, rel=0)


def test_undefined_numbers_are_null_and_found_objects_give_100(files, capsys):
    assert main([*files(TRUTH, [DETECTION]), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {name for name, value in found.items() if value is None} == {"ap_small", "ap_large", "ar_small", "ar_large"}
    assert [value for value in found.values() if value is not None] == pytest.approx([100] * 8)


def test_table_shows_each_category(files, capsys):
    assert main(files(TRUTH, [DETECTION])) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "boxes: 1 images, 1 objects without crowds; in percent"
    assert [line.split()[:2] for line in lines[1:13]][:2] == [["ap", "100.00"], ["ap50", "100.00"]]
    assert [line.split() for line in lines[-2:]] == [["cat", "100.00"], ["dog", "-"]]


@pytest.mark.parametrize(
    ("detections", "complaint"),
    [
        ("[{", "found.json: line 1 is not JSON"),
        ({"found": []}, "found.json: found {'found': []}, expected a list of detections"),
        ([{**DETECTION, "image_id": 8}], "found.json: 0.image_id: found 8, expected an id that the annotation file"),
        ([{**DETECTION, "bbox": [1, 2, 3]}], "found.json: 0.bbox: found [1, 2, 3], expected [x, y, width, height]"),
        ([DETECTION, {**DETECTION, "score": float("nan")}], "found.json: 1.score: found nan, expected a finite number"),
        ([{**DETECTION, "score": 10**400}], "found.json: 0.score: found 1000"),
    ],
)
def test_bad_detections_are_refused_in_one_sentence(files, capsys, detections, complaint):
    assert main(files(TRUTH, detections)) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"sgenet: {complaint}")
    assert shown.err.count("\n") == 1 and shown.out == ""


def test_missing_files_are_named(files, capsys):
    arguments = files(TRUTH, [DETECTION])
    assert main([*arguments[:2], "elsewhere.json", *arguments[3:]]) == 2
    assert capsys.readouterr().err.startswith("sgenet: elsewhere.json: cannot be read (no such file or directory)")


def test_nothing_heavy_is_imported(files):
    code = (
        "import sys; from sgenet.cli import main\n"
        f"main({files(TRUTH, [DETECTION])})\n"
        "assert not {'torch', 'mmengine', 'mmdet', 'matplotlib', 'jsonschema'} & set(sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_the_ground_truth_of_coco_against_itself_is_100(shared, tmp_path, capsys, iou_type):
    from pycocotools.coco import COCO

    path = shared / "data/coco200/annotations/instances_val2017.json"
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
    detections = []
    for annotation in truth.loadAnns(truth.getAnnIds(iscrowd=False)):
        code = truth.annToRLE(annotation)
        own = {key: annotation[key] for key in ("image_id", "category_id", "bbox")}
        detections.append({**own, "score": 1.0, "segmentation": {**code, "counts": code["counts"].decode()}})
    (tmp_path / "found.json").write_text(json.dumps(detections))
    arguments = ["--annotations", str(path), "--detections", str(tmp_path / "found.json"), "--iou-type", iou_type]
    assert main(["coco-eval", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    whole = {name for name in NAMES if name not in ("ar1", "ar10")}  # images have more objects of a category than that
    assert {name: found[name] for name in whole} == dict.fromkeys(whole, 100.0)
