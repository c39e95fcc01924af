"""Images as tensors, by torchvision's decoders where these give PIL's very pixels, which takes half the time."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image

from sgenet.data.images import open_image, read_bytes, read_image


def read_tensor(source: bytes | str | Path, name: str | Path = "") -> Tensor:
    """The image that `read_image` reads from a file or its bytes, as uint8 (3, H, W); errors as there."""
    content = source if isinstance(source, bytes) else read_bytes(source, name or source)
    if _is_plain(content):
        open_image(content, name or str(source))  # torchvision takes memory for any size that a file tells
        try:
            encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
            return decode_image(encoded, mode=ImageReadMode.RGB, apply_exif_orientation=True)
        except RuntimeError:
            pass  # what PIL cannot read either, it tells in words
    image = read_image(content, name or str(source))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def _is_plain(content: bytes) -> bool:
    """JPEG, or WebP without EXIF data, whose orientation torchvision would leave out."""
    if content[:3] == b"\xff\xd8\xff":
        return True
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP" and not (content[12:16] == b"VP8X" and content[20] & 8)
