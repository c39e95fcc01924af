"""COCO evaluation against known answers, against pycocotools called directly, and on bad input."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from sgenet.evaluation.coco_eval import AP_METRICS, METRICS, ap, bootstrap_ap, evaluate, precision_recall
from sgenet.evaluation.matches import Matches
from support.coco_scenes import Dataset, Detections, accumulated, scenes, write

SHARED = Path(os.environ.get("SGENET_SHARED", Path(__file__).parents[2].parent / "shared"))
CASE = SHARED / "cases" / "cocoapi_fake100"
known_case = pytest.mark.skipif(not CASE.is_dir(), reason=f"no {CASE} (set SGENET_SHARED)")


def direct(dataset: Dataset, detections: Detections, limits: tuple[float, float] = (32**2, 96**2)) -> list[float]:
    """The twelve numbers in percent of pycocotools alone, -100 where undefined."""
    return [100 * value for value in accumulated(dataset, detections, limits).stats]


def repeat(dataset: Dataset, detections: Detections, weights: np.ndarray) -> tuple[Dataset, Detections]:
    """The data set with each image as often as its weight says, every copy under an id of its own.

    The copies of an image get neighbouring ids, so that detections with equal scores keep their order.
    """
    ids = sorted(image["id"] for image in dataset["images"])
    copies = [(old, new) for new, old in enumerate(np.repeat(ids, weights).tolist(), 1)]
    images = {image["id"]: image for image in dataset["images"]}

    def moved(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        pairs = [(entry, new) for old, new in copies for entry in entries if entry["image_id"] == old]
        return [{**entry, "image_id": new, "id": number} for number, (entry, new) in enumerate(pairs, 1)]

    frame = {
        "images": [{**images[old], "id": new} for old, new in copies],
        "categories": dataset["categories"],
    }
    return {**frame, "annotations": moved(dataset["annotations"])}, moved(detections)


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Dataset, Detections]:
    dataset, detections = scenes()
    return write(tmp_path / "truth.json", dataset), dataset, detections


@known_case
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_known_case(iou_type: str) -> None:
    results = CASE / f"instances_val2014_fake{iou_type}100_results.json"
    evaluation = evaluate(CASE / "instances_val2014_100.json", results, iou_type)
    known = json.loads((CASE / "expected.json").read_text())
    expected = known[f"pycocotools_2.0.11_here_{iou_type}"]
    assert list(evaluation.metrics) == list(METRICS)
    assert list(evaluation.metrics.values()) == pytest.approx([100 * v for v in expected.values()], abs=1e-9)
    per_category = known[f"pycocotools_2.0.11_here_{iou_type}_per_category_AP"].values()
    expected_ap = [None if value == -1 else pytest.approx(100 * value, abs=1e-9) for value in per_category]
    assert list(evaluation.per_category.values()) == expected_ap
    assert evaluation.per_category["person"] == pytest.approx(100 * next(iter(per_category)))
    for metric in AP_METRICS:
        assert ap(evaluation.matches, metric=metric) == pytest.approx(evaluation.metrics[metric], abs=1e-9)


@known_case
def test_known_case_resampled() -> None:
    dataset = json.loads((CASE / "instances_val2014_100.json").read_text())
    detections = json.loads((CASE / "instances_val2014_fakebbox100_results.json").read_text())
    for rank, detection in enumerate(detections):  # scores of three digits tie; a copy would reorder the ties
        detection["score"] += 1e-9 * rank
    matches = evaluate(CASE / "instances_val2014_100.json", detections).matches
    weights = np.random.default_rng(0).multinomial(100, np.full(100, 0.01))
    expected = direct(*repeat(dataset, detections, weights))[:6]
    assert [ap(matches, weights, metric) for metric in AP_METRICS] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("limits", [(32**2, 96**2), (20**2, 60**2)])
@pytest.mark.parametrize("seed", range(3))
def test_equals_pycocotools(tmp_path: Path, seed: int, limits: tuple[float, float]) -> None:
    dataset, detections = scenes(seed)
    evaluation = evaluate(write(tmp_path / "truth.json", dataset), detections, area_limits=limits)
    expected = direct(dataset, detections, limits)
    assert list(evaluation.metrics.values()) == pytest.approx(expected, abs=1e-9)
    assert [ap(evaluation.matches, metric=m) for m in AP_METRICS] == pytest.approx(expected[:6], abs=1e-9)
    assert evaluation.per_category["kind 4"] is None  # no object of this kind


@pytest.mark.parametrize("seed", range(3))
def test_resample_equals_a_repeated_dataset(tmp_path: Path, seed: int) -> None:
    dataset, detections = scenes(seed)
    matches = evaluate(write(tmp_path / "truth.json", dataset), detections).matches
    weights = np.random.default_rng(seed).multinomial(12, np.full(12, 1 / 12), size=5)
    drawn = bootstrap_ap(matches, weights)
    for row, weight in enumerate(weights):
        repeated = direct(*repeat(dataset, detections, weight))[:6]
        expected = pytest.approx([np.nan if value == -100 else value for value in repeated], abs=1e-9, nan_ok=True)
        assert [drawn[metric][row] for metric in AP_METRICS] == expected
        assert [ap(matches, weight, metric) for metric in AP_METRICS] == expected


def test_many_resamples_equal_one_at_a_time(tmp_path: Path) -> None:
    """More resamples than one chunk holds, and a subset of the metrics."""
    dataset, detections = scenes(images=60)
    matches = evaluate(write(tmp_path / "truth.json", dataset), detections).matches
    weights = np.random.default_rng(0).multinomial(60, np.full(60, 1 / 60), size=6000)
    drawn = bootstrap_ap(matches, weights, ("ap75", "ap_large"))
    assert set(drawn) == {"ap75", "ap_large"}
    for row in (0, 777, 5999):
        assert drawn["ap75"][row] == pytest.approx(ap(matches, weights[row], "ap75"), abs=1e-9)


def _check_curves(matches: Matches, coco_eval: COCOeval) -> None:
    """All ten curves against pycocotools', which has -1 for categories without objects."""
    precision = coco_eval.eval["precision"][:, :, :, 0, -1]
    for curves, iou in zip(precision, np.arange(50, 100, 5) / 100, strict=True):
        expected = curves[:, (curves > -1).all(axis=0)].mean(axis=1)
        np.testing.assert_allclose(precision_recall(matches, iou), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_curves_equal_pycocotools(tmp_path: Path, seed: int) -> None:
    dataset, detections = scenes(seed)
    matches = evaluate(write(tmp_path / "truth.json", dataset), detections).matches
    _check_curves(matches, accumulated(dataset, detections))


@known_case
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_curves_of_known_case(iou_type: str) -> None:
    truth, results = CASE / "instances_val2014_100.json", CASE / f"instances_val2014_fake{iou_type}100_results.json"
    dataset, detections = (json.loads(path.read_text()) for path in (truth, results))
    _check_curves(evaluate(truth, results, iou_type).matches, accumulated(dataset, detections, iou_type=iou_type))


def test_curves_without_hits_or_objects(small: tuple[Path, Dataset, Detections], tmp_path: Path) -> None:
    assert precision_recall(evaluate(small[0], []).matches).tolist() == [0] * 101
    empty = write(tmp_path / "empty.json", {**small[1], "annotations": []})
    assert np.isnan(precision_recall(evaluate(empty, small[2]).matches)).all()
    for iou in (0.45, 0.52, 1.0):
        with pytest.raises(ValueError, match="iou"):
            precision_recall(evaluate(small[0], []).matches, iou)


def test_weights_of_one(small: tuple[Path, Dataset, Detections]) -> None:
    matches = evaluate(small[0], small[2]).matches
    assert ap(matches, np.ones(12, dtype=int)) == ap(matches)
    with pytest.raises(ValueError, match="shape"):
        ap(matches, np.ones(11, dtype=int))
    with pytest.raises(ValueError, match="whole"):
        ap(matches, np.ones(12))
    with pytest.raises(ValueError, match="whole"):
        ap(matches, -np.ones(12, dtype=int))
    with pytest.raises(ValueError, match="ar1"):
        ap(matches, metric="ar1")


def test_truth_against_itself(small: tuple[Path, Dataset, Detections]) -> None:
    truth = [{**entry, "score": 0.5} for entry in small[1]["annotations"] if not entry["iscrowd"]]
    evaluation = evaluate(small[0], truth)
    assert evaluation.metrics["ap"] == evaluation.metrics["ar100"] == pytest.approx(100)
    assert ap(evaluation.matches) == pytest.approx(100)


def test_nothing_detected_and_nothing_to_find(small: tuple[Path, Dataset, Detections], tmp_path: Path) -> None:
    nothing = evaluate(small[0], [])
    assert set(nothing.metrics.values()) == {0}
    assert ap(nothing.matches) == 0
    empty = write(tmp_path / "empty.json", {**small[1], "annotations": []})
    for detections in ([], small[2]):
        evaluation = evaluate(empty, detections)
        assert set(evaluation.metrics.values()) == {None}
        assert np.isnan(ap(evaluation.matches))


def test_ids_of_annotations_do_not_matter(small: tuple[Path, Dataset, Detections], tmp_path: Path) -> None:
    """pycocotools takes a match to an annotation with the id 0 for no match."""
    path, dataset, detections = small
    shifted = [{**entry, "id": entry["id"] - 1} for entry in dataset["annotations"]]
    shifted_path = write(tmp_path / "shifted.json", {**dataset, "annotations": shifted})
    assert evaluate(shifted_path, detections).metrics == evaluate(path, detections).metrics


def test_mask_area_counts_for_masks(tmp_path: Path) -> None:
    """A thin diagonal: its box is medium, its mask is small, in the truth and in what was detected."""
    from pycocotools import mask

    diagonal = np.asfortranarray(np.eye(50, dtype=np.uint8))
    shape = mask.encode(diagonal)
    owner = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 50, 50]}
    shape["counts"] = shape["counts"].decode()
    dataset = {
        "images": [{"id": 1, "height": 50, "width": 50}],
        "annotations": [{**owner, "id": 1, "area": 50, "iscrowd": 0, "segmentation": shape}],
        "categories": [{"id": 1, "name": "line"}],
    }
    corner = {**shape, "counts": mask.encode(np.asfortranarray(diagonal[::-1]))["counts"].decode()}
    found = [{**owner, "score": 0.9, "segmentation": corner}, {**owner, "score": 0.5, "segmentation": shape}]
    metrics = evaluate(write(tmp_path / "truth.json", dataset), found, "segm").metrics
    assert metrics["ap_small"] == pytest.approx(50)  # the miss is small, too: it counts
    assert metrics["ap_medium"] is None


def test_quiet_and_leaves_its_input_alone(
    small: tuple[Path, Dataset, Detections], capsys: pytest.CaptureFixture[str]
) -> None:
    before = copy.deepcopy(small[2])
    evaluate(small[0], small[2])
    assert small[2] == before
    assert capsys.readouterr().out == ""
