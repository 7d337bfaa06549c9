"""Shift between a NIR image and its RGB partner, and whether both show one scene.

Foliage is dark in RGB and bright in NIR, so intensities say little; the position and direction of edges agree. Each
image becomes a field of edges: a complex number a pixel, whose angle is twice that of the gradient (which makes dark to
bright equal bright to dark) and whose magnitude is the gradient relative to its surroundings. Both fields are
correlated over all shifts within a range by Fourier transform, each shift normalised by the edges that overlap. A
parabola through the maximum and its neighbours gives fractions of a pixel. If no shift fits the whole image, as between
a rotated camera and a straight one, or where near and far objects shift differently, its parts are aligned one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nirgen import images
from nirgen.pairs.listing import read_pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nirgen.pairs.listing import PairList


Field = NDArray[np.complex64]
_Range = tuple[NDArray[np.int64], NDArray[np.int64]]

LONGEST_SIDE = 1024  # pixels; larger images are measured at a whole fraction of their size
LARGEST_SHIFT = 32  # pixels at the measured size; a quarter of the shorter side in smaller images
SMALLEST_SIDE = 16  # pixels
SIGMA = 1.0  # pixels, of the Gaussian under the gradients
SURROUNDINGS = 17  # pixels, side of the square that an edge's strength is relative to
STRENGTH_LIMIT = 3.0
NOISE_FLOOR = 1.0  # levels a pixel; surroundings of a smaller gradient count as flat
PEAK_RADIUS = 6  # pixels around the best shift that belong to its peak

# Images below both at their best shift show different scenes.
SIGNIFICANCE = 6.0
CORRELATION = 0.25

PARTS = 4  # parts along each side that are aligned alone if no shift fits the whole
SMALLEST_PART = 48  # pixels, shorter side
AGREEING = 4  # parts of all whose edges agree that show one scene; of other scenes it is seldom one

PARTNER_SIDE = 192  # pixels that images are reduced to in the search for swapped partners
MOST_UNRELATED = 300  # pairs that are compared with each other; the first ones of more


@dataclass(frozen=True)
class Alignment:
    """Best shift of a NIR image against its RGB partner."""

    shift_x: float  # pixels of the image by which NIR lies to the right of RGB
    shift_y: float  # pixels of the image by which NIR lies below RGB
    correlation: float  # of the edges at that shift, in [-1, 1]
    significance: float  # standard deviations above the correlation at other shifts
    parts: int | None = None  # of `PARTS**2` parts, those that agree, each at its shift; None if one shift fits all

    @property
    def shows_one_scene(self) -> bool:
        """True if the edges agree by more than chance, as a whole or in parts."""
        whole = self.significance >= SIGNIFICANCE or self.correlation >= CORRELATION
        return whole or (self.parts or 0) >= AGREEING

    @property
    def shift(self) -> float:
        """Length of the shift in pixels."""
        return float(np.hypot(self.shift_x, self.shift_y))


def measure_alignment(rgb: NDArray[np.uint8], nir: NDArray[np.uint8]) -> Alignment | None:
    """Find the shift at which the edges of (H, W, 3) RGB and (H, W) NIR agree best.

    If that is no better than chance, it is the median shift, by its length, of the parts that agree; see `align_parts`.
    Images without edges, or smaller than `SMALLEST_SIDE`, give None.
    """
    height, width = nir.shape
    if min(height, width) < SMALLEST_SIDE:
        return None
    scale = -(-max(height, width) // LONGEST_SIDE)
    size = (height // scale, width // scale)
    fields = _edge_fields(rgb, nir, size)
    found = align_fields(*fields)
    if found is not None and not found.shows_one_scene:
        found = align_parts(*fields, found)
    return found and replace(found, shift_x=found.shift_x * width / size[1], shift_y=found.shift_y * height / size[0])


def align_fields(first: Field, second: Field) -> Alignment | None:
    """Find the shift of the second (H, W) field at which both agree best; None if a field is empty."""
    reach = min(LARGEST_SHIFT, min(first.shape) // 4)
    surface = correlate(first, second, reach)
    if not surface.any():
        return None
    row, column = (int(i) for i in np.unravel_index(surface.argmax(), surface.shape))
    rows, columns = np.ogrid[: surface.shape[0], : surface.shape[1]]
    others = surface[(rows - row) ** 2 + (columns - column) ** 2 > min(PEAK_RADIUS, reach / 2) ** 2]
    return Alignment(
        shift_x=column - reach + _vertex(surface[row], column),
        shift_y=row - reach + _vertex(surface[:, column], row),
        correlation=float(surface[row, column]),
        significance=float((surface[row, column] - others.mean()) / max(float(others.std()), 1e-6)),
    )


def align_parts(first: Field, second: Field, whole: Alignment) -> Alignment:
    """Align parts of two (H, W) fields one by one, and count in `whole` those that agree.

    From `AGREEING` parts on, the result has the shift, correlation and significance of the part of median shift.
    """
    height, width = first.shape
    if min(height, width) < PARTS * SMALLEST_PART:
        return whole
    rows, columns = ([side * i // PARTS for i in range(PARTS + 1)] for side in (height, width))
    agreeing = []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            found = align_fields(first[top:bottom, left:right], second[top:bottom, left:right])
            if found is not None and found.significance >= SIGNIFICANCE:
                agreeing.append(found)
    if len(agreeing) < AGREEING:
        return replace(whole, parts=len(agreeing))
    agreeing.sort(key=lambda part: part.shift)
    return replace(agreeing[(len(agreeing) - 1) // 2], parts=len(agreeing))


def edge_field(image: NDArray[np.uint8]) -> Field:
    """Return the edge field of an (H, W, C) image: (H, W), of magnitude up to `STRENGTH_LIMIT`.

    The gradients of the channels are added, so edges between colours of one luma count.
    """
    squared = squared_gradient(image)
    energy = np.abs(squared)
    strength = np.minimum(np.sqrt(energy / (_local_mean(energy) + NOISE_FLOOR)), STRENGTH_LIMIT)
    return squared * (strength / np.maximum(energy, 1e-6)).astype(np.float32)


def squared_gradient(image: NDArray[np.uint8]) -> Field:
    """Return the sum over channels of the squared complex gradient of an (H, W, C) image: (H, W)."""
    squared = np.zeros(image.shape[:2], np.complex64)
    for channel in range(image.shape[2]):
        gradient_y, gradient_x = np.gradient(_blur(image[..., channel].astype(np.float32)))
        squared += (gradient_x + 1j * gradient_y) ** 2
    return squared


def correlate(first: Field, second: Field, reach: int) -> NDArray[np.float64]:
    """Return the normalised correlation of two (H, W) fields over all shifts of the second by up to `reach` pixels.

    Returns:
        (2 * reach + 1, 2 * reach + 1) in [-1, 1]; [reach + y, reach + x] compares second(p + (y, x)) with first(p).
    """
    padded = [-(-(side + reach) // 64) * 64 for side in first.shape]  # fast lengths for the Fourier transform
    spectrum = np.conj(np.fft.fft2(first, padded)) * np.fft.fft2(second, padded)
    around = np.arange(-reach, reach + 1)
    products = np.fft.ifft2(spectrum).real[np.ix_(around, around)].astype(np.float64)
    norm = np.sqrt(_overlap_energy(first, -around) * _overlap_energy(second, around))
    correlation: NDArray[np.float64] = np.where(norm > 1e-6, products / np.maximum(norm, 1e-6), 0.0)
    return correlation


def _overlap_energy(field: Field, shifts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Energy of the part of a field that overlaps with another one, for each shift down and right: (S, S)."""
    rows, columns = ((np.maximum(0, shifts), np.minimum(side, side + shifts)) for side in field.shape)
    return _box_sums(np.abs(field) ** 2, rows, columns)


