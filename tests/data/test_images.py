"""Images of every kind come out as those who trained before saw them, and what is none is refused by its name."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile
from torchvision.datasets.folder import pil_loader

from sgenet.data.images import read_image, read_upright
from sgenet.errors import InputError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (30, 40, 3), dtype=np.uint8)
GREY16 = RNG.integers(0, 2**16, (30, 40), dtype=np.uint16)


def encode(image, format, **save):
    file = io.BytesIO()
    image.save(file, format, **save)
    return file.getvalue()


def by_opencv(content):
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "1"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM"])
def test_as_torchvision_reads_image_folders(tmp_path, format, mode):
    if (mode == "CMYK" and format in ("PNG", "WEBP", "BMP", "PPM")) or (mode == "1" and format == "WEBP"):
        pytest.skip("a format without such images")
    path = tmp_path / "image"
    path.write_bytes(encode(Image.fromarray(PIXELS).convert(mode), format))
    found = read_image(path)
    assert found.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(found), np.asarray(pil_loader(path)))


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA"])
def test_alpha_is_dropped_and_palettes_looked_up(mode):
    image = Image.fromarray(PIXELS).quantize(16) if mode == "P" else Image.fromarray(PIXELS).convert(mode)
    save = {"transparency": bytes(range(16))} if mode == "P" else {}
    expected = np.asarray(image.convert("RGB"))
    if mode != "P":
        image.putalpha(Image.fromarray(PIXELS[..., 0]))
    np.testing.assert_array_equal(np.asarray(read_image(encode(image, "PNG", **save))), expected)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_become_eight_as_in_opencv(format):
    content = encode(Image.fromarray(GREY16), format)
    found = np.asarray(read_image(content))
    np.testing.assert_array_equal(found, np.repeat((GREY16 >> 8).astype(np.uint8)[..., None], 3, axis=2))
    np.testing.assert_array_equal(found, by_opencv(content))


def test_sixteen_bit_colours():
    colours = RNG.integers(0, 2**16, (30, 40, 3), dtype=np.uint16)
    content = cv2.imencode(".png", colours)[1].tobytes()
    np.testing.assert_array_equal(np.asarray(read_image(content)), by_opencv(content))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_images_as_opencv_does(format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save = {"lossless": True} if format == "WEBP" else {}
    content = encode(Image.fromarray(PIXELS), format, exif=exif, **save)
    image, rotated = read_upright(content, "x")
    np.testing.assert_array_equal(np.asarray(image), by_opencv(content))
    assert rotated == (orientation != 1) or format == "TIFF"


@pytest.mark.filterwarnings("error")
def test_damaged_exif_is_no_reason_to_refuse():
    content = encode(Image.fromarray(PIXELS), "PNG", exif=b"Exif\0\0" + b"MM\0*\0\0\0\x08\xff\xff" + b"\x01" * 9)
    np.testing.assert_array_equal(np.asarray(read_image(content)), PIXELS)


def alter(content, marker, offset, value):
    """A file with another byte `offset` bytes behind the beginning of its first `marker`."""
    position = content.index(marker) + offset
    return content[:position] + bytes([value]) + content[position + 1 :]


WHOLE = {format: encode(Image.fromarray(PIXELS), format) for format in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")}
REFUSED = {
    **{f"half a {format}": (content[: len(content) // 2], "expected") for format, content in WHOLE.items()},
    **{f"{format} without its end": (content[:-40], "expected") for format, content in WHOLE.items()},
    "nothing": (b"", "found an empty file, expected JPEG, PNG, WEBP, BMP, PPM or TIFF"),
    "text": (b"hello, world", r"found bytes of no readable image \(they begin with b'hello, w'\), expected JPEG"),
    "another format": (encode(Image.fromarray(PIXELS), "GIF"), "found bytes of no readable image"),
    "a damaged PNG": (WHOLE["PNG"][:99] + b"xyz" + WHOLE["PNG"][102:], "found a damaged or truncated image"),
    # libjpeg bridges much damage in silence (docs/data.md); this it does not
    "a JPEG's odd table": (alter(WHOLE["JPEG"], b"\xff\xdb", 4, 0x0F), "found a damaged or truncated image"),
    "a JPEG without a table": (alter(WHOLE["JPEG"], b"\xff\xdb", 1, 0xFE), "found a damaged or truncated image"),
    "a JPEG without height": (alter(WHOLE["JPEG"], b"\xff\xc0", 6, 0), "found bytes of no readable image"),
    "floats": (encode(Image.fromarray(RNG.random((4, 4)).astype(np.float32)), "TIFF"), "found floating-point pixels"),
    "32 bits": (encode(Image.fromarray(np.full((2, 2), 2**20, np.int32)), "TIFF"), "found int32 pixels from 1048576"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_by_name(what):
    content, message = REFUSED[what]
    with pytest.raises(InputError, match=f"^train/cat.jpg: .*{message}"):
        read_image(content, "train/cat.jpg")


@pytest.mark.parametrize("size", [(20_000, 5_000), (20_000, 20_000)])
def test_bombs_are_refused_before_they_are_decoded(monkeypatch, size):
    content = encode(Image.new("1", size), "PNG")
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("decoded"))
    with pytest.raises(InputError, match=r"bomb.png: found .* pixels, expected at most 89,478,485"):
        read_image(content, "bomb.png")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none.jpg: cannot be read \(no such file or directory\)"):
        read_image(tmp_path / "none.jpg")


def test_truncated_images_stay_refused():
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
