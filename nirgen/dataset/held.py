"""What a dataset folder holds, in memory: images with the classes and places of their boxes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from nirgen.dataset.folder import PROVENANCE, annotations_name
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nirgen.dataset.folder import DatasetInfo


@dataclass(frozen=True, slots=True)
class Holds:
    """What a split holds.

    Attributes:
        images: How many.
        boxes: By class, in the order of the classes.
        ignored: Regions to ignore.
    """

    images: int
    boxes: Mapping[str, int]
    ignored: int


@dataclass(frozen=True, slots=True)
class HeldBox:
    """A box of a dataset.

    Attributes:
        category: Its class, by name.
        bbox: COCO xywh in pixels.
        ignored: Whether it is a region to ignore.
    """

    category: str
    bbox: tuple[float, float, float, float]
    ignored: bool


@dataclass(frozen=True, slots=True)
class HeldImage:
    """An image of a dataset.

    Attributes:
        split: `train`, `val` or `test`.
        size: Width and height in pixels.
        sha256: Of the file that it was made from.
        boxes: By their source keys; may be changed.
    """

    split: str
    size: tuple[int, int]
    sha256: str
    boxes: dict[str, HeldBox] = field(default_factory=dict)


class _ImageEntry(msgspec.Struct, gc=False):
    id: int
    key: str
    width: int
    height: int


class _Annotation(msgspec.Struct, gc=False):
    image_id: int
    category_id: int
    key: str
    bbox: tuple[float, float, float, float]
    iscrowd: int


class _Document(msgspec.Struct):
    images: list[_ImageEntry]
    annotations: list[_Annotation]


_DECODER = msgspec.json.Decoder(_Document)


def read_images(info: DatasetInfo) -> dict[str, HeldImage]:
    """Read the images of a dataset with their boxes.

    Returns:
        By key.

    Raises:
        NirgenError: A file of the dataset is damaged.
    """
    names = {category.id: category.name for category in info.categories}
    hashes = _input_hashes(info.folder / PROVENANCE)
    images: dict[str, HeldImage] = {}
    for split in info.splits:
        path = info.folder / annotations_name(split)
        try:
            document = _DECODER.decode(path.read_bytes())
            keys = {image.id: image.key for image in document.images}
            for image in document.images:
                images[image.key] = HeldImage(split, (image.width, image.height), hashes.get(image.key, ""))
            for each in document.annotations:
                source_key = each.key.removeprefix(f"{keys[each.image_id]}#")
                box = HeldBox(names[each.category_id], each.bbox, bool(each.iscrowd))
                images[keys[each.image_id]].boxes[source_key] = box
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:100]
            raise NirgenError(f"{path}: can't be read ({reason}); build the dataset again") from None
    return images


def _input_hashes(path: Path) -> dict[str, str]:
    """The sha256 of the file that each image comes from, by the image's key."""
    try:
        table = pq.read_table(path, columns=["key", "input_sha256"], filters=[("kind", "=", "image")])
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise NirgenError(f"{path}: can't be read ({reason}); build the dataset again") from None
    return dict(zip(table["key"].to_pylist(), table["input_sha256"].to_pylist(), strict=True))


def count_held(images: Mapping[str, HeldImage], info: DatasetInfo) -> dict[str, Holds]:
    """Count what each split holds.

    Args:
        images: By key.
        info: What the dataset says of itself.
    """
    names = [category.name for category in info.categories]
    counts: dict[str, Counter[str]] = {split: Counter() for split in info.splits}
    held: dict[str, Counter[str]] = {split: Counter() for split in info.splits}
    for image in images.values():
        held[image.split]["images"] += 1
        for box in image.boxes.values():
            if box.ignored:
                held[image.split]["ignored"] += 1
            else:
                counts[image.split][box.category] += 1
    return {
        split: Holds(held[split]["images"], {name: counts[split][name] for name in names}, held[split]["ignored"])
        for split in info.splits
    }
