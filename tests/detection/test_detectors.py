"""All four detectors, narrow, on a few scenes: they train on what they should and detect what they should."""

import copy
import json

import numpy as np
import pytest
import torch

from sgenet.detection import ops

ops.install()

from mmdet.registry import DATASETS, MODELS  # noqa: E402
from mmdet.structures import DetDataSample  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402
from mmengine.structures import InstanceData  # noqa: E402
from pycocotools import mask as coding  # noqa: E402
from pycocotools.coco import COCO  # noqa: E402
from pycocotools.cocoeval import COCOeval  # noqa: E402

from sgenet.config import recipes  # noqa: E402
from sgenet.config.params import layers, load_recipe, load_scale, merge  # noqa: E402
from sgenet.config.runs import Run  # noqa: E402
from sgenet.config.scales import EmbeddedScenes  # noqa: E402
from sgenet.config.tasks import Task  # noqa: E402
from sgenet.data.embedded import CLASSES, make_detection  # noqa: E402
from sgenet.data.manifest import Manifest  # noqa: E402
from sgenet.detection import evaluate as evaluation  # noqa: E402
from sgenet.detection.config import detector_config  # noqa: E402
from sgenet.detection.train import train  # noqa: E402
from sgenet.evaluation.coco_eval import ap  # noqa: E402
from sgenet.evaluation.matches import Matches  # noqa: E402
from sgenet.training.resume import read_history  # noqa: E402
from sgenet.weights.checkpoints import save_weights  # noqa: E402

DETECTORS = ["retinanet", "faster-rcnn", "mask-rcnn", "cascade-rcnn"]
TWELVE = {"ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"}
TWELVE |= {"ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"}
MASKS = {"mask_ap", "mask_ap50", "mask_ap75", "mask_ap_small", "mask_ap_medium", "mask_ap_large"}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Folder and manifest of four scenes to train on, one object of them a crowd, and three to validate on."""
    folder = tmp_path_factory.mktemp("scenes") / "data"
    few = EmbeddedScenes(source="embedded").model_copy(update={"train_images": 4, "val_images": 3, "objects": (2, 4)})
    manifest = make_detection(folder, few)
    path = folder / "annotations/train.json"
    content = json.loads(path.read_text())
    crowd = content["annotations"][0]
    code = {"size": crowd["segmentation"]["size"], "counts": crowd["segmentation"]["counts"].encode()}
    columns = coding.decode(code).ravel(order="F")
    ends = np.flatnonzero(np.diff(columns, prepend=0, append=2))
    crowd["segmentation"]["counts"] = np.diff(ends, prepend=0).tolist()  # COCO's crowds are not compressed
    crowd["iscrowd"] = 1
    path.write_text(json.dumps(content))
    return folder, manifest


def _run(detector, model, **changes):
    sources = (load_recipe("detection"), load_scale("smoke").detection, changes)
    settings = merge({}, *(layer for source in sources for layer in layers(source, detector, model)))
    return Run(
        Task.DETECTION, f"{detector}/{model}", model, recipes.DETECTORS[detector].model_validate(settings), detector
    )


def _build(run, folder):
    init_default_scope("mmdet")
    torch.manual_seed(0)
    config = detector_config(run, folder, Manifest.of_classes(list(CLASSES)))
    return config, MODELS.build(config.model)


@pytest.mark.parametrize("detector", ["retinanet", "mask-rcnn"])
def test_necks_and_heads_start_alike_whatever_the_backbone(scenes, detector):
    """Also before mmengine seeds again, which it does after the detector was built."""

    def start(model):
        detector_ = _build(_run(detector, model), scenes[0])[1]
        detector_.init_weights()
        return {key: value for key, value in detector_.state_dict().items() if not key.startswith("backbone.")}

    plain = start("resnet50")
    for model in ("sge-resnet50", "sk-resnet50", "bam-resnet50", "cbam-resnet50"):
        found = start(model)
        assert found.keys() == plain.keys()
        assert all(torch.equal(found[key], value) for key, value in plain.items())


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("model", ["resnet50", "sge-resnet50"])
@pytest.mark.parametrize("detector", DETECTORS)
def test_every_detector_trains_and_evaluates(scenes, tmp_path, one_thread, detector, model):
    folder, manifest = scenes
    run = _run(detector, model, test={"score_threshold": 0.0})  # after one step nothing is sure
    train(run, folder, manifest, folder=tmp_path / "state", output=tmp_path / "run", seed=0, device="cpu")
    (row,) = read_history(tmp_path / "run/history.csv")
    assert all(np.isfinite(value) for value in row.values())
    assert ("loss_mask" in row) == (detector == "mask-rcnn")
    assert sum(name.endswith("loss_bbox") for name in row) == (3 if detector == "cascade-rcnn" else 1)
    output = tmp_path / "out"
    metrics = evaluation.evaluate(run, folder, manifest, trained=tmp_path / "run", output=output, device="cpu")
    masks = detector == "mask-rcnn"
    assert metrics.keys() == TWELVE | {"images"} | (MASKS if masks else set()) and metrics["images"] == 3
    found = json.loads((output / "detections.json").read_text())
    assert [entry["image_id"] for entry in found] == sorted(entry["image_id"] for entry in found)
    assert {entry["image_id"] for entry in found} == {1, 2, 3}
    assert all(("segmentation" in entry) == masks for entry in found)
    with np.load(output / "matches.npz") as arrays:
        assert ("mask_score" in arrays) == masks
    if masks:
        _check_masks(found, metrics, folder)


def _check_masks(found, metrics, folder):
    """AP of the masks as pycocotools computes it from the file alone; masks within their boxes' pixels."""
    for entry in found:
        rows, columns = np.nonzero(coding.decode(entry["segmentation"]))
        x, y, width, height = entry["bbox"]
        assert entry["segmentation"]["size"] == [96, 96]
        if len(rows):
            assert x - 2 <= columns.min() and columns.max() <= x + width + 2
            assert y - 2 <= rows.min() and rows.max() <= y + height + 2
    truth = COCO(str(folder / "annotations/val.json"))
    direct = COCOeval(truth, truth.loadRes([{**entry, "bbox": []} for entry in found]), "segm")
    direct.evaluate()
    direct.accumulate()
    direct.summarize()
    assert metrics["mask_ap50"] == pytest.approx(100 * direct.stats[1], abs=1e-9)


