"""The images that detectors read are those that were checked, as mmdet reads them."""

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from sgenet.config import paths
from sgenet.config.replication import load_replication
from sgenet.config.tasks import Task
from sgenet.data.splits import open_manifest
from sgenet.detection import ops
from sgenet.detection.config import detector_config
from sgenet.detection.loading import LoadUprightImage
from support.sources import encode

ops.install()

from mmdet.registry import DATASETS  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_ordinary_images_are_those_of_mmdet(tmp_path, format, mode):
    path = tmp_path / "image"
    path.write_bytes(encode(Image.fromarray(PIXELS).convert(mode), format=format))
    given = {"img_path": str(path), "img_id": 1}
    found, expected = LoadUprightImage().transform(dict(given)), LoadImageFromFile().transform(dict(given))
    np.testing.assert_array_equal(found.pop("img"), expected.pop("img"))
    assert found == expected


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_data_set_reads_with_it(prepared_project, split):
    replication = load_replication("smoke")
    manifest = open_manifest("smoke", Task.DETECTION, replication.scale.data.of(Task.DETECTION))
    run = next(run for run in replication.runs.values() if run.detector)
    config = detector_config(run, paths.data_folder("smoke", Task.DETECTION), manifest)
    init_default_scope("mmdet")
    dataset = DATASETS.build(config[f"{split}_dataloader"].dataset)
    first = dataset.pipeline.transforms[0]
    assert isinstance(first, LoadUprightImage)
    info = dataset.get_data_info(0)
    np.testing.assert_array_equal(first(info)["img"], cv2.imread(info["img_path"]))
