"""Gradient maps of a NIR image and its RGB image, which the scores compare.

Foliage is dark in RGB and bright in NIR, and skies the other way round, so levels say little about each other; both
share where edges lie and which way they run. So most scores compare gradients.

All maps have half the height and width of the image, each value being the mean of 2x2 pixels; an odd last row or column
is left out. Gradients are computed in strips of rows, as whole numbers, which stay in a processor's cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from nirgen import images

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


Map = NDArray[np.float32]

LONGEST_SIDE = 2048  # pixels; larger images are reduced by a whole divisor
SMALLEST_SIDE = 64  # pixels; smaller images have no scores
FLOOR = 2.0  # squared gradient in RGB from compression and a good camera's noise
NOISE_IN_GRADIENT = 0.117  # squared gradient after smoothing, of noise with a variance of 1
BLACK, WHITE = 2, 253  # levels beyond which a pixel counts as clipped
NOISE_TILE = 16  # side in pixels of the squares that noise is measured in
QUIETEST = 0.2  # quantile of their noise that counts
GAINS = (0.3, 1.5)  # limits of a NIR image's gain; beyond, the image is at fault

_STRIP = 32  # rows
_SMOOTHED = np.float32(1 / 32)  # scales differences of 1-2-1 sums two pixels apart to levels per pixel


@dataclass(frozen=True, slots=True)
class Plane:
    """An image of (H, W) pixels, and its maps."""

    levels: NDArray[np.uint8]  # (H, W)
    halved: Map  # (H // 2, W // 2), the levels
    fine: Map  # squared gradient of the levels smoothed by 1-2-1, in squared levels per pixel
    coarse: Map  # the same of the halved levels smoothed by 1-4-6-4-1
    noise: float  # standard deviation in flat places, in levels

    @classmethod
    def of(cls, levels: NDArray[np.uint8], fine: Map) -> Self:
        """Compute the maps of an image, given `fine`."""
        halved = _halve(levels)
        return cls(levels, halved, fine, _coarse(halved), _noise(levels))


@dataclass(frozen=True, slots=True)
class Planes:
    """A NIR image and, if it has one, its RGB image."""

    nir: Plane
    rgb: Plane | None  # luma
    along: Map | None  # scalar product of both gradients: positive if both run from dark to bright
    aligned: Map | None  # product of their lengths and the cosine of twice their angle: blind to the sign of either
    scale: float  # factor from coordinates in the image to coordinates in `nir`
    floor: float = FLOOR  # squared gradient in RGB that is noise
    gain: float = 1.0  # strength of edges in NIR relative to RGB, over the whole image

    @classmethod
    def of(cls, nir: NDArray[np.uint8], rgb: NDArray[np.uint8] | None) -> Self:
        """Compute the maps of an (H, W) uint8 image of at least `SMALLEST_SIDE` a side, and of RGB of any size."""
        height, width = nir.shape
        divisor = -(-max(height, width) // LONGEST_SIDE)
        size = (height // divisor, width // divisor)
        nir = images.resize(nir, size, resample="bilinear")
        if rgb is None:
            fine = np.concatenate([_halve(across * across + down * down) for across, down in _gradients(nir)])
            return cls(Plane.of(nir, fine), None, None, None, 1 / divisor)
        luma = _luma(images.resize(rgb, size, resample="bilinear"))
        strips = map(_compare, _gradients(nir), _gradients(luma))
        fine_nir, fine_rgb, along, aligned = map(np.concatenate, zip(*strips, strict=True))
        seen, source = Plane.of(nir, fine_nir), Plane.of(luma, fine_rgb)
        floor = max(FLOOR, 2 * NOISE_IN_GRADIENT * source.noise**2)
        gain = float(np.sqrt((seen.fine.mean() + floor) / (source.fine.mean() + floor)))
        return cls(seen, source, along, aligned, 1 / divisor, floor, float(np.clip(gain, *GAINS)))

    def side(self, bbox: Sequence[float]) -> float:
        """Return the shorter side of a box (COCO xywh in pixels of the image), clipped, in pixels of `nir`.

        It is negative for a box outside of the image.
        """
        rows, columns = self.nir.levels.shape
        x, y, w, h = (value * self.scale for value in bbox)
        return float(min(min(x + w, columns) - max(x, 0), min(y + h, rows) - max(y, 0)))

    def window(self, bbox: Sequence[float], margin: float = 0.0) -> tuple[slice, slice]:
        """Return the rows and columns of the maps that a box covers; empty slices outside of the image.

        The box is COCO xywh; it and the margin, which it is enlarged by on each side, are in pixels of the image.
        """
        height, width = self.nir.halved.shape
        x, y, w, h = bbox
        step = self.scale / 2
        left, right = (int(np.clip(round(at * step), 0, width)) for at in (x - margin, x + w + margin))
        top, bottom = (int(np.clip(round(at * step), 0, height)) for at in (y - margin, y + h + margin))
        return slice(top, bottom), slice(left, right)


def tile_means(values: Map, side: int) -> Map:
    """Return the means over squares: (H, W) -> (H // side, W // side); the rest at the right and below is left out."""
    rows, columns = values.shape[0] // side, values.shape[1] // side
    cut = values[: rows * side, : columns * side].reshape(rows, side, columns * side)
    means: Map = cut.sum(axis=1).reshape(rows, columns, side).sum(axis=2) / np.float32(side * side)
    return means


def _luma(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) -> (H, W): a quarter red, a half green, a quarter blue, which is quick."""
    summed = np.add(rgb[..., 0], rgb[..., 2], dtype=np.uint16)
    summed += rgb[..., 1]
    summed += rgb[..., 1]
    return (summed >> 2).astype(np.uint8)


def _gradients(levels: NDArray[np.uint8]) -> Iterator[tuple[Map, Map]]:
    """Yield the gradient of the smoothed levels, to the right and downwards, a strip of rows at a time."""
    height = levels.shape[0] // 2 * 2
    padded = np.pad(levels, 2, mode="edge")
    for top in range(0, height, _STRIP):
        strip = padded[top : min(top + _STRIP, height) + 4].astype(np.int16)
        smooth = strip[:-2] + strip[2:] + 2 * strip[1:-1]
        smooth = smooth[:, :-2] + smooth[:, 2:] + 2 * smooth[:, 1:-1]
        across = np.subtract(smooth[1:-1, 2:], smooth[1:-1, :-2], dtype=np.float32)
        down = np.subtract(smooth[2:, 1:-1], smooth[:-2, 1:-1], dtype=np.float32)
        across *= _SMOOTHED
        down *= _SMOOTHED
        yield across, down


def _compare(nir: tuple[Map, Map], rgb: tuple[Map, Map]) -> tuple[Map, Map, Map, Map]:
    """Return a strip of `Plane.fine` of both images, of `Planes.along` and of `Planes.aligned`."""
    fine_nir, fine_rgb = (across * across + down * down for across, down in (nir, rgb))
    along = nir[0] * rgb[0] + nir[1] * rgb[1]
    lengths = np.sqrt(fine_nir * fine_rgb)
    aligned = 2 * along * along / (lengths + np.float32(1e-3)) - lengths
    return _halve(fine_nir), _halve(fine_rgb), _halve(along), _halve(aligned)


def _halve(values: NDArray[np.uint8] | Map) -> Map:
    """(H, W) -> (H // 2, W // 2): means of 2x2 pixels."""
    height, width = (side // 2 * 2 for side in values.shape)
    rows = np.add(values[0:height:2], values[1:height:2], dtype=np.float32)
    means = rows[:, 0:width:2] + rows[:, 1:width:2]
    means *= np.float32(0.25)
    return means


def _coarse(halved: Map) -> Map:
    """Return the squared gradient of levels smoothed by 1-4-6-4-1; 0 at the border."""
    for _ in range(2):
        padded = np.pad(halved, 1, mode="edge")
        rows = padded[:-2] + padded[2:] + 2 * padded[1:-1]
        halved = (rows[:, :-2] + rows[:, 2:] + 2 * rows[:, 1:-1]) * np.float32(1 / 16)
    energy = np.zeros_like(halved)
    energy[:, 1:-1] = (halved[:, 2:] - halved[:, :-2]) ** 2
    energy[1:-1] += (halved[2:] - halved[:-2]) ** 2
    energy *= np.float32(0.25)
    return energy


def _noise(levels: NDArray[np.uint8]) -> float:
    """Return the standard deviation of the noise, in levels, in the flattest places.

    J. Immerkaer, "Fast noise variance estimation", 1996: the difference of two Laplacians removes levels and slopes.
    It is taken in every second row of squares; black and white squares are left out.
    """
    deviations, means = [], []
    for top in range(0, levels.shape[0] - NOISE_TILE - 1, 2 * NOISE_TILE):
        strip = levels[top : top + NOISE_TILE + 2].astype(np.int16)
        across = strip[:, 2:] + strip[:, :-2] - 2 * strip[:, 1:-1]
        both = across[2:] + across[:-2] - 2 * across[1:-1]
        deviations.append(tile_means(np.abs(both).astype(np.float32), NOISE_TILE))
        means.append(tile_means(strip[1:-1, 1:-1].astype(np.float32), NOISE_TILE))
    level = np.concatenate(means)
    usable = np.concatenate(deviations)[(level > BLACK) & (level < WHITE)] * (np.sqrt(np.pi / 2) / 6)
    return float(np.quantile(usable, QUIETEST)) if usable.size else 0.0
