"""Images with detections on the page: which are chosen, what is drawn of them, and that bad files stop nothing."""

import base64
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sgenet.config import paths
from sgenet.config.replication import Replication
from sgenet.config.scales import CocoData, Split
from sgenet.data.folders import describe_file
from sgenet.judgement.results import read_found
from sgenet.report.environment import make_environment
from sgenet.report.figures.detections import Detections, read_detections
from support import results as make
from support.page import Elements

BASELINE, SGE = "detection/retinanet/resnet50", "detection/retinanet/sge-resnet50"
DATA = Path("data/demo/detection")
ANNOTATIONS = DATA / "annotations/val.json"
IMAGES = make.SCENES
PLACES = [1, 3, 5, 7]  # the middles of four equal parts of nine, from 0


@pytest.fixture
def data(replication: Replication) -> Replication:
    """Nine images with one object each, in which the baseline finds nothing true and SGE all."""
    make.make_scenes(DATA / "val", ANNOTATIONS)
    make.write(paths.manifest("demo", "detection"), _manifest(source="embedded", settings={}))
    for run, category in {BASELINE: 1, SGE: 2}.items():
        found = [make.detection(number, category, 0.9) for number in range(10, 10 + IMAGES)]
        make.write(_file(run), found)
    return replication


def _manifest(**others: Any) -> dict[str, Any]:
    return make.manifest("detection", IMAGES) | {"classes": ["cat", "dog"], "category_ids": [1, 2]} | others


def _with_data(replication: Replication, asked: CocoData) -> Replication:
    data = replication.scale.data.model_copy(update={"detection": asked})
    return replace(replication, scale=replication.scale.model_copy(update={"data": data}))


def _file(run: str) -> Path:
    return paths.evaluation("demo", run, 0) / "detections.json"


def _read(replication: Replication) -> tuple[Detections, str | None]:
    return read_detections(replication, read_found(replication))


def _pixels(uri: str) -> Image.Image:
    kind, _, content = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(content, validate=True)))


def _render(drawn: Detections) -> str:
    return make_environment().get_template("detections.html").render(detections=drawn)


def test_evenly_spaced_images_with_both_runs(data: Replication) -> None:
    drawn, problem = _read(data)
    assert problem is None and not drawn.absent
    assert (drawn.labels, drawn.seed, drawn.of) == (("RetinaNet", "RetinaNet SGE"), 0, IMAGES)
    assert [scene.place - 1 for scene in drawn.scenes] == PLACES
    for place, scene in zip(PLACES, drawn.scenes, strict=True):
        assert scene.name == f"{10 + place}.png"
        for image in (_pixels(view.pixels) for view in scene.views):
            assert image.size == (280, 210) and abs(image.getpixel((270, 200))[0] - 20 * (place + 1)) < 5
        assert [view.title for view in scene.views] == ["Objects", *drawn.labels]
        counts = ["1 object", "0 correct, 1 false, 1 missed", "1 correct, 0 false, 0 missed"]
        assert [view.counts for view in scene.views] == counts


def test_weak_detections_and_those_of_other_images_are_not_drawn(data: Replication) -> None:
    image = 10 + PLACES[0]
    found = [make.detection(image, 1, score) for score in (0.2999, 0.3)]
    make.write(_file(SGE), [*found, make.detection(10, 1, 0.9), {"image_id": "none", "score": "bad"}])
    drawn, _ = _read(data)
    assert [scene.views[2].counts[:18] for scene in drawn.scenes] == ["0 correct, 1 false"] + 3 * ["0 correct, 0 false"]


def test_at_most_a_hundred_of_an_image_the_best(data: Replication) -> None:
    image = 10 + PLACES[0]
    worst_first = [make.detection(image, 1, 0.3 + 0.005 * rank, x=40) for rank in range(101)]
    make.write(_file(SGE), [make.detection(image, 2, 0.3), *worst_first])
    drawn, _ = _read(data)
    assert drawn.scenes[0].views[2].counts == "0 correct, 100 false, 1 missed"


def test_large_and_turned_images(data: Replication) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying: a quarter turn makes it upright
    path = DATA / "val" / f"{10 + PLACES[0]}.png"
    Image.new("RGB", (1200, 800)).save(path, format="JPEG", exif=exif)
    content = json.loads(ANNOTATIONS.read_text())
    content["images"][PLACES[0]] |= {"width": 800, "height": 1200}
    make.write(ANNOTATIONS, content)
    drawn, _ = _read(data)
    assert _pixels(drawn.scenes[0].views[0].pixels).size == (187, 280)


