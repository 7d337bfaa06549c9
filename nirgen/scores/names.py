"""The scores by name, and what each image and each box gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Tag = Literal["low-contrast", "smeared", "vanished"]

IMAGE_SCORES: Mapping[str, str] = {
    "trouble": "0..1, 1 worst: how far the scores below stand out for the bad",
    "structure": "-1..1, low is bad: whether edges lie and run as in RGB",
    "sharpness": "0 and more, low is bad: fine detail beside that of RGB",
    "contrast": "0 and more, low is bad: local contrast beside that of RGB",
    "clipping": "0..1, high is bad: share of black and white pixels that RGB doesn't have",
    "noise": "levels, high is bad: noise in flat places that RGB doesn't have",
    "banding": "0 and more, high is bad: steps in whole rows or columns that RGB doesn't have",
    "realism": "0 and more, high is bad: distance of the statistics to the real NIR's of this dataset",
}
"""The scores of an image with their range and their bad end, the most telling first; docs/scores.md has them all."""

BOX_SCORES: Mapping[str, str] = {
    "trouble": "0..1, 1 worst",
    "fidelity": "0..1, 1: what the box promises is as visible in NIR as in RGB",
}
"""The scores of a box, likewise."""

TAGS: Mapping[Tag, str] = {
    "low-contrast": "hardly stands out from its surroundings, and does in RGB",
    "smeared": "blurred: its fine detail is gone",
    "vanished": "what RGB shows in the box isn't there",
}
"""Suggestions for a box, with what they mean."""


@dataclass(frozen=True, slots=True)
class BoxScores:
    """What a box gets.

    Attributes:
        fidelity: In [0, 1], 1: what the box promises is as visible in NIR as in RGB; None if it can't be judged.
        trouble: In [0, 1], 1 worst; None likewise.
        tags: What may be wrong with it, sorted; see `TAGS`.
    """

    fidelity: float | None = None
    trouble: float | None = None
    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemScores:
    """What an image and its boxes get.

    Attributes:
        image: By name, in the order of `IMAGE_SCORES`; None where one can't be computed.
        boxes: In the order of the item's boxes.
        note: Why scores are missing that should be there, such as an image that is gone; else empty.
    """

    image: Mapping[str, float | None]
    boxes: tuple[BoxScores, ...]
    note: str = ""
