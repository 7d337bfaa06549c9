"""What readers of label files give: a stream of frames with labels, before any policy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    Box = tuple[float, float, float, float]
    """x, y, width, height in pixels, as in COCO."""

OWN_KEYS = frozenset(
    {
        *("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"),
        *("source_key", "source_category", "attributes", "derived", "clipped"),
    }
)
"""The keys of an annotation that nirgen writes; every other one is the source's."""


@dataclass(slots=True)
class Label:
    """One object on an image.

    Attributes:
        category: The class by the source's name, which the policy is asked for.
        bbox: COCO's x, y, width, height in pixels; None if there is none, `lost` then says why.
        key: What the source calls the object, if it does.
        segmentation: COCO's polygons or RLE.
        area: As the source states it.
        crowd: Whether it is a region of many, that only tells what to ignore.
        attributes: Such as `occluded`.
        derived: What the box was computed from, if the source has none: `polygon`, `rle` or `mask`.
        clipped: Whether the box was cut at the border before, if a labels file is converted again.
        lost: Why there is no box.
        source_category: The name by which the source's source had the class, if a labels file is converted again.
        extra: Every other key of the source.
    """

    category: str
    bbox: Box | None
    key: str | int | None = None
    segmentation: Any = None
    area: float | None = None
    crowd: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)
    derived: str | None = None
    clipped: bool = False
    lost: str | None = None
    source_category: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Frame:
    """One image.

    Attributes:
        file_name: POSIX path relative to the images' folder; maybe without ending, where the source leaves it out.
        width: In pixels, upright.
        height: The same.
        labels: In the order of the source; None if nobody has labelled the image.
        source_id: The id that the source gives it.
        sequence: The recording that it is a frame of.
        split: The split that the source puts it in.
        attributes: Of the whole image, such as `weather`.
        extra: Every other key of the source.
    """

    file_name: str
    width: int
    height: int
    labels: list[Label] | None
    source_id: str | int | None = None
    sequence: str | None = None
    split: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """A source as a stream.

    Attributes:
        frames: Read one at a time, once.
        total: How many there will be.
        categories: The source's own list of classes, if it has one.
        licenses: As in the source.
        extra: Every other key at the top of the source.
    """

    frames: Iterator[Frame]
    total: int
    categories: Sequence[Mapping[str, Any]] = ()
    licenses: Sequence[Mapping[str, Any]] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ReadOptions:
    """What the user says about all sources.

    Attributes:
        bdd_inclusive: Whether a BDD100K box is `x2 - x1 + 1` wide, as the official converter has it.
        images: The folder of the images, for sizes that the source doesn't state, and endings that names lack.
        size: (height, width) of images whose size nothing states.
        note: Is told, once for each kind, what was assumed.
    """

    bdd_inclusive: bool = False
    images: Path | None = None
    size: tuple[int, int] | None = None
    note: Callable[[str], None] = lambda _text: None
