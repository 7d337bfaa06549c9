"""What is known of an image or an annotation of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class File:
    """A file that something comes from, or is.

    Attributes:
        name: As the dataset has it.
        sha256: As it was when the dataset was built; None if not known.
        path: Where it is, or was: absolute; None if not known.
        state: `same`, `changed` or `missing`; None if it wasn't looked for.
    """

    name: str
    sha256: str | None
    path: str | None = None
    state: Literal["same", "changed", "missing"] | None = None


@dataclass(frozen=True)
class Image:
    """An image of the dataset.

    Attributes:
        id: In the COCO file.
        key: Its stable key.
        split: `train`, `val` or `test`.
        generated: Whether it was translated from RGB.
        file: The file in the dataset.
        width: In pixels; None if its COCO file doesn't have it any more.
        height: The same.
        sequence: The recording that it comes from, if known.
        attributes: Such as `weather`.
    """

    id: int
    key: str
    split: str
    generated: bool
    file: File
    width: int | None
    height: int | None
    sequence: str | None
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Box:
    """An annotation of the dataset.

    Attributes:
        id: In the COCO file.
        key: Its stable key.
        category: Its class.
        source_category: Its class in the source, if known.
        source_key: What the source calls it.
        bbox: COCO xywh in pixels; None if its COCO file doesn't have it any more.
        area: In square pixels; None likewise.
        flags: Such as `region to ignore` and `occluded`.
        others: The keys of the source that nirgen doesn't own; those of masks by their kind.
    """

    id: int
    key: str
    category: str
    source_category: str | None
    source_key: str
    bbox: tuple[float, ...] | None
    area: float | None
    flags: tuple[str, ...]
    others: Mapping[str, Any]


@dataclass(frozen=True)
class Model:
    """What translated an image.

    Attributes:
        id: sha256 of the model.
        name: Of an embedded model; None of others.
        licence: What may be done with its weights.
        options_id: sha256 of the options.
        options: These, as plain values.
    """

    id: str
    name: str | None
    licence: str
    options_id: str | None
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Explanation:
    """Where something in a dataset comes from.

    Attributes:
        kind: What was asked for.
        image: The image, or that of the annotation.
        box: The annotation; None of an image.
        boxes: Of an image, how many boxes of each class it has.
        labels: The file of the source labels; None if there was no label entry.
        source: The RGB image: what a generated image was translated from, or the partner of a real one.
        model: What translated the image; None of a real one.
        steps: What was done since the sources, in order.
        note: What else the user may have meant.
    """

    kind: Literal["image", "annotation"]
    image: Image
    box: Box | None
    boxes: Mapping[str, int]
    labels: File | None
    source: File | None
    model: Model | None
    steps: tuple[str, ...]
    note: str | None
