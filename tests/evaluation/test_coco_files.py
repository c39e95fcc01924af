"""Ground truth and detections that cannot be evaluated are refused in one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from sgenet.errors import InputError
from sgenet.evaluation.coco_eval import evaluate

Dataset = dict[str, Any]
Detections = list[dict[str, Any]]


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Dataset, Detections]:
    """Four images with one object each, of two kinds, and two detections of each."""
    images = [{"id": number, "height": 400, "width": 400} for number in range(1, 5)]
    owners = [{"image_id": number, "category_id": 1 + number % 2, "bbox": [10, 20, 30, 40]} for number in range(1, 5)]
    dataset = {
        "images": images,
        "annotations": [{**owner, "id": number, "area": 900.0} for number, owner in enumerate(owners, 1)],
        "categories": [{"id": 1, "name": "kind 1"}, {"id": 2, "name": "kind 2"}],
    }
    detections = [{**owner, "score": score} for owner in owners for score in (0.9, 0.4)]
    return write(tmp_path / "truth.json", dataset), dataset, detections


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_id": 99}, ("7.image_id", "99", "annotation file")),
        ({"category_id": 99}, ("7.category_id", "99")),
        ({"category_id": "1"}, ("7.category_id", "'1'", "whole number")),
        ({"bbox": [1, 2, 3]}, ("7.bbox", "[1, 2, 3]", "width")),
        ({"bbox": [1, 2, float("nan"), 4]}, ("7.bbox", "nan")),
        ({"bbox": [1, 2, -3, 4]}, ("7.bbox", "-3")),
        ({"score": float("nan")}, ("7.score", "nan", "finite")),
        ({"score": None}, ("7.score", "None")),
        ({"score": ...}, ("7.score", "missing")),
        ({"bbox": ...}, ("7.bbox", "missing")),
    ],
)
def test_bad_detection(
    small: tuple[Path, Dataset, Detections], tmp_path: Path, change: dict[str, Any], words: tuple[str, ...]
) -> None:
    changed = {**small[2][7], **change}
    small[2][7] = {key: value for key, value in changed.items() if value is not ...}
    with pytest.raises(InputError) as error:
        evaluate(small[0], small[2])
    assert all(word in str(error.value) for word in ("detections", *words))
    with pytest.raises(InputError, match="found.json") as error:
        evaluate(small[0], write(tmp_path / "found.json", small[2]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("place", "change", "words"),
    [
        (("images",), ..., "images: missing"),
        (("images",), [], "images: found an empty list"),
        (("images", 3, "id"), 1, "images.3.id: found 1"),
        (("images", 3, "id"), ..., "images.3.id: missing"),
        (("annotations",), {}, "annotations: missing"),
        (("annotations", 3), 5, "annotations.3: found 5"),
        (("annotations", 3, "image_id"), 99, "annotations.3.image_id: found 99"),
        (("annotations", 3, "category_id"), ..., "annotations.3.category_id: missing"),
        (("annotations", 3, "id"), ..., "annotations.3.id: missing"),
        (("annotations", 3, "id"), 1, "annotations.3.id: found 1 again"),
        (("annotations", 3, "area"), ..., "annotations.3.area: missing"),
        (("annotations", 3, "area"), -1.5, "annotations.3.area: found -1.5"),
        (("annotations", 3, "bbox"), "large", "annotations.3.bbox: found 'large'"),
        (("categories", 1, "name"), "kind 1", "categories.1.name: found 'kind 1'"),
        (("categories", 1, "id"), 1, "categories.1.id: found 1"),
    ],
)
def test_bad_annotations(
    small: tuple[Path, Dataset, Detections], place: tuple[Any, ...], change: Any, words: str
) -> None:
    path, dataset, detections = small
    inner: Any = dataset
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = change
    if change is ...:
        del inner[place[-1]]
    with pytest.raises(InputError) as error:
        evaluate(write(path, dataset), detections)
    assert f"{path}: {words}" in str(error.value)


@pytest.mark.parametrize(
    "shape",
    [None, [], [[0, 0, 1, 1]], [[0, 0, 5, 5, 5]], {"size": [4, 4], "counts": "12"}, {"size": [400, 400]}]
    + [{"size": [400, 400], "counts": counts} for counts in ("", "!!!!", "12", [10, 10], [-5, 160_005])]
    # pycocotools would end the process for these, or take gigabytes
    + [[[0, 0, 1e300, 0, 9, 9]], [[0, 0, -(2**40), 0, 9, 9]], [[0, 0, 2**20, 2**20] * 500]],
)
def test_bad_segmentation(small: tuple[Path, Dataset, Detections], shape: Any) -> None:
    path, dataset, _ = small
    for entry in dataset["annotations"]:
        entry["segmentation"] = [[0, 0, 9, 0, 9, 9]]
    owner = {"image_id": 1, "category_id": 1, "score": 0.5}
    write(path, dataset)
    with pytest.raises(InputError, match="detections: 0.segmentation"):
        evaluate(path, [{**owner, "segmentation": shape}], "segm")
    dataset["annotations"][2]["segmentation"] = shape
    with pytest.raises(InputError, match="annotations.2.segmentation"):
        evaluate(write(path, dataset), [], "segm")


def test_sides_as_whole_floats(small: tuple[Path, Dataset, Detections]) -> None:
    """Some tools write them; pycocotools draws polygons only with integers."""
    path, dataset, _ = small
    for entry in dataset["images"]:
        entry.update(height=400.0, width=400.0)
    for entry in dataset["annotations"]:
        entry["segmentation"] = [[10, 20, 40, 20, 40, 60, 10, 60]]
    assert evaluate(write(path, dataset), [], "segm").metrics["ap"] == 0


@pytest.mark.parametrize("value", [0, -1, 0.5, 2**40, True, "400", None])
def test_sides_of_images_are_whole_and_of_an_image(small: tuple[Path, Dataset, Detections], value: Any) -> None:
    path, dataset, _ = small
    dataset["images"][1]["height"] = value
    with pytest.raises(InputError, match="images.1.height: found "):
        evaluate(write(path, dataset), [], "segm")


@pytest.mark.parametrize("value", [True, 2**63, 10**400, -1, 1.0])
def test_ids_are_whole_numbers(small: tuple[Path, Dataset, Detections], value: Any) -> None:
    path, dataset, _ = small
    dataset["images"][0]["id"] = value
    with pytest.raises(InputError, match="images.0.id: found .*, expected a whole number"):
        evaluate(write(path, dataset), [])


def test_as_many_categories_as_would_fill_the_memory(small: tuple[Path, Dataset, Detections]) -> None:
    path, dataset, _ = small
    dataset["categories"] = [{"id": number, "name": str(number)} for number in range(6000)]
    with pytest.raises(InputError, match="found 6,000 categories and 4 images, expected at most 5,000"):
        evaluate(write(path, dataset), [])


def test_bad_files_and_arguments(small: tuple[Path, Dataset, Detections], tmp_path: Path) -> None:
    path, dataset, detections = small
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    for arguments in ((broken, detections), (tmp_path / "none.json", []), (path, broken), (path, path)):
        with pytest.raises(InputError, match="json"):
            evaluate(*arguments)
    with pytest.raises(ValueError, match="iou_type"):
        evaluate(path, detections, "keypoints")
    with pytest.raises(ValueError, match="area_limits"):
        evaluate(path, detections, area_limits=(96.0, 32.0))


@pytest.mark.parametrize("value", [2, 1000, -1, "1", 0.0, None])
def test_a_crowd_is_one_or_none(small: tuple[Path, Dataset, Detections], value: Any) -> None:
    path, dataset, _ = small
    dataset["annotations"][1]["iscrowd"] = value
    with pytest.raises(InputError, match="annotations.1.iscrowd: found "):
        evaluate(write(path, dataset), [])
