"""What is measured of a box: how much of what RGB shows in it NIR shows too."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from nirgen.collection import ItemBox
    from nirgen.scores.planes import Plane, Planes

SMALLEST_BOX = 12
"""Shorter side of a box that is judged, in pixels, as far as it lies in the image."""

MARGIN = 0.1
"""By how much of its shorter side a box is enlarged where contrast with its surroundings counts; 2 pixels at least."""

LEVEL_FLOOR = 3.0
"""Standard deviation in levels that noise explains."""


@dataclass(frozen=True, slots=True)
class BoxMeasures:
    """A box as measured; low is bad in all. A box in which RGB shows nothing has ordinary ones.

    Attributes:
        agreement: -1 to 1, whether edges lie and run as in RGB, be it dark to bright or bright to dark.
        polarity: -1 to 1, the same, but that what goes from dark to bright must do so in both.
        energy: Natural logarithm of the strength of edges beside RGB's.
        detail: The same of the strength of fine edges relative to coarse ones.
        contrast: The same of the standard deviation of the levels in the box and around it.
    """

    agreement: float
    polarity: float
    energy: float
    detail: float
    contrast: float


MEASURES = tuple(field.name for field in fields(BoxMeasures))


def measure_box(planes: Planes, box: ItemBox) -> BoxMeasures | None:
    """Measure a box.

    Args:
        planes: Its image.
        box: The box.

    Returns:
        Its measures; None without RGB, of a region to ignore, and of a box that is too small.
    """
    side = planes.side(box.bbox)
    if planes.rgb is None or planes.along is None or planes.aligned is None or box.iscrowd or side < SMALLEST_BOX:
        return None
    inside, around = planes.window(box.bbox), planes.window(box.bbox, max(2.0, MARGIN * side) / planes.scale)
    nir, rgb = (_Strengths.of(plane, inside, around) for plane in (planes.nir, planes.rgb))
    floor, gain = planes.floor, planes.gain
    norm = float(np.sqrt((nir.fine + floor * gain**2) * (rgb.fine + floor)))
    fine = 0.5 * np.log((nir.fine + floor * gain**2) / (rgb.fine + floor))
    coarse = 0.5 * np.log((nir.coarse + floor * gain**2) / (rgb.coarse + floor))
    return BoxMeasures(
        agreement=(float(planes.aligned[inside].mean()) + floor * gain) / norm,
        polarity=(float(planes.along[inside].mean()) + floor * gain) / norm,
        energy=float(fine),
        detail=float(fine - coarse),
        contrast=float(np.log((nir.deviation + LEVEL_FLOOR * gain) / (rgb.deviation + LEVEL_FLOOR))),
    )


@dataclass(frozen=True, slots=True)
class _Strengths:
    """Mean squared gradients, fine and coarse, and the standard deviation of the levels."""

    fine: float
    coarse: float
    deviation: float

    @classmethod
    def of(cls, plane: Plane, inside: tuple[slice, slice], around: tuple[slice, slice]) -> Self:
        return cls(
            float(plane.fine[inside].mean()),
            float(plane.coarse[inside].mean()),
            float(plane.halved[around].std()),
        )
