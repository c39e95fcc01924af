"""Detectors of mmdetection 0.6: written by hand in its form, from a detector of ours, and brought back."""

import pytest
import torch
from safetensors.torch import load_file

from sgenet.cli import main
from sgenet.detection import ops

ops.install()

from mmdet.datasets import CocoDataset  # noqa: E402
from mmdet.registry import MODELS  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402

from sgenet.config.params import layers, load_recipe, load_scale, merge  # noqa: E402
from sgenet.config.recipes import DETECTORS  # noqa: E402
from sgenet.config.runs import Run  # noqa: E402
from sgenet.config.tasks import Task  # noqa: E402
from sgenet.data.manifest import Manifest  # noqa: E402
from sgenet.detection.config import detector_config  # noqa: E402
from sgenet.detection.released import convert, create_detector  # noqa: E402
from sgenet.errors import InputError  # noqa: E402
from sgenet.models import backbone  # noqa: E402, F401  (registers the backbone)
from sgenet.weights.released import Released, fit_released, read_released  # noqa: E402

COCO = list(CocoDataset.METAINFO["classes"])
CLASSES = ["person", "traffic light", "dog"]
OLD_CLASSES = ("dog", "person", "traffic_light")  # the rows of a file that names them; 1.x wrote underscores


def _detector(detector, model, scale, tmp_path, classes=COCO):
    init_default_scope("mmdet")
    sources = [load_recipe("detection"), *([load_scale(scale).detection] if scale else [])]
    settings = merge({}, *(layer for source in sources for layer in layers(source, detector, model)))
    torch.manual_seed(0)
    run = Run(Task.DETECTION, "", model, DETECTORS[detector].model_validate(settings), detector)
    network = MODELS.build(detector_config(run, tmp_path, Manifest.of_classes(classes)).model).eval()
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)  # biases and running means too, so that every row is another
    return network


def _in_the_form_of_06(network, detector, told=None):
    """The checkpoint that mmdetection 0.6 would have written of `network`, row by row.

    0.6.rc0 named no classes, and those of COCO stood in the order of their ids. `told`: the classes that the file
    names, in this order; the network's are CLASSES then.
    """
    classes = COCO if told is None else CLASSES
    place = {name.replace("_", " "): row for row, name in enumerate(told or COCO)}
    state = {}
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        old = name.removeprefix("roi_head.")
        kind = old.split(".")[-2]
        background = torch.full_like(tensor[:1], 7.0) if tensor.dim() else None
        rows = [None] * len(classes)
        if kind == "fc_cls":
            for row, label in zip(tensor, classes, strict=False):
                rows[place[label]] = row[None]
            tensor = torch.cat([tensor[-1:], *rows])
        elif kind == "fc_reg" and detector != "cascade-rcnn":
            for index, label in enumerate(classes):
                rows[place[label]] = tensor[4 * index : 4 * index + 4]
            tensor = torch.cat([background] * 4 + rows)
        elif kind == "conv_logits":
            for row, label in zip(tensor, classes, strict=True):
                rows[place[label]] = row[None]
            tensor = torch.cat([background, *rows])
        elif kind == "retina_cls":
            anchors = []
            for first in range(0, len(tensor), len(classes)):
                for index, label in enumerate(classes):
                    rows[place[label]] = tensor[first + index][None]
                anchors += list(rows)
            tensor = torch.cat(anchors)
        state[old] = tensor.clone()
    meta = {"mmdet_version": "0.6.rc0+a1b2c3d", "config": "model = dict()"}
    return {"meta": {**meta, **({"CLASSES": told} if told else {}), "epoch": 24, "iter": 175920}, "state_dict": state}


def _assert_equal(state, network):
    expected = network.state_dict()
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        counter = name.endswith("num_batches_tracked")
        assert torch.equal(state[name], torch.zeros_like(tensor) if counter else tensor), name


@pytest.mark.parametrize(
    ("detector", "told"),
    [("retinanet", None), ("faster-rcnn", None), ("mask-rcnn", None), ("cascade-rcnn", None)]
    + [("retinanet", OLD_CLASSES), ("mask-rcnn", OLD_CLASSES)],
)
def test_a_detector_comes_back_whole(project, tmp_path, detector, told):
    classes = CLASSES if told else COCO
    network = _detector(detector, "sge-resnet18", "smoke", tmp_path, classes)
    content = _in_the_form_of_06(network, detector, told)
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    released = read_released(tmp_path / "a.pth")
    assert released.classes == told and released.epoch == 24
    again = _detector(detector, "sge-resnet18", "smoke", tmp_path, classes)
    fit_released(again, convert(released, detector, classes, "a.pth"), "a.pth")
    _assert_equal(again.state_dict(), network)
    if detector == "faster-rcnn":
        _check_scores(content["state_dict"], again)


