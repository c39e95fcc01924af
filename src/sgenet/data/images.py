"""The one reader of image files, for checks, training, evaluation and figures: upright RGB pixels of 8 bits.

Every step reads images through `decode`, so that what was checked is what is trained on. Defects have one clear error
message each.
"""

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from sgenet.errors import InputError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM", "TIFF")
Pixels = NDArray[np.uint8]  # (H, W, 3), RGB
_SIXTEEN_BITS = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # PIL reads some 16-bit files as 32-bit "I"
_PHOTOMETRIC, _WHITE_IS_ZERO = ExifTags.Base.PhotometricInterpretation, 0  # of a TIFF
# EXIF orientation -> whether rows and columns are exchanged first, and what is then mirrored: 0 the rows' order, 1 the
# columns' order, -1 both (OpenCV's codes).
_TURNS = {
    1: (False, None),
    2: (False, 1),
    3: (False, -1),
    4: (False, 0),
    5: (True, None),
    6: (True, 1),
    7: (True, -1),
    8: (True, 0),
}
LARGEST_FILE = 2**30  # bytes


def read_pixels(source: bytes | str | Path, name: str | Path = "") -> Pixels:
    """Read an image from a file or its bytes as RGB pixels, and apply its EXIF orientation.

    Grey, palette and CMYK images are converted by PIL, as in torchvision's ImageFolder. The alpha channel is dropped.
    Of 16 bits the upper 8 are kept. The format is detected from the content.

    Args:
        source: a path, or the bytes.
        name: for messages; by default the path.

    Raises:
        InputError: the file is missing or not a complete image, or has floating-point or too many pixels.
    """
    if not isinstance(source, bytes):
        name = name or source
        source = read_bytes(source, name)
    return decode(source, name)[0]


def read_image(source: bytes | str | Path, name: str | Path = "") -> Image.Image:
    """Read an image as `read_pixels` does, for drawing."""
    return Image.fromarray(read_pixels(source, name))


def read_bytes(path: str | Path, name: str | Path) -> bytes:
    """Return the content of a file; InputError if it cannot be read or exceeds LARGEST_FILE."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size  # a limit that is far from it would make `read` slow
            content = file.read(min(size, LARGEST_FILE) + 1)
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({(error.strerror or 'unknown reason').lower()})") from None
    if len(content) > LARGEST_FILE:
        raise InputError(f"{name}: found more than {LARGEST_FILE:,} bytes, expected an image file")
    return content


def decode(content: bytes, name: str | Path) -> tuple[Pixels, bool]:
    """Return the pixels as `read_pixels` does, and whether the EXIF orientation rotated or mirrored the image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PIL warns about odd metadata, and about sizes, which are checked here
        image = open_image(content, name)
        try:
            if image.format == "PNG":
                _check_png(content)
            pixels = _decode_fast(content, image) if _is_plain(content, image) else None
            if pixels is None:
                image.load()
                pixels = np.array(_to_rgb(image, name))
            orientation = _orientation(image)
            return _turn(pixels, orientation), orientation != 1
        except InputError:
            raise
        except Exception as error:  # decoders raise every kind of exception for bad bytes
            found = f"found a damaged or truncated image ({_reason(error)})"
            raise InputError(f"{name}: {found}, expected a whole one") from None


def _is_plain(content: bytes, image: Image.Image) -> bool:
    """Return whether OpenCV reads the same pixels as PIL, in less time: grey or colour of 8 bits, without alpha."""
    if image.mode not in ("L", "RGB") or image.format not in ("JPEG", "MPO", "PNG", "WEBP"):
        return False
    if image.format in ("JPEG", "MPO"):  # MPO: a JPEG with further images behind it
        return True
    # The EXIF data of a PNG may follow the pixels, where PIL finds them only while it decodes.
    late = image.format == "PNG" and b"eXIf" in content
    return not late and not getattr(image, "is_animated", False)


def _decode_fast(content: bytes, image: Image.Image) -> Pixels | None:
    """Return the pixels as stored, not turned; None if OpenCV cannot read them: PIL then reports the reason."""
    try:
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        return None
    return pixels if pixels is not None and pixels.shape == (image.height, image.width, 3) else None


def _turn(pixels: Pixels, orientation: int) -> Pixels:
    """Return the upright image."""
    transposed, mirrored = _TURNS[orientation]
    if orientation == 1:
        return pixels
    turned = cv2.transpose(pixels) if transposed else pixels
    return turned if mirrored is None else cv2.flip(turned, mirrored)


def _check_png(content: bytes) -> None:
    """Raise a ValueError if a PNG is cut off, or a checksum of its chunks is not that of their bytes.

    PIL reads a PNG without its end, and does not compare the checksums of the pixels.
    """
    place, view = 8, memoryview(content)
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        place += 12 + length
        if place > len(content):
            break
        needed = not kind[0] & 32  # other chunks, such as texts, do not change the pixels
        (checksum,) = struct.unpack_from(">I", content, place - 4)
        if needed and zlib.crc32(view[place - 8 - length : place - 4]) != checksum:
            raise ValueError(f"wrong checksum of {kind.decode('latin-1')}")
        if kind == b"IEND":
            return
    raise ValueError("image file is truncated")  # PIL's words


def open_image(content: bytes, name: str | Path) -> Image.Image:
    """Open an image without decoding it; InputError if its header cannot be read or it has too many pixels."""
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: {_too_large(str(error))}") from None
    except Exception:
        found = f"bytes of no readable image (they begin with {content[:8]!r})" if content else "an empty file"
        raise InputError(f"{name}: found {found}, expected {', '.join(FORMATS[:-1])} or {FORMATS[-1]}") from None
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise InputError(f"{name}: found {image.width} x {image.height} pixels, expected at most {limit:,} in all")
    return image


def _too_large(message: str) -> str:
    """Convert PIL's message for images larger than twice its limit; it gives the size only in this text."""
    found = next((word for word in message.replace("(", " ").split() if word.isdecimal()), "too many")
    return f"found {int(found):,} pixels, expected at most {Image.MAX_IMAGE_PIXELS:,}"


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) to 8; other values and damaged metadata count as upright.

    image.getexif() is not used: it falls back to XMP, which other readers ignore. PIL has already applied the
    orientation tag of a TIFF.
    """
    if "exif" not in image.info:
        return 1
    try:
        exif = Image.Exif()
        exif.load(image.info["exif"])
        found = exif.get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1
    return found if found in _TURNS else 1


def _to_rgb(image: Image.Image, name: str | Path) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode in _SIXTEEN_BITS:
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() >= 2**16:
            raise InputError(f"{name}: found {grey.dtype} pixels from {grey.min()} to {grey.max()}, expected 16 bits")
        if image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # type: ignore[attr-defined]
            grey = 2**16 - 1 - grey.astype(np.int32)  # PIL inverts 8 bits only
        return Image.fromarray((grey >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise InputError(f"{name}: found floating-point pixels, expected 8 or 16 bits")
    image.info.pop("transparency", None)
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    """Return the decoder's message without the number of bytes in brackets."""
    return (str(error).split("(")[0].strip() or type(error).__name__).splitlines()[0][:80]
