"""Reading the images of detectors: mmdet's first step, with the reader that checked the images."""

from typing import Any

import cv2
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS

from sgenet.data.images import read_pixels


@TRANSFORMS.register_module()
class LoadUprightImage(BaseTransform):
    """Replaces LoadImageFromFile, which reads with OpenCV alone; both give BGR, which mmdet's models expect."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read the image of `img_path` into `img`, (H, W, 3)."""
        image = cv2.cvtColor(read_pixels(results["img_path"]), cv2.COLOR_RGB2BGR)
        return results | {"img": image, "img_shape": image.shape[:2], "ori_shape": image.shape[:2]}