def _check_scores(old, network):
    """The box head's outputs, against what the old layers give by 0.6's own convention: the background first."""
    regions = torch.randn(5, network.neck.out_channels, 7, 7)
    hidden = regions.flatten(1)
    for layer in ("bbox_head.shared_fcs.0", "bbox_head.shared_fcs.1"):
        hidden = torch.relu(hidden @ old[f"{layer}.weight"].T + old[f"{layer}.bias"])
    logits, boxes = (
        hidden @ old[f"bbox_head.{name}.weight"].T + old[f"bbox_head.{name}.bias"] for name in ("fc_cls", "fc_reg")
    )
    scores, deltas = network.roi_head.bbox_head(regions)
    torch.testing.assert_close(scores[:, 80], logits[:, 0])
    for index in range(80):
        row = 1 + index
        torch.testing.assert_close(scores[:, index], logits[:, row])
        torch.testing.assert_close(deltas[:, 4 * index : 4 * index + 4], boxes[:, 4 * row : 4 * row + 4])


def test_the_command_converts_a_full_size_detector(project, tmp_path, capsys):
    network = _detector("retinanet", "sge-resnet18", None, tmp_path)
    content = _in_the_form_of_06(network, "retinanet")
    torch.save(content, tmp_path / "a.pth")
    arguments = ["import-checkpoint", str(tmp_path / "a.pth"), str(tmp_path / "w.safetensors")]
    arguments += ["--model", "retinanet/sge-resnet18"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "epoch 24, best accuracy unknown, according to the file; classes not named, assumed to be COCO's 80" in out
    _assert_equal(load_file(tmp_path / "w.safetensors"), network)
    assert main([*arguments, "--classes", ",".join(CLASSES)]) == 2
    error = capsys.readouterr().err
    assert "a.pth: meta.CLASSES (missing, assumed to be COCO's): found 80 classes, expected 3: bicycle is unk" in error
    content["meta"]["CLASSES"] = OLD_CLASSES
    torch.save(content, tmp_path / "a.pth")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "a.pth: meta.CLASSES: found 3 classes, expected 80: bicycle is missing; car is missing; " in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"classes": None, "state": {"bbox_head.fc_cls.bias": torch.ones(4)}},
            "bbox_head.fc_cls.bias: found 4 rows, expected 81 for COCO's 80 classes, since meta.CLASSES is missing",
        ),
        (
            {"classes": None, "state": {"bbox_head.retina_cls.bias": torch.ones(27)}, "model": "retinanet/resnet18"},
            "bbox_head.retina_cls.bias: found 27 rows, expected 720 for COCO's 80 classes, since meta.CLASSES is",
        ),
        ({"classes": ("dog", "person", "cat")}, "traffic light is missing; cat is unknown"),
        ({"classes": ("dog", "person", "dog")}, "found 3 classes, expected 3: traffic light is missing"),
        ({"state": {"roi_head.bbox_head.fc_cls.bias": torch.ones(4)}}, "expected the names of mmdetection 0.6"),
        ({"model": "fast-rcnn/resnet18"}, "found detector 'fast-rcnn', expected one of retinanet, faster-rcnn"),
        ({"model": "faster-rcnn/resnet19"}, "found model 'resnet19'"),
        ({"state": {"bbox_head.fc_cls.bias": torch.ones(80)}}, r"roi_head.bbox_head.fc_cls.bias is \(80,\), expected"),
    ],
)
def test_what_cannot_be_converted_is_refused(project, tmp_path, change, sentence):
    values = {"state": {}, "classes": OLD_CLASSES, "model": "faster-rcnn/resnet18", **change}
    released = Released(values["state"], None, None, values["classes"])
    if "fc_cls.bias is" in sentence:  # all else fits
        network = _detector("faster-rcnn", "resnet18", None, tmp_path, CLASSES)
        released.state.update(_in_the_form_of_06(network, "faster-rcnn", OLD_CLASSES)["state_dict"] | values["state"])
    with pytest.raises(InputError, match=sentence):
        create_detector(values["model"], released, "a.pth", CLASSES)