def _local_mean(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean over the part of a square of `SURROUNDINGS` that lies inside the image."""
    half = SURROUNDINGS // 2
    rows, columns = (
        (np.maximum(np.arange(side) - half, 0), np.minimum(np.arange(side) + half + 1, side)) for side in values.shape
    )
    counts = (rows[1] - rows[0])[:, np.newaxis] * (columns[1] - columns[0])
    means: NDArray[np.float64] = _box_sums(values, rows, columns) / counts
    return means


def _box_sums(values: NDArray[np.float32], rows: _Range, columns: _Range) -> NDArray[np.float64]:
    """Sums of (H, W) nonnegative values over R x C boxes, each given by its first row or column and the one behind."""
    table = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    np.cumsum(values, axis=0, dtype=np.float64, out=table[1:, 1:])
    np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
    bands = table[rows[1]] - table[rows[0]]
    sums: NDArray[np.float64] = np.maximum(bands[:, columns[1]] - bands[:, columns[0]], 0)
    return sums


def _blur(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gaussian of `SIGMA` with repeated borders."""
    radius = int(4 * SIGMA)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / SIGMA) ** 2).astype(np.float32)
    weights /= weights.sum()
    for _ in range(2):  # once along each axis
        padded = np.pad(image.T, ((radius, radius), (0, 0)), mode="edge")
        image = np.zeros(image.T.shape, np.float32)
        for start, weight in enumerate(weights):
            image += weight * padded[start : start + len(image)]
    return image


def _vertex(values: NDArray[np.float64], index: int) -> float:
    """Offset of the vertex of a parabola through a maximum and its neighbours, in [-0.5, 0.5]; 0 at the border."""
    if not 0 < index < len(values) - 1:
        return 0.0
    before, highest, after = (float(value) for value in values[index - 1 : index + 2])
    curvature = before - 2 * highest + after
    return 0.5 * (before - after) / curvature if curvature < 0 else 0.0


def find_partners(pairs: PairList, unrelated: Sequence[int]) -> dict[int, int]:
    """Map each pair with swapped images to the pair that has its NIR image, by position among `pairs`.

    Only `unrelated` pairs, whose images don't fit, are searched.
    """
    if len(unrelated) < 2:
        return {}
    fields: dict[int, tuple[Field, Field]] = {}
    for position in unrelated[:MOST_UNRELATED]:
        rgb, nir = read_pair(pairs, pairs.pairs[position])
        scale = min(1, PARTNER_SIDE / max(nir.shape))
        height, width = (max(1, round(side * scale)) for side in nir.shape)
        fields[position] = _edge_fields(rgb, nir, (height, width))
    partners: dict[int, int] = {}
    for position, (first, _) in fields.items():
        best = 0.0
        for other, (_, second) in fields.items():
            if other == position or other in partners.values() or second.shape != first.shape:
                continue
            found = align_fields(first, second)
            if found and found.shows_one_scene and found.correlation > best:
                partners[position], best = other, found.correlation
    return partners


def _edge_fields(rgb: NDArray[np.uint8], nir: NDArray[np.uint8], size: tuple[int, int]) -> tuple[Field, Field]:
    """Edge fields of a pair that is resized to `size`, (height, width)."""
    rgb, nir = (images.resize(image, size, resample="bilinear") for image in (rgb, nir))
    return edge_field(rgb), edge_field(nir[..., np.newaxis])
