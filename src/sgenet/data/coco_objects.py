"""Which objects can be trained on and evaluated, and which of them mmdet leaves out of training."""

from collections.abc import Sequence

from sgenet.data.coco_fields import Annotation, is_box
from sgenet.data.coco_masks import Polygons, bounds
from sgenet.data.defects import Defect
from sgenet.errors import InputError

MIN_SIDE = 32  # pixels; mmdet leaves smaller images out of training (`min_size` of its configs)
_SLACK = 1.0  # pixels by which a box may exceed its image
_ROUNDING = 2.0  # pixels by which a box may differ from that of its polygons, however small it is
_LEAST_OVERLAP = 0.5  # intersection over union of a box and that of its polygons


def check_box(entry: Annotation, size: Sequence[int] | None, place: str) -> Defect | None:
    """Return why an object cannot be trained on because of its box or area; None if it can."""
    x, y, width, height = entry["bbox"]
    found = f"{place}.bbox: found {entry['bbox']}"
    if width <= 0 or height <= 0:
        return Defect("empty box", f"{found}, expected a width and a height above 0")
    if entry["area"] <= 0:
        return Defect("empty box", f"{place}.area: found {entry['area']}, expected a number above 0")
    if size and (min(x, y) < -_SLACK or x + width > size[1] + _SLACK or y + height > size[0] + _SLACK):
        return Defect("box outside its image", f"{found}, expected a box within {size[1]} x {size[0]} pixels")
    return None


def check_polygons(entry: Annotation, shape: Polygons, size: Sequence[int], place: str) -> Defect | None:
    """Return why polygons are not those of an object of an image of `size` (height, width); None if they may be."""
    (height, width), (left, top, right, bottom) = size, bounds(shape)
    around = [round(side, 2) for side in (left, top, right - left, bottom - top)]
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        found = f"{place}.segmentation: found polygons in the box {around}"
        return Defect("mask outside its image", f"{found}, expected a part inside {width} x {height} pixels")
    x, y, across, down = entry["bbox"]
    if max(abs(x - left), abs(y - top), abs(x + across - right), abs(y + down - bottom)) <= _ROUNDING:
        return None
    shared = max(0.0, min(x + across, right) - max(x, left)) * max(0.0, min(y + down, bottom) - max(y, top))
    if shared >= _LEAST_OVERLAP * (across * down + (right - left) * (bottom - top) - shared):
        return None
    found = f"{place}.bbox: found {entry['bbox']}"
    return Defect("box and polygons differ", f"{found}, expected about {around}, the box of its polygons")


def refuse_normalised(name: str, annotations: Sequence[object]) -> None:
    """Raise an InputError if every box is within the first pixel, as where sides are fractions of the image's."""
    count = 0
    for entry in annotations:
        box = entry.get("bbox") if isinstance(entry, dict) else None
        if box is not None and is_box(box):
            if box[0] + box[2] > 1 or box[1] + box[3] > 1:
                return
            count += 1
    if count:
        text = f"boxes look normalised: all {count:,} lie within one pixel"
        raise InputError(f"{name}: annotations: {text}, expected [x, y, width, height] in pixels")


def is_trained(entry: Annotation, width: float, height: float) -> bool:
    """Return whether mmdet trains on a valid object of an image of this size; crowds are not trained on."""
    x, y, across, down = entry["bbox"]
    inside = min(x + across, width) > max(x, 0) and min(y + down, height) > max(y, 0)
    return inside and across >= 1 and down >= 1
