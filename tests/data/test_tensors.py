"""Images as tensors: the pixels of the reader in torchvision's layout."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps
from torchvision.transforms.v2.functional import pil_to_tensor

from sgenet.data.tensors import read_tensor
from sgenet.errors import InputError
from support.sources import encode

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_pixels_are_those_of_pil(format, mode, tmp_path):
    content = encode(IMAGE.convert(mode), format=format)
    path = tmp_path / "image"
    path.write_bytes(content)
    with Image.open(path) as image:
        expected = pil_to_tensor(image.convert("RGB"))
    for found in (read_tensor(content, "x"), read_tensor(path)):
        assert found.dtype == expected.dtype and found.equal(expected)


@pytest.mark.parametrize("save", [{"progressive": True}, {"subsampling": 0}, {"quality": 30}, {"optimize": True}])
def test_jpegs_of_every_kind(save):
    content = encode(IMAGE, format="JPEG", **save)
    with Image.open(io.BytesIO(content)) as image:
        assert read_tensor(content, "x").equal(pil_to_tensor(image))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_jpegs(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(IMAGE, format="JPEG", exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        assert read_tensor(content, "x").equal(pil_to_tensor(ImageOps.exif_transpose(image)))


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
@pytest.mark.parametrize("length", [0, 3, 60, 300])
def test_damaged_files_are_refused_by_name(format, length, tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(encode(IMAGE, format=format)[:length])
    with pytest.raises(InputError, match="broken.jpg: found "):
        read_tensor(path)
