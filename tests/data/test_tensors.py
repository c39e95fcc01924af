"""torchvision's decoders against PIL's, on every kind of file that both read."""

import io

import numpy as np
import pytest
from PIL import Image

from sgenet.data.images import read_image
from sgenet.data.tensors import read_tensor
from sgenet.errors import InputError


def _encoded(mode="RGB", **how):
    noise = np.random.default_rng(0).integers(0, 256, (10, 15, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((90, 60)).convert(mode).save(buffer, **how)
    return buffer.getvalue()


def _turned(orientation, format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _encoded(format=format, exif=exif)


KINDS = {
    "jpeg": _encoded(format="JPEG"),
    "progressive": _encoded(format="JPEG", progressive=True),
    "no chroma subsampling": _encoded(format="JPEG", subsampling=0),
    "grey jpeg": _encoded("L", format="JPEG"),
    "cmyk jpeg": _encoded("CMYK", format="JPEG"),
    "webp": _encoded(format="WEBP", quality=75),
    "lossless webp": _encoded(format="WEBP", lossless=True),
    "webp with alpha": _encoded("RGBA", format="WEBP", lossless=True),
    "palette png": _encoded("P", format="PNG"),
    "16-bit png": _encoded("I;16", format="PNG"),
    "bmp": _encoded(format="BMP"),
    "turned webp": _turned(6, "WEBP"),
    **{f"jpeg turned by {orientation}": _turned(orientation, "JPEG") for orientation in range(1, 9)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_pixels_are_those_of_pil(kind):
    expected = np.asarray(read_image(KINDS[kind], "x"))
    found = read_tensor(KINDS[kind], "x")
    assert found.dtype.is_floating_point is False and tuple(found.shape) == (3, *expected.shape[:2])
    assert np.array_equal(found.permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff and no more", KINDS["jpeg"][:300], KINDS["webp"][:60]])
def test_damaged_files_are_told_by_name(content, tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match="broken.jpg: found "):
        read_tensor(path)
