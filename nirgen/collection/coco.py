"""The COCO files of a dataset, read an image at a time: a million annotations stay as they are written until then."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from nirgen.collection.item import ItemBox
from nirgen.dataset.folder import annotations_name
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

MARKS = ("occluded", "truncated", "crowd", "difficult")
"""Keys and attributes of an annotation that become flags where they are true."""


class ImageEntry(msgspec.Struct):
    """What a COCO file says of an image.

    Attributes:
        id: Of the image.
        file_name: Relative to the dataset.
        width: In pixels.
        height: In pixels.
        key: Its stable key.
        origin: The input.
        kind: `generated` or `real`.
        sequence: Its recording.
        attributes: Such as `weather`.
    """

    id: int
    file_name: str
    width: int
    height: int
    key: str
    origin: str
    kind: str
    sequence: str | None = None
    attributes: dict[str, Any] | None = None


class _Annotation(msgspec.Struct):
    id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    key: str
    area: float = 0.0
    iscrowd: int = 0
    source_category: str = ""
    derived: str | None = None
    clipped: bool = False
    attributes: dict[str, Any] | None = None
    occluded: Any = None
    truncated: Any = None
    crowd: Any = None
    difficult: Any = None


class _OfImage(msgspec.Struct):
    image_id: int


class _Document(msgspec.Struct):
    images: list[ImageEntry]
    annotations: list[msgspec.Raw]


class Entry(NamedTuple):
    """An image of a COCO file with the boxes on it.

    Attributes:
        split: Of the file.
        image: What it says of the image.
        boxes: In the order of their keys.
    """

    split: str
    image: ImageEntry
    boxes: tuple[ItemBox, ...]


def read_split(folder: Path, split: str, names: Mapping[int, str]) -> Iterator[Entry]:
    """Read the images of a split with their boxes.

    Args:
        folder: The dataset.
        split: `train`, `val` or `test`.
        names: Of the classes, by id.

    Yields:
        The images, sorted by key.

    Raises:
        NirgenError: The file can't be read, or isn't what nirgen wrote.
    """
    path = folder / annotations_name(split)
    try:
        with path.open("rb") as file:
            document = _DOCUMENT.decode(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        raws = document.annotations
        of_image = np.fromiter((_OF_IMAGE.decode(raw).image_id for raw in raws), np.int64, len(raws))
        order = np.argsort(of_image, kind="stable")
        of_image = of_image[order]
        for image in sorted(document.images, key=lambda image: image.key):
            start, end = (int(np.searchsorted(of_image, image.id, side)) for side in ("left", "right"))
            yield Entry(split, image, _boxes(raws, order[start:end], names))
    except (OSError, ValueError) as error:  # an empty file can't be mapped; msgspec's errors are ValueErrors
        reason = " ".join(str(error).split())[:100]
        raise NirgenError(f"{path}: can't be read ({reason}); build the dataset again") from None


_DOCUMENT = msgspec.json.Decoder(_Document)
_OF_IMAGE = msgspec.json.Decoder(_OfImage)
_ANNOTATION = msgspec.json.Decoder(_Annotation)


def _boxes(raws: list[msgspec.Raw], positions: NDArray[np.intp], names: Mapping[int, str]) -> tuple[ItemBox, ...]:
    boxes = (_box(_ANNOTATION.decode(raws[position]), names) for position in positions)
    return tuple(sorted(boxes, key=lambda box: box.key))


def _box(entry: _Annotation, names: Mapping[int, str]) -> ItemBox:
    if entry.category_id not in names:
        raise ValueError(f"annotation {entry.id} is of the class {entry.category_id}, which dataset.json doesn't have")
    return ItemBox(
        key=entry.key,
        id=entry.id,
        category=names[entry.category_id],
        bbox=entry.bbox,
        area=entry.area,
        iscrowd=bool(entry.iscrowd),
        source_category=entry.source_category,
        flags=tuple(_flags(entry)),
    )


def _flags(entry: _Annotation) -> Iterator[str]:
    attributes = entry.attributes or {}
    if entry.iscrowd:
        yield "region to ignore"
    for name in MARKS:
        if attributes.get(name) is True or getattr(entry, name) is True:
            yield name
    if entry.clipped:
        yield "clipped"
    if entry.derived:
        yield f"from {entry.derived}"
