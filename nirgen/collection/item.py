"""An image to look at, and the boxes on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ItemBox:
    """An annotation of a dataset.

    Attributes:
        key: Its stable key.
        id: In the COCO file.
        category: Its class, by name.
        bbox: COCO xywh in pixels of the NIR image.
        area: In square pixels, of the mask where there is one.
        iscrowd: Whether it is a region to ignore.
        source_category: Its class in the source.
        flags: What else is known: `region to ignore`, `occluded`, `truncated`, `crowd`, `difficult`, `clipped` (cut at
            the border of the image), `from mask` and the like.
    """

    key: str
    id: int
    category: str
    bbox: tuple[float, float, float, float]
    area: float
    iscrowd: bool
    source_category: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """A NIR image, with what it comes from and what is on it.

    Attributes:
        key: Its stable key, `ORIGIN/PATH`.
        id: In the COCO file; None in a translation folder.
        split: `train`, `val` or `test`; None in a translation folder.
        origin: The input of the dataset; of a translation folder its name.
        generated: Whether it was translated from RGB.
        path: The file in the folder; it may be gone.
        width: In pixels.
        height: In pixels.
        sha256: Of that file, as recorded.
        input_sha256: Of the file that it comes from, another one only if the dataset encoded it anew.
        rgb: The RGB image, of a generated one its source and of a real one its partner, if the file is there now.
        rgb_name: Its name as recorded, whether or not it is there.
        rgb_sha256: As recorded.
        attributes: Such as `weather`, as plain strings.
        sequence: The recording that it comes from, if known.
        model_id: Of what translated it; None of a real one.
        boxes: In the order of their keys.
    """

    key: str
    id: int | None
    split: str | None
    origin: str
    generated: bool
    path: Path
    width: int
    height: int
    sha256: str
    input_sha256: str
    rgb: Path | None
    rgb_name: str | None
    rgb_sha256: str | None
    attributes: Mapping[str, str]
    sequence: str | None
    model_id: str | None
    boxes: tuple[ItemBox, ...]
