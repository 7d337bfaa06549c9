"""Artefacts of generators that RGB lacks: black blots, blocks, lifted blacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nirgen.scores.planes import tile_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nirgen.scores.planes import Plane


BLOT_TILE = 4  # side in pixels of the maps (8 of the image) of the squares that blots consist of
REACH = 4  # squares on each side that belong to the surroundings of a square
DARK_FLOOR = 6.0  # levels added before the logarithm, so that noise in the dark is no blot
BLOT_SHARE = 0.002  # share of the squares that the darkest of are averaged

PERIODS = (*range(4, 33), 40, 48, 56, 64)  # pixels, distances of block borders
FEWEST_STEPS = 4  # borders of a grid
BLOCK_SAMPLES = 96  # approximate number of rows or columns that steps are averaged over
CHANCE = 4.0  # standard errors that a regular step exceeds the others by without blocks

BLACK_SHARE = 0.005  # share of the pixels at or below the black point

ORDINARY_BLOTS, ORDINARY_BLACK = 0.3, 29.0  # of a photograph, in place of RGB's


def blots(nir: Plane, rgb: Plane | None) -> float:
    """Return how much darker the darkest squares are than their surroundings, unless they are so in RGB.

    It is the mean, over the worst `BLOT_SHARE` of squares, of the natural logarithm of the ratio to the surroundings,
    less that of RGB or of an ordinary photograph; 0 or more.
    """
    dips = _dips(nir) - (ORDINARY_BLOTS if rgb is None else np.maximum(_dips(rgb), 0))
    count = max(1, round(BLOT_SHARE * dips.size))
    return max(0.0, float(np.partition(dips.ravel(), -count)[-count:].mean()))


def _dips(plane: Plane) -> NDArray[np.float64]:
    """Return by how much the logarithm of each square is below the mean of the squares around it."""
    squares = np.log(tile_means(plane.halved, BLOT_TILE).astype(np.float64) + DARK_FLOOR)
    side = 2 * REACH + 1
    table = np.pad(squares, REACH, mode="edge").cumsum(axis=0).cumsum(axis=1)
    table = np.pad(table, ((1, 0), (1, 0)))
    sums = table[side:, side:] - table[:-side, side:] - table[side:, :-side] + table[:-side, :-side]
    dips: NDArray[np.float64] = sums / side**2 - squares
    return dips


def blocks(nir: NDArray[np.uint8], rgb: NDArray[np.uint8] | None, gain: float) -> float:
    """Return the height in levels of the steps at the borders of a regular grid, less `gain` times those of RGB.

    Args:
        nir: (H, W).
        rgb: (H, W) luma, or None.
        gain: Strength of edges in NIR relative to RGB.
    """
    found = []
    for axis in (0, 1):
        steps = _steps(nir, axis)
        found.append(_regular(steps if rgb is None else steps - gain * _steps(rgb, axis)))
    return max(found)


def _steps(levels: NDArray[np.uint8], axis: int) -> NDArray[np.float64]:
    """Return the mean difference across each border between rows or columns, less that of both borders beside it."""
    every = max(1, levels.shape[1 - axis] // BLOCK_SAMPLES)
    sampled = (levels[:, ::every] if axis == 0 else levels[::every]).astype(np.int16)
    differences = np.abs(np.diff(sampled, axis=axis)).mean(axis=1 - axis)
    steps: NDArray[np.float64] = differences[1:-1] - (differences[:-2] + differences[2:]) / 2
    return steps


def _regular(steps: NDArray[np.float64]) -> float:
    """Return the largest median of steps at a regular distance, beyond that of the others and chance."""
    middle = np.median(steps)
    error = CHANCE * 1.86 * float(np.median(np.abs(steps - middle)))  # of a median of one, by the median deviation
    best = 0.0
    for period in PERIODS:
        count = len(steps) // period
        if count >= FEWEST_STEPS:
            ordered = np.sort(steps[: count * period].reshape(count, period), axis=0)  # quicker than np.median
            medians = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
            best = max(best, float(medians.max() - middle) - error / count**0.5)
    return best


def lift(nir: NDArray[np.uint8], rgb: NDArray[np.uint8] | None) -> float:
    """Return by how many levels the black point of (H, W) NIR is above that of luma, or of an ordinary photograph."""
    return max(0.0, _black_point(nir) - (ORDINARY_BLACK if rgb is None else _black_point(rgb)))


def _black_point(levels: NDArray[np.uint8]) -> float:
    """Return the level at or below which `BLACK_SHARE` of every fourth row and column lie."""
    counts = np.bincount(levels[::4, ::4].ravel(), minlength=256)
    return float(np.searchsorted(counts.cumsum(), BLACK_SHARE * counts.sum()))
