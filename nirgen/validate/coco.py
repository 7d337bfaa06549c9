"""A COCO annotation file as columns, whatever is wrong with it; 1.3 million annotations fit into memory."""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from nirgen.errors import NirgenError
from nirgen.validate.entries import NO_ID, read_annotation, read_image

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.validate.findings import Findings

NOWHERE = -1
"""The position of an image or a category that has no entry."""


@dataclass(frozen=True)
class Images:
    """The images of a file, in its order; N of them.

    Attributes:
        ids: (N,) int64; `NO_ID` where an entry has none that can be used.
        names: N paths relative to the images' folder; an empty one where there is none.
        widths: (N,) int64, pixels; 0 where not known.
        heights: The same.
        keys: N stable keys of a nirgen dataset, else None; and so are `origins`, `kinds` and `sequences`.
        origins: See `keys`.
        kinds: See `keys`.
        sequences: See `keys`; other files may have them too.
    """

    ids: NDArray[np.int64]
    names: tuple[str, ...]
    widths: NDArray[np.int64]
    heights: NDArray[np.int64]
    keys: tuple[Any, ...]
    origins: tuple[Any, ...]
    kinds: tuple[Any, ...]
    sequences: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Annotations:
    """The annotations of a file, in its order; M of them.

    Attributes:
        ids: (M,) int64; `NO_ID` where one has none that can be used.
        image_ids: (M,) int64, as they are written; `NO_ID` as above.
        images: (M,) int32 position of the image; `NOWHERE` where it has no entry.
        categories: (M,) int32 position of the category; `NOWHERE` likewise.
        xywh: (M, 4) float64, COCO boxes in pixels; NaN where a box isn't four finite numbers.
        areas: (M,) float64, square pixels; NaN where not known.
        crowd: (M,) bool.
        segmentations: By position, the raw JSON of those that have one.
        keys: M stable keys of a nirgen dataset, else None.
    """

    ids: NDArray[np.int64]
    image_ids: NDArray[np.int64]
    images: NDArray[np.int32]
    categories: NDArray[np.int32]
    xywh: NDArray[np.float64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    segmentations: Mapping[int, msgspec.Raw]
    keys: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Categories:
    """The categories of a file, in its order; K of them.

    Attributes:
        ids: (K,) int64; `NO_ID` where one has none that can be used.
        names: K names; an empty one where there is none.
        supercategories: K names; an empty one where there is none.
    """

    ids: NDArray[np.int64]
    names: tuple[str, ...]
    supercategories: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class CocoFile:
    """One annotation file.

    Attributes:
        path: Of the file.
        split: What it is called: `train`, `val` or `test` of a nirgen dataset, else the file's stem.
        root: The folder that its images' names are relative to.
        images: See `Images`.
        annotations: See `Annotations`.
        categories: See `Categories`.
    """

    path: Path
    split: str
    root: Path
    images: Images
    annotations: Annotations
    categories: Categories

    def image(self, position: int) -> str:
        """An image in words."""
        name = f" {self.images.names[position]!r}" if self.images.names[position] else ""
        return f"{self.path.name}: image {_number(self.images.ids[position], position)}{name}"

    def annotation(self, position: int) -> str:
        """An annotation in words, with its image."""
        image = int(self.annotations.images[position])
        where = f" of {self.images.names[image]!r}" if image != NOWHERE else ""
        return f"{self.path.name}: annotation {_number(self.annotations.ids[position], position)}{where}"

    def box(self, position: int) -> str:
        """An annotation in words, with its image and its box."""
        x, y, width, height = (f"{value:g}" for value in self.annotations.xywh[position].round(3))
        return f"{self.annotation(position)}: [{x}, {y}, {width}, {height}]"


def read_coco(path: Path, split: str, root: Path, findings: Findings) -> CocoFile:
    """Read an annotation file.

    Args:
        path: The file.
        split: What to call it.
        root: The folder that its images' names are relative to.
        findings: Takes what is wrong with single entries.

    Returns:
        The file; what is wrong with it is in the columns still, as far as they can hold it.

    Raises:
        NirgenError: It can't be read, or is no COCO annotation file.
    """
    document = _decode(path, findings)
    categories, category_at = _categories(document.categories, path.name, findings)
    try:
        images, image_at = _images(document.images, path.name, findings)
        annotations = _annotations(document.annotations, image_at, category_at, path.name, findings)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # entries stay raw until here
        raise NirgenError(f"{path}: no JSON ({error}); write or copy it again") from None
    return CocoFile(path, split, root, images, annotations, categories)


class _Document(msgspec.Struct):
    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]
    categories: list[Any] = []