def test_true_masks_have_full_ap_and_wrong_ones_none(scenes, tmp_path, monkeypatch):
    """What a perfect detector finds comes out as 100; with its masks mirrored, their AP falls and the boxes' stays."""
    folder, manifest = scenes
    run = _run("mask-rcnn", "resnet50")
    _, network = _build(run, folder)
    save_weights(network, tmp_path / "last.safetensors")
    truth = COCO(str(folder / "annotations/val.json"))
    for mirrored in (False, True):

        def perfect(detector, samples, at_once, mirrored=mirrored):
            for sample in samples:
                found = sample["data_samples"]
                entries = truth.imgToAnns[found.img_id]
                boxes = torch.tensor([entry["bbox"] for entry in entries], dtype=torch.float32)
                boxes[:, 2:] += boxes[:, :2]
                masks = torch.from_numpy(np.stack([truth.annToMask(entry) for entry in entries])).bool()
                labels = torch.tensor([entry["category_id"] - 1 for entry in entries])
                masks = masks.flip(2) if mirrored else masks
                scores = torch.linspace(0.9, 0.5, len(entries))
                found.pred_instances = InstanceData(bboxes=boxes, labels=labels, scores=scores, masks=masks)
                yield found

        monkeypatch.setattr(evaluation, "detect", perfect)
        output = tmp_path / "out"
        metrics = evaluation.evaluate(run, folder, manifest, trained=tmp_path, output=output, device="cpu")
        assert metrics["ap"] == pytest.approx(100) and metrics["ar100"] == pytest.approx(100)
        assert metrics["mask_ap"] < 10 if mirrored else metrics["mask_ap"] == pytest.approx(100)
        assert ap(Matches.load(output / "matches.npz", "mask_")) == pytest.approx(metrics["mask_ap"])
        assert ap(Matches.load(output / "matches.npz")) == pytest.approx(100)


