"""Reading images as tensors. torchvision's decoders are used if they return PIL's pixels: they are twice as fast."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image

from sgenet.data.images import open_image, read_bytes, read_image


def read_tensor(source: bytes | str | Path, name: str | Path = "") -> Tensor:
    """Read the image of a file or its bytes as uint8 (3, H, W), with the pixels and errors of `read_image`."""
    content = source if isinstance(source, bytes) else read_bytes(source, name or source)
    if _is_plain(content):
        open_image(content, name or str(source))  # torchvision allocates memory for any size that a file states
        try:
            encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
            return decode_image(encoded, mode=ImageReadMode.RGB, apply_exif_orientation=True)
        except RuntimeError:
            pass  # if PIL cannot read it either, it reports the reason
    image = read_image(content, name or str(source))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def _is_plain(content: bytes) -> bool:
    """Return whether it is a JPEG, or a WebP without EXIF data, whose orientation torchvision ignores."""
    if content[:3] == b"\xff\xd8\xff":
        return True
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP" and not (content[12:16] == b"VP8X" and content[20] & 8)
