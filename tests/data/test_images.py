"""Images of every kind are read as other readers read them, and what is not an image is refused by its name."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile
from torchvision.datasets.folder import pil_loader

from sgenet.data.images import decode, read_image, read_pixels
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
    pixels, rotated = decode(content, "x")
    np.testing.assert_array_equal(pixels, by_opencv(content))
    assert rotated == (orientation != 1) or format == "TIFF"


def long_orientation(order, orientation):
    """EXIF data whose only entry, the orientation, is a LONG (type 4) instead of a SHORT."""
    head = b"MM\0*" if order == ">" else b"II*\0"
    return b"Exif\0\0" + head + struct.pack(f"{order}LHHHLLL", 8, 1, 0x0112, 4, 1, orientation, 0)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("first", [b"", b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"])
def test_orientation_is_found_behind_xmp_and_as_long(order, first):
    plain, exif = encode(Image.fromarray(PIXELS), "JPEG"), long_orientation(order, 6)
    segments = [b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in (first, exif) if part]
    pixels, rotated = decode(plain[:2] + b"".join(segments) + plain[2:], "x")
    np.testing.assert_array_equal(pixels, np.rot90(by_opencv(plain), -1))  # 6: to be turned clockwise
    assert rotated


@pytest.mark.parametrize("compression", ["zstd", "lzma", "tiff_lzw", "tiff_adobe_deflate", "raw"])
def test_compressed_tiff(compression):
    content = encode(Image.fromarray(PIXELS), "TIFF", compression=compression)
    np.testing.assert_array_equal(read_pixels(content), PIXELS)


def test_white_is_zero_of_16_bits():
    content = encode(Image.fromarray(GREY16), "TIFF", tiffinfo={262: 0})  # PIL stores the values as they are
    np.testing.assert_array_equal(read_pixels(content)[..., 0], 255 - (GREY16 >> 8))


def test_alpha_of_tiff_is_dropped():
    image = Image.fromarray(PIXELS)
    image.putalpha(128)
    np.testing.assert_array_equal(read_pixels(encode(image, "TIFF")), PIXELS)


@pytest.mark.parametrize("most", [1, 100, 255, 1000, 65535])
def test_ppm_as_text_and_as_bytes_is_scaled_to_its_maximum(most):
    values = RNG.integers(0, most + 1, (4, 5, 3))
    text = f"P3\n# a comment\n5 4\n{most}\n" + " ".join(map(str, values.ravel()))
    binary = b"P6 5 4 %d\n" % most + values.astype(">u2" if most > 255 else "u1").tobytes()
    for content in (text.encode(), binary):
        assert np.abs(read_pixels(content) - 255 * values / most).max() <= 1


def test_several_jpegs_in_one_file():
    frames = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1])]
    content = encode(frames[0], "MPO", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_pixels(content), by_opencv(encode(frames[0], "JPEG")))


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_the_first_image_of_an_animation(format):
    frames = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1])]
    content = encode(frames[0], format, save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(read_pixels(content), PIXELS)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_exif_behind_the_pixels_of_a_png():
    plain = encode(Image.fromarray(PIXELS), "PNG")
    pixels, rotated = decode(plain[:-12] + chunk(b"eXIf", long_orientation("<", 3)[6:]) + plain[-12:], "x")
    np.testing.assert_array_equal(pixels, PIXELS[::-1, ::-1])
    assert rotated


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_png_of_few_bits(bits):
    values = RNG.integers(0, 2**bits, (8, 16))
    rows = np.unpackbits(values.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :].reshape(8, -1)
    packed = b"".join(b"\0" + row.tobytes() for row in np.packbits(rows, axis=1))
    head = struct.pack(">IIBBBBB", 16, 8, bits, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b"")
    np.testing.assert_array_equal(read_pixels(content)[..., 1], values * (255 // (2**bits - 1)))


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
    "a PNG without its last byte": (WHOLE["PNG"][:-1], "image file is truncated"),
    "a PNG without its last chunk": (WHOLE["PNG"][:-12], "image file is truncated"),
    "a PNG's wrong checksum": (alter(WHOLE["PNG"], b"IEND", -5, 0xAA), "wrong checksum of IDAT"),
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