def test_masks_and_crowd_regions_are_loaded(scenes):
    folder, _ = scenes
    truth = COCO(str(folder / "annotations/train.json"))
    config, _ = _build(_run("mask-rcnn", "resnet50"), folder)
    ignored = 0
    for sample in DATASETS.build(config.train_dataloader.dataset):
        sample = sample["data_samples"]
        for instances, crowd in ((sample.gt_instances, 0), (sample.ignored_instances, 1)):
            entries = [entry for entry in truth.imgToAnns[sample.img_id] if entry["iscrowd"] == crowd]
            expected = [truth.annToMask(entry) for entry in entries]
            assert len(instances) == len(entries)
            np.testing.assert_array_equal(instances.masks.masks, np.reshape(expected, (-1, 96, 96)))
            ignored += crowd * len(entries)
    assert ignored == 1


def test_the_loss_of_masks_reaches_their_head_and_the_backbone(scenes):
    folder, _ = scenes
    run = _run("mask-rcnn", "resnet50")
    config, network = _build(run, folder)
    network.init_weights()
    dataset = DATASETS.build(config.train_dataloader.dataset)
    batch = network.data_preprocessor(evaluation.pseudo_collate([dataset[i] for i in range(4)]), True)
    network.train()
    network.loss(batch["inputs"], batch["data_samples"])["loss_mask"].backward()
    reached = {name for name, weight in network.named_parameters() if weight.grad is not None and weight.grad.any()}
    heads = {name.split(".")[1] for name in reached if name.startswith("roi_head.")}
    assert heads == {"mask_head"}
    assert {"roi_head.mask_head.conv_logits.weight", "backbone.layer2.0.conv1.weight"} <= reached


@pytest.mark.parametrize("detector", DETECTORS)
def test_images_together_give_what_each_gives_alone(scenes, monkeypatch, detector):
    """In double precision, where neither order nor thresholds hang on rounding."""
    folder, _ = scenes
    run = _run(detector, "sge-resnet50", test={"score_threshold": 0.0})
    _, network = _build(run, folder)
    network.double().eval()
    if detector == "mask-rcnn":
        _take_single_boxes(network.roi_head.mask_head, monkeypatch)
    sizes = [(96, 96), (96, 96), (96, 96), (64, 96), (96, 64), (96, 64), (96, 96)]
    generator = torch.Generator().manual_seed(0)
    samples = [
        {
            "inputs": torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator),
            "data_samples": DetDataSample(
                metainfo={"img_id": index, "img_shape": size, "ori_shape": size, "scale_factor": (1.0, 1.0)}
            ),
        }
        for index, size in enumerate(sizes)
    ]
    at_once, step = [], network.test_step

    def counting(batch):
        at_once.append(len(batch["inputs"]))
        return step(batch)

    monkeypatch.setattr(network, "test_step", counting)
    together = list(evaluation.detect(network, copy.deepcopy(samples), 2))
    assert at_once == [2, 1, 1, 2, 1]
    alone = [found for sample in samples for found in evaluation.detect(network, [copy.deepcopy(sample)], 2)]
    for one, other in zip(alone, together, strict=True):
        assert one.img_id == other.img_id and len(one.pred_instances) > 0
        for name, value in one.pred_instances.items():
            torch.testing.assert_close(other.pred_instances[name], value, rtol=1e-6, atol=1e-5)
    assert not torch.is_inference_mode_enabled()


def _take_single_boxes(head, monkeypatch):
    """mmdet pastes masks in single precision, whatever the boxes' is."""
    original = head.predict_by_feat

    def predict(**arguments):
        for found in arguments["results_list"]:
            found.bboxes = found.bboxes.float()
        return original(**arguments)

    monkeypatch.setattr(head, "predict_by_feat", predict)