def test_real_data(data: Replication, tmp_path: Path) -> None:
    """Images and annotations below a root of the reader's own; a damaged manifest of them is told."""
    shutil.rmtree(DATA)  # what is made of embedded data
    root = tmp_path / "elsewhere"
    make.make_scenes(root / "pictures", root / "boxes.json")
    files = [describe_file(root / "boxes.json", "boxes.json").plain()]
    place = {"annotations": "boxes.json", "images": "pictures"}
    manifest = _manifest(source="coco", settings={"train": place, "val": place}, files=files)
    make.write(paths.manifest("demo", "detection"), manifest)
    asked = CocoData(source="coco", root=str(root), train=Split(**place), val=Split(**place))
    real = _with_data(data, asked)
    drawn, problem = _read(real)
    assert problem is None and len(drawn.scenes) == 4
    make.write(paths.manifest("demo", "detection"), _manifest(source="coco", settings={}, files=files))
    drawn, problem = _read(real)
    assert problem and "demo/detection.json" in problem and not drawn.scenes
    leaving = {"annotations": "boxes.json", "images": f"../{root.name}/pictures"}
    made = _manifest(source="coco", settings={"train": place, "val": leaving}, files=files)
    make.write(paths.manifest("demo", "detection"), made)
    drawn, _ = _read(real)
    assert not drawn.scenes  # such data are not what is asked for
    drawn, _ = _read(_with_data(data, asked.model_copy(update={"val": Split.model_construct(**leaving)})))
    assert not drawn.scenes and "expected a path below the root of the data" in _render(drawn)
    make.write(paths.manifest("demo", "detection"), manifest)
    root.rename(tmp_path / "unmounted")
    drawn, problem = _read(real)
    assert problem is None and "expected an existing folder" in _render(drawn).replace("\n", " ")


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        (_file(SGE), "no baseline and its SGE row both have a usable detections.json"),
        (paths.manifest("demo", "detection"), "there is no usable data/demo/detection.json"),
        (ANNOTATIONS, "val.json does not exist"),
        (DATA / "val", "val does not exist"),
        (DATA / "val" / f"{10 + PLACES[2]}.png", f"found &#39;{10 + PLACES[2]}.png&#39;, expected a file in"),
    ],
    ids=str,
)
def test_data_that_are_not_there_are_no_problem(data: Replication, missing: Path, told: str) -> None:
    missing.rename("elsewhere")
    drawn, problem = _read(data)
    assert problem is None and not drawn.scenes
    assert told in _render(drawn)


def test_data_that_are_others_by_now(data: Replication) -> None:
    make.write(paths.manifest("demo", "detection"), _manifest(source="embedded", settings={}, fingerprint="f2"))
    drawn, problem = _read(data)
    assert problem is None and not drawn.scenes and "no baseline and its SGE row both have" in drawn.absent


@pytest.mark.parametrize("name", ["../secret.png", "/etc/secret.png", "C:\\secret.png", "\0.png", 7])
def test_file_names_stay_in_the_folder(data: Replication, name: Any) -> None:
    Image.new("RGB", (64, 48)).save(DATA / "secret.png")
    content = json.loads(ANNOTATIONS.read_text())
    content["images"][PLACES[1]]["file_name"] = name
    make.write(ANNOTATIONS, content)
    drawn, problem = _read(data)
    assert problem and "file_name" in problem and "val.json" in problem
    assert not drawn.scenes and "under Problems" in _render(drawn)


BAD = make.detection(10 + PLACES[0], 1, 0.9)


@pytest.mark.parametrize(
    "content",
    [
        '[{"image_id": 1',
        {"image_id": 1},
        [BAD | {"bbox": [0, 0, 5]}],
        [BAD | {"bbox": [0, 0, float("nan"), 5]}],
        [BAD | {"bbox": [0, 0, 10**400, 5]}],
        [BAD | {"bbox": [0, 0, -1, 5]}],
        [BAD | {"bbox": "wide"}],
        [BAD | {"category_id": 3}],
        [BAD | {"category_id": [1]}],
        [BAD | {"score": None}],
        [BAD | {"score": float("inf")}],
    ],
    ids=lambda content: f"{content!r:.80}",
)
def test_bad_detections_are_told_in_a_sentence(data: Replication, content: Any) -> None:
    make.write(_file(SGE), content)
    drawn, problem = _read(data)
    assert problem and problem.startswith(f"{_file(SGE)}: ") and len(problem) < 400
    assert not drawn.scenes and "under Problems" in drawn.absent


@pytest.mark.parametrize("damage", ["image", "box", "text"])
def test_bad_data_are_told_in_a_sentence(data: Replication, damage: str) -> None:
    content = json.loads(ANNOTATIONS.read_text())
    if damage == "image":
        (DATA / "val" / f"{10 + PLACES[0]}.png").write_bytes(b"no image")
    elif damage == "box":
        content["annotations"][PLACES[0]]["bbox"] = [1e9, 0, 5, 5]
        make.write(ANNOTATIONS, content)
    else:
        ANNOTATIONS.write_text("{")
    drawn, problem = _read(data)
    assert problem and str(DATA) in problem and not drawn.scenes


def test_page_has_each_view_and_no_hostile_name(data: Replication) -> None:
    evil = "<script>alert(1)</script>"
    content = json.loads(ANNOTATIONS.read_text())
    content["categories"][1]["name"] = evil
    content["images"][PLACES[0]]["file_name"] = "<b>.png"
    make.write(ANNOTATIONS, content)
    (DATA / "val" / f"{10 + PLACES[0]}.png").rename(DATA / "val/<b>.png")
    drawn, problem = _read(data)
    assert problem is None
    text = _render(drawn)
    elements = Elements(text)
    images = elements.all("img")
    assert text.count("data:image") == len(images) == 12 and all(image["alt"] for image in images)
    assert not elements.all("script") and not elements.all("b") and "&lt;b&gt;.png" in text
    assert "evenly spaced" in text and "at least 0.3" in text
