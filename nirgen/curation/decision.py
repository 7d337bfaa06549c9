"""A decision about one image or one box of a dataset."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Literal

DECIMALS = 3
"""Of a pixel, in boxes."""

Bbox = tuple[float, float, float, float]
"""COCO xywh in pixels."""

Action = Literal["add", "delete", "flag", "keep", "move", "reject", "relabel"]

ACTIONS: tuple[Action, ...] = ("add", "delete", "flag", "keep", "move", "reject", "relabel")
OF_BOXES: frozenset[Action] = frozenset({"add", "delete", "move", "relabel"})
"""The actions that only a box can have; `keep` and `flag` are of images and boxes alike."""

CONTRADICTIONS: frozenset[frozenset[Action]] = frozenset(
    frozenset[Action](pair)
    for pair in (
        ("reject", "keep"),
        ("reject", "flag"),
        ("keep", "flag"),
        ("delete", "keep"),
        ("delete", "flag"),
        ("delete", "relabel"),
        ("delete", "move"),
        ("delete", "add"),
    )
)
"""Actions that one image, or one box, can't have both."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a decision was about, as it was when it was made; what isn't known is None.

    It speaks of the dataset without decisions: a box that was relabelled twice has the class that its source gave it.

    Attributes:
        sha256: Of a decision about an image: the hash of the file that went into the dataset, before any re-encoding.
        category: Of a decision about a box: its class.
        bbox: The same: COCO xywh in pixels of an image of the decision's `width` and `height`.
    """

    sha256: str | None = None
    category: str | None = None
    bbox: Bbox | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to become of an image or a box.

    Attributes:
        key: The stable key of an image, `ORIGIN/PATH`, or of a box, `ORIGIN/PATH#SOURCE_KEY`.
        action: Of an image `reject`, `keep` or `flag`; of a box `delete`, `keep`, `flag`, `relabel`, `move` or `add`.
        category: What `relabel` and `add` make of a box: the class, by its name.
        bbox: Where `move` and `add` put a box: COCO xywh in pixels of an image of `width` x `height`.
        width: Of the image that `bbox` and `seen.bbox` are measured on, in pixels; None without either.
        height: The same.
        reason: Why, in words; may be empty.
        author: Whose decision it is; may be empty.
        seen: What it was about.
    """

    key: str
    action: Action
    category: str | None = None
    bbox: Bbox | None = None
    width: int | None = None
    height: int | None = None
    reason: str = ""
    author: str = ""
    seen: Seen = Seen()

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the image that its boxes are measured on."""
        return None if self.width is None or self.height is None else (self.width, self.height)

    @property
    def order(self) -> tuple[str, str]:
        """What decisions are sorted by; no two of a file share it."""
        return self.key, self.action

    def rounded(self) -> Decision:
        """The same with boxes of as many decimals as files have."""
        if self.bbox is None and self.seen.bbox is None:
            return self
        seen = replace(self.seen, bbox=_rounded(self.seen.bbox))
        return replace(self, bbox=_rounded(self.bbox), seen=seen)


def added_key(image_key: str, category: str, bbox: Bbox, width: int, height: int) -> str:
    """The key of a box that a curator adds; after a rebuild the dataset has the box by this key.

    Args:
        image_key: Of the image that it is on.
        category: Its class, by name.
        bbox: COCO xywh in pixels of an image of `width` x `height`.
        width: In pixels.
        height: The same.

    Example:
        >>> added_key("bdd100k/a.jpg", "car", (10, 20, 30, 40), 1280, 720)
        'bdd100k/a.jpg#+a756db5eb2c1'
    """
    text = json.dumps([category, _rounded(bbox), width, height], ensure_ascii=False, separators=(",", ":"))
    return f"{image_key}#+{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def scaled(bbox: Bbox, old: tuple[int, int] | None, new: tuple[int, int] | None) -> Bbox:
    """A box as measured on an image of another size.

    Args:
        bbox: COCO xywh in pixels of an image of size `old`.
        old: Width and height in pixels; None if unknown, which leaves the box as it is.
        new: The same of the other image.

    Example:
        >>> scaled((10, 20, 30, 40), (1280, 720), (640, 360))
        (5.0, 10.0, 15.0, 20.0)
    """
    if old is None or new is None or old == new:
        return bbox
    x, y = new[0] / old[0], new[1] / old[1]
    return bbox[0] * x, bbox[1] * y, bbox[2] * x, bbox[3] * y


def _rounded(bbox: Bbox | None) -> Bbox | None:
    if bbox is None:
        return None
    x, y, width, height = (round(float(value), DECIMALS) + 0.0 for value in bbox)
    return x, y, width, height
