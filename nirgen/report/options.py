"""How much a report shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """How much a report shows; the page's size grows with these, and not with the dataset.

    Attributes:
        title: Of the page; None for the folder's name.
        images: The worst images shown, and as many of the best.
        boxes: The worst boxes shown.
        frames: Images shown beside their RGB image, with a slider.
        sampled: Images of each kind, generated and real, whose intensities and gradients are measured.
    """

    title: str | None = None
    images: int = 12
    boxes: int = 24
    frames: int = 8
    sampled: int = 200
