"""Matches and curves of data sets with many ties, against pycocotools called directly."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask
from pycocotools.cocoeval import COCOeval

from sgenet.evaluation import curves
from sgenet.evaluation.coco_eval import METRICS, evaluate
from sgenet.evaluation.matches import Matches
from support.coco_scenes import Dataset, Detections, accumulated, hard_scenes, scenes, write


def gathered(coco_eval: COCOeval) -> dict[str, np.ndarray]:
    """The arrays of `Matches` from COCOeval.evalImgs, which runs over categories, area ranges and images."""
    images = coco_eval.params.imgIds
    size = (len(coco_eval.params.catIds), 4, len(images))
    truths, rows = np.zeros(size, dtype=int), [[], [], [], []]
    for at, entry in zip(np.ndindex(size), coco_eval.evalImgs, strict=True):
        if entry is not None:
            truths[at] = np.count_nonzero(entry["gtIgnore"] == 0)
            numbers = zip(entry["dtScores"], entry["dtMatches"].T > 0, entry["dtIgnore"].T, strict=True)
            rows[at[1]] += [(at[2], at[0], *of_detection) for of_detection in numbers]
    order = sorted(range(len(rows[0])), key=lambda n: (rows[0][n][1], -rows[0][n][2]))  # stable
    image, category, score = (np.array([rows[0][n][column] for n in order]) for column in range(3))
    matched, ignored = (
        np.array([[row[n][column] for n in order] for row in rows]).reshape(4, -1, 10).swapaxes(1, 2)
        for column in (3, 4)
    )
    kinds = {"image": image, "category": category, "score": score, "matched": matched, "ignored": ignored}
    return {**kinds, "truths": truths.swapaxes(0, 1)}


def check(truth: Path, found: Any, coco_eval: COCOeval, iou_type: str) -> Matches:
    """Compare an evaluation with pycocotools': metrics, matches, precision at each level of recall, and recall."""
    evaluation = evaluate(truth, found, iou_type)
    expected = [None if value == -1 else pytest.approx(100 * value, abs=1e-9, rel=0) for value in coco_eval.stats]
    assert [evaluation.metrics[name] for name in METRICS] == expected
    for name, array in gathered(coco_eval).items():
        np.testing.assert_array_equal(getattr(evaluation.matches, name), array, err_msg=name)
    precision, recall = (
        np.where((found := coco_eval.eval[name]) == -1, np.nan, found) for name in ("precision", "recall")
    )
    np.testing.assert_array_equal(
        curves.precision(evaluation.matches),
        precision[..., 2].transpose(3, 0, 1, 2),  # (T, R, K, A, M)
    )
    for at, most in enumerate((1, 10, 100)):
        np.testing.assert_array_equal(curves.recall(evaluation.matches, most), recall[..., at].transpose(2, 0, 1))
    return evaluation.matches


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize("seed", range(12))
def test_equal_to_pycocotools(tmp_path: Path, seed: int, iou_type: str) -> None:
    dataset, detections = hard_scenes(seed, iou_type)
    coco_eval = accumulated(dataset, detections, iou_type=iou_type)
    matches = check(write(tmp_path / "truth.json", dataset), detections, coco_eval, iou_type)
    assert len(matches.score) < len(detections)  # more than 100 in an image
    assert matches.matched.any() and matches.ignored.any() and not matches.ignored.all()
    assert len(np.unique(matches.score)) < len(matches.score) / 2


@pytest.mark.parametrize("seed", range(3))
def test_ordinary_scenes(tmp_path: Path, seed: int) -> None:
    dataset, detections = scenes(seed, images=40)
    coco_eval = accumulated(dataset, detections)
    check(write(tmp_path / "truth.json", dataset), write(tmp_path / "found.json", detections), coco_eval, "bbox")


def test_ignored_objects_are_crowds(tmp_path: Path) -> None:
    """pycocotools ignores only crowds."""
    dataset, detections = hard_scenes(0, "bbox")
    crowds = copy.deepcopy(dataset)
    for entry, crowd in zip(dataset["annotations"][::3], crowds["annotations"][::3], strict=True):
        entry["ignore"], crowd["iscrowd"] = 1, 1
    check(write(tmp_path / "truth.json", dataset), detections, accumulated(crowds, detections), "bbox")


@pytest.mark.parametrize("kept", [slice(0, 0), slice(0, 1)])
def test_few_detections_or_objects(tmp_path: Path, kept: slice) -> None:
    dataset, detections = hard_scenes(0, "bbox")
    few: list[tuple[Dataset, Detections]] = [
        (dataset, detections[kept]),
        ({**dataset, "annotations": dataset["annotations"][kept]}, detections),
    ]
    for truth, found in few:
        if found:  # pycocotools cannot load an empty list
            check(write(tmp_path / "truth.json", truth), found, accumulated(truth, found), "bbox")


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_known_case(shared: Path, iou_type: str) -> None:
    case = shared / "cases/cocoapi_fake100"
    truth, found = case / "instances_val2014_100.json", case / f"instances_val2014_fake{iou_type}100_results.json"
    dataset, detections = (json.loads(path.read_text()) for path in (truth, found))
    if iou_type == "segm":  # loadRes would take the area of a detection from its box
        detections = [{key: value for key, value in entry.items() if key != "bbox"} for entry in detections]
    check(truth, found, accumulated(dataset, detections, iou_type=iou_type), iou_type)


def test_a_threshold_of_iou_that_is_met_exactly(tmp_path: Path) -> None:
    """Two boxes of 20 x 10 pixels, 10 and 5 pixels apart: IoUs of 1/3 and 3/5; half a box: 1/2."""
    owner = {"image_id": 1, "category_id": 1}
    objects = [{**owner, "id": n + 1, "bbox": [100 * n, 0, 20, 10], "area": 200, "iscrowd": 0} for n in range(3)]
    boxes = ([10, 0, 20, 10], [105, 0, 20, 10], [200, 0, 10, 10])
    found = [{**owner, "bbox": box, "score": 0.9 - 0.1 * n} for n, box in enumerate(boxes)]
    dataset = {"images": [{"id": 1}], "annotations": objects, "categories": [{"id": 1, "name": "box"}]}
    matched = evaluate(write(tmp_path / "truth.json", dataset), found).matches.matched[0]
    assert matched[:4].tolist() == [[False, True, True]] + [[False, True, False]] * 2 + [[False, False, False]]


def test_masks_in_any_form_match_alike(tmp_path: Path) -> None:
    """Packed text, packed bytes and lists of counts."""
    dataset, detections = hard_scenes(0, "segm")
    truth = write(tmp_path / "truth.json", dataset)
    expected = evaluate(truth, detections, "segm").metrics
    packed = [{**entry, "segmentation": _as_bytes(entry["segmentation"])} for entry in detections]
    assert evaluate(truth, packed, "segm").metrics == expected
    lists = [{**entry, "segmentation": _as_counts(entry["segmentation"])} for entry in detections]
    assert evaluate(truth, lists, "segm").metrics == expected


def _as_bytes(code: dict[str, Any]) -> dict[str, Any]:
    return {**code, "counts": code["counts"].encode()}


def _as_counts(code: dict[str, Any]) -> dict[str, Any]:
    flat = mask.decode(code).ravel(order="F")
    edges = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [len(flat)]])
    return {**code, "counts": [0] * int(flat[0]) + np.diff(edges).tolist()}
