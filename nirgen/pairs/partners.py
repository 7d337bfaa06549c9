"""Whose NIR image an RGB image fits, if it doesn't fit its own: swapped partners."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nirgen import images
from nirgen.pairs.alignment import align_fields, edge_field
from nirgen.pairs.reading import read_pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nirgen.pairs.alignment import Field
    from nirgen.pairs.listing import PairList

LONGEST_SIDE = 192
"""Pixels that images are reduced to: enough to know a scene by."""

MOST = 300
"""Pairs that are compared, each with each; of more, the first."""


def find_partners(pairs: PairList, strangers: Sequence[int]) -> dict[int, int]:
    """Find, among pairs whose images don't fit, those whose RGB image fits another one's NIR image.

    Args:
        pairs: The list.
        strangers: The positions of the pairs whose images don't fit.

    Returns:
        For the position of each pair that was swapped the position of the one that has its NIR image.
    """
    if len(strangers) < 2:
        return {}
    fields = {position: _fields(*read_pair(pairs, pairs.pairs[position])) for position in strangers[:MOST]}
    partners: dict[int, int] = {}
    for position, (rgb, _) in fields.items():
        best = 0.0
        for other, (_, nir) in fields.items():
            if other == position or other in partners.values() or nir.shape != rgb.shape:
                continue
            found = align_fields(rgb, nir)
            if found and found.shows_one_scene and found.correlation > best:
                partners[position], best = other, found.correlation
    return partners


def _fields(rgb: NDArray[np.uint8], nir: NDArray[np.uint8]) -> tuple[Field, Field]:
    """The edges of a pair, reduced."""
    scale = min(1, LONGEST_SIDE / max(nir.shape))
    size = (max(1, round(nir.shape[0] * scale)), max(1, round(nir.shape[1] * scale)))
    rgb, nir = (images.resize(image, size, resample="bilinear") for image in (rgb, nir))
    return edge_field(rgb), edge_field(nir[..., np.newaxis])