_DOCUMENT = msgspec.json.Decoder(_Document)


def _decode(path: Path, findings: Findings) -> _Document:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NirgenError(f"{path}: can't be read ({error.strerror}); name a COCO annotation file") from None
    try:
        return _document(data, path)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        strict = str(error)
    try:  # Python's reader takes NaN, which encoding makes null
        data = msgspec.json.encode(json.loads(data))
    except (ValueError, RecursionError, msgspec.MsgspecError):
        raise NirgenError(f"{path}: no JSON ({strict}); write or copy it again") from None
    findings.add("lax-json", f"{path.name}: {strict}")
    return _document(data, path)


def _document(data: bytes, path: Path) -> _Document:
    try:
        return _DOCUMENT.decode(data)
    except msgspec.ValidationError as error:
        raise NirgenError(
            f"{path}: no COCO annotations ({error}); give a file with images, annotations and categories"
        ) from None


def _categories(entries: Iterable[Any], name: str, findings: Findings) -> tuple[Categories, dict[Any, int]]:
    values = [entry if isinstance(entry, dict) else {} for entry in entries]
    at = {_hashable(value.get("id")): position for position, value in reversed(list(enumerate(values)))}
    ids = []
    for value in values:
        number = value.get("id")
        usable = isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= 2**53
        ids.append(number if usable else NO_ID)
        if not usable:
            findings.add("bad-id", f"{name}: category {value.get('name')!r}: id {number!r}")
    return Categories(np.array(ids, np.int64), _texts(values, "name"), _texts(values, "supercategory")), at


def _images(entries: Sequence[msgspec.Raw], name: str, findings: Findings) -> tuple[Images, dict[Any, int]]:
    at: dict[Any, int] = {}
    read = []
    for position, raw in enumerate(entries):
        entry, number, faults = read_image(raw)
        at.setdefault(_hashable(number), position)
        read.append(entry)
        for check, fault in faults:
            findings.add(check, f"{name}: image {_number(entry.id, position)}: {fault}")
    return Images(
        np.array([entry.id for entry in read], np.int64),
        tuple(entry.file_name for entry in read),
        np.array([entry.width for entry in read], np.int64),
        np.array([entry.height for entry in read], np.int64),
        *(tuple(getattr(entry, column) for entry in read) for column in ("key", "origin", "kind", "sequence")),
    ), at


def _annotations(
    entries: Sequence[msgspec.Raw],
    image_at: Mapping[Any, int],
    category_at: Mapping[Any, int],
    name: str,
    findings: Findings,
) -> Annotations:
    ids, image_ids, images, categories = array("q"), array("q"), array("i"), array("i")
    boxes, areas, crowd = array("d"), array("d"), array("b")
    keys: list[str | None] = []
    segmentations = {}
    for position, raw in enumerate(entries):
        entry, image_id, category_id, faults = read_annotation(raw)
        ids.append(entry.id)
        image_ids.append(entry.image_id)
        images.append(image_at.get(_hashable(image_id), NOWHERE))
        categories.append(category_at.get(_hashable(category_id), NOWHERE))
        boxes.extend(entry.bbox)
        areas.append(entry.area)
        crowd.append(entry.iscrowd)
        keys.append(entry.key)
        if bytes(entry.segmentation) not in {b"null", b"[]"}:
            segmentations[position] = entry.segmentation
        for check, fault in faults:
            findings.add(check, f"{name}: annotation {_number(entry.id, position)}: {fault}")
    return Annotations(
        np.array(ids, np.int64),
        np.array(image_ids, np.int64),
        np.array(images, np.int32),
        np.array(categories, np.int32),
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(areas, np.float64),
        np.array(crowd, np.bool_),
        segmentations,
        keys,
    )


def _texts(entries: Iterable[Mapping[str, Any]], key: str) -> tuple[str, ...]:
    values = (entry.get(key) for entry in entries)
    return tuple(value if isinstance(value, str) else "" for value in values)


def _hashable(number: Any) -> Any:
    """An id that a dictionary can hold; what is none can refer to nothing."""
    return number if isinstance(number, (int, float, str)) else object()


def _number(number: int, position: int) -> str:
    return str(number) if number != NO_ID else f"at position {position}"
