"""Reading images as tensors."""

from pathlib import Path

import torch
from torch import Tensor

from sgenet.data.images import read_pixels


def read_tensor(source: bytes | str | Path, name: str | Path = "") -> Tensor:
    """Read the image of a file or its bytes as uint8 (3, H, W), with the pixels and errors of `read_pixels`.

    The memory format is that of the pixels, channels last, which torchvision's transforms read fastest.
    """
    return torch.from_numpy(read_pixels(source, name)).permute(2, 0, 1)
