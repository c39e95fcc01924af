"""Reading image files as RGB pixels, with one clear error message for each defect."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from sgenet.errors import InputError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM", "TIFF")
_SIXTEEN_BITS = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # PIL reads some 16-bit files as 32-bit "I"
_TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LARGEST_FILE = 2**30  # bytes


def read_image(source: bytes | str | Path, name: str | Path = "") -> Image.Image:
    """Read an RGB image from a file or its bytes, and apply its EXIF orientation.

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
    return read_upright(source, name)[0]


def read_bytes(path: str | Path, name: str | Path) -> bytes:
    """Return the content of a file; InputError if it cannot be read or exceeds LARGEST_FILE."""
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({(error.strerror or 'unknown reason').lower()})") from None
    if len(content) > LARGEST_FILE:
        raise InputError(f"{name}: found more than {LARGEST_FILE:,} bytes, expected an image file")
    return content


def read_upright(content: bytes, name: str | Path) -> tuple[Image.Image, bool]:
    """Return the image as `read_image` does, and whether it was rotated or mirrored by its EXIF orientation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PIL warns about odd metadata, and about sizes, which are checked here
        image = open_image(content, name)
        try:
            image.load()
            orientation = _orientation(image)
            image = _to_rgb(image, name)
            turn = _TURNS[orientation]
            return (image, False) if turn is None else (image.transpose(turn), True)
        except InputError:
            raise
        except Exception as error:  # decoders raise every kind of exception for bad bytes
            found = f"found a damaged or truncated image ({_reason(error)})"
            raise InputError(f"{name}: {found}, expected a whole one") from None


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

    image.getexif() is not used: it falls back to XMP, but OpenCV, which reads the images of detectors, does not. PIL
    has already applied the orientation tag of a TIFF.
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
        return Image.fromarray((grey >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise InputError(f"{name}: found floating-point pixels, expected 8 or 16 bits")
    image.info.pop("transparency", None)
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    """Return the decoder's message without the number of bytes in brackets."""
    return (str(error).split("(")[0].strip() or type(error).__name__).splitlines()[0][:80]
