"""NMS on torchvision's operator: against mmcv's published results, torchvision, and its definition."""

import pytest
import torch
import torchvision

from sgenet.detection import ops

ops.install()

import mmcv.ops  # noqa: E402

pytestmark = pytest.mark.skipif(ops.describe().startswith("mmcv"), reason="a compiled mmcv is installed")

# Inputs, outputs and gradients as mmcv's own tests state them (mmcv/tests/test_ops, version 2.1.0).
NMS_BOXES = [[6.0, 3, 8, 7], [3, 6, 9, 11], [3, 7, 10, 12], [1, 4, 13, 7]]
NMS_SCORES = [0.6, 0.9, 0.7, 0.2]


def random_boxes(count: int, seed: int = 0, size: float = 60.0) -> torch.Tensor:
    """Return (count, 4) boxes, 1 to 31 wide and high, that overlap often."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * size
    return torch.cat([corner, corner + 1 + 30 * torch.rand(count, 2, generator=generator)], dim=1)


def random_scores(count: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed))


def loop_nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float, offset: int) -> list[int]:
    """Non-maximum suppression by its definition, in float64, one pair of boxes at a time."""
    rows = boxes.double().tolist()
    area = [(x2 - x1 + offset) * (y2 - y1 + offset) for x1, y1, x2, y2 in rows]
    kept: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        for j in kept:
            width = min(rows[i][2], rows[j][2]) - max(rows[i][0], rows[j][0]) + offset
            height = min(rows[i][3], rows[j][3]) - max(rows[i][1], rows[j][1]) + offset
            overlap = max(width, 0.0) * max(height, 0.0)
            if overlap > threshold * (area[i] + area[j] - overlap):
                break
        else:
            kept.append(i)
    return kept


def test_nms_gives_mmcv_published_result():
    boxes, scores = torch.tensor(NMS_BOXES), torch.tensor(NMS_SCORES)
    dets, kept = mmcv.ops.nms(boxes, scores, iou_threshold=0.3, offset=0)
    assert kept.tolist() == [1, 0, 3]
    assert torch.equal(dets, torch.cat([boxes, scores[:, None]], dim=1)[[1, 0, 3]])


def test_nms_gives_the_documented_example_on_numpy_arrays():
    boxes = torch.tensor(
        [
            [49.1, 32.4, 51.0, 35.9],
            [49.3, 32.9, 51.0, 35.3],
            [49.2, 31.8, 51.0, 35.4],
            [35.1, 11.5, 39.1, 15.7],
            [35.6, 11.8, 39.3, 14.2],
            [35.3, 11.5, 39.9, 14.5],
            [35.2, 11.7, 39.7, 15.7],
        ]
    ).numpy()
    scores = torch.tensor([0.9, 0.9, 0.5, 0.5, 0.5, 0.4, 0.3]).numpy()
    dets, kept = mmcv.ops.nms(boxes, scores, 0.6)
    assert dets.shape == (3, 5) and kept.tolist() == loop_nms(torch.tensor(boxes), torch.tensor(scores), 0.6, 0)


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.7])
def test_nms_equals_torchvision(threshold):
    boxes, scores = random_boxes(500), random_scores(500)
    kept = mmcv.ops.nms(boxes, scores, threshold)[1]
    assert torch.equal(kept, torchvision.ops.nms(boxes, scores, threshold))
    assert 0 < len(kept) < 500


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("seed", range(5))
def test_nms_equals_its_definition(offset, seed):
    boxes, scores = random_boxes(200, seed), random_scores(200, seed + 100)
    assert mmcv.ops.nms(boxes, scores, 0.5, offset=offset)[1].tolist() == loop_nms(boxes, scores, 0.5, offset)


def test_nms_offset_decides_where_it_should():
    """Boxes of one pixel: without the offset they have no area, with it they are the same pixel."""
    boxes, scores = torch.tensor([[4.0, 4, 4, 4], [4, 4, 4, 4]]), torch.tensor([0.9, 0.8])
    assert mmcv.ops.nms(boxes, scores, 0.5, offset=0)[1].tolist() == [0, 1]
    assert mmcv.ops.nms(boxes, scores, 0.5, offset=1)[1].tolist() == [0]
    assert boxes.eq(4).all()  # the caller's boxes stay as they were


def test_nms_keeps_an_overlap_of_exactly_the_threshold():
    boxes, scores = torch.tensor([[0.0, 0, 6.5, 1], [3.5, 0, 10, 1]]), torch.tensor([0.9, 0.8])  # 3 of 10
    assert mmcv.ops.nms(boxes, scores, 0.3)[1].tolist() == [0, 1]
    assert mmcv.ops.nms(boxes, scores, 0.2999)[1].tolist() == [0]


def test_nms_filters_by_score_and_number():
    boxes, scores = random_boxes(300), random_scores(300)
    kept = mmcv.ops.nms(boxes, scores, 0.5, score_threshold=0.4, max_num=7)[1]
    assert kept.tolist() == [i for i in loop_nms(boxes, scores, 0.5, 0) if scores[i] > 0.4][:7]


def test_nms_takes_half_precision():
    boxes, scores = random_boxes(200).half(), torch.linspace(0, 1, 200).half()  # scores without ties
    assert mmcv.ops.nms(boxes, scores, 0.5)[1].tolist() == loop_nms(boxes, scores, 0.5, 0)


@pytest.mark.parametrize("split", [10, 10000])
def test_batched_nms_suppresses_within_a_class_only(split):
    boxes, scores = random_boxes(300), random_scores(300)
    classes = torch.arange(300) % 3
    kept = mmcv.ops.batched_nms(boxes, scores, classes, {"iou_threshold": 0.5, "split_thr": split})[1]
    expected = []
    for label in range(3):
        members = (classes == label).nonzero().flatten()
        expected += members[loop_nms(boxes[members], scores[members], 0.5, 0)].tolist()
    assert kept.tolist() == sorted(expected, key=lambda i: -scores[i])


def test_no_boxes():
    dets, kept = mmcv.ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5, offset=1)
    assert dets.shape == (0, 5) and kept.shape == (0,) and kept.dtype == torch.int64
