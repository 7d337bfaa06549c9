"""Distances of images by their features: near-duplicates, outliers, and coverage of real images by generated ones.

Features are (N, D) float32 rows of length 1; a distance is the cosine distance, in [0, 2]. Distances are computed in
blocks, so that memory doesn't grow with the square of N.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Features = NDArray[np.float32]
    Distances = NDArray[np.float32]

NEAR = 0.05
"""Distance below which two images are near-duplicates (docs/browse.md says how it was chosen)."""

LEAST_TO_JUDGE = 8  # images of a kind; the quartiles of fewer say nothing
NEIGHBOURS = 5  # of a real image, that reach as far as a generated one may be away
_VALUES_AT_ONCE = 1 << 23  # distances in memory


def normalized(features: Features) -> Features:
    """Return rows scaled to the length 1; a row of zeros stays."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    scaled: Features = np.divide(features, lengths, out=np.zeros_like(features), where=lengths > 0)
    return scaled


def _blocks(count: int, others: int) -> Iterator[slice]:
    step = max(1, _VALUES_AT_ONCE // max(others, 1))
    for first in range(0, count, step):
        yield slice(first, min(first + step, count))


def _between(one: Features, other: Features) -> Distances:
    """(N, D) and (M, D) -> (N, M)."""
    distances: Distances = np.clip(1 - one @ other.T, 0, 2)
    return distances


def nearest(features: Features, others: Features | None = None) -> tuple[NDArray[np.int64], Distances]:
    """Return position and distance of the nearest other row of each row, or of the nearest row of `others`.

    Example:
        >>> positions, distances = nearest(np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32))
        >>> positions.tolist(), [f"{each:.1f}" for each in distances]
        ([2, 2, 1], ['0.4', '0.2', '0.2'])
    """
    against = features if others is None else others
    positions, distances = np.zeros(len(features), np.int64), np.zeros(len(features), np.float32)
    for block in _blocks(len(features), len(against)):
        found = _between(features[block], against)
        if others is None:
            found[np.arange(len(found)), np.arange(block.start, block.stop)] = np.inf
        positions[block] = found.argmin(axis=1)
        distances[block] = found.min(axis=1)
    return positions, distances


def duplicates(features: Features) -> NDArray[np.int64]:
    """Return for each row the position of the earlier row that it nearly repeats, or -1.

    In their order, a row is kept if it is `NEAR` or more from all that were kept before; else it repeats the nearest
    of these. Of a still camera's recording one image is kept, and one more whenever the scene has changed enough.

    Example:
        >>> duplicates(np.array([[1, 0], [0, 1], [0.9999, 0.0141]], np.float32)).tolist()
        [-1, -1, 0]
    """
    originals = np.full(len(features), -1, np.int64)
    kept = np.zeros(0, np.int64)
    for block in _blocks(len(features), len(features)):
        rows = features[block]
        if len(kept):
            found = _between(rows, features[kept])
            near = found.min(axis=1) < NEAR
            originals[block] = np.where(near, kept[found.argmin(axis=1)], -1)
        within = _between(rows, rows)
        new: list[int] = []
        for row in np.flatnonzero(originals[block] < 0):
            place = new[int(within[row, new].argmin())] if new else None
            if place is not None and within[row, place] < NEAR:
                originals[block.start + row] = block.start + place
            else:
                new.append(int(row))
        kept = np.concatenate([kept, np.array(new, np.int64) + block.start])
    return originals


def outliers(distances: Distances) -> NDArray[np.bool_]:
    """Return which distances to the nearest image are beyond Tukey's upper fence, the third quartile and 1.5 ranges.

    Example:
        >>> np.flatnonzero(outliers(np.array([1, 2, 3, 4, 5, 6, 7, 30], np.float32))).tolist()
        [7]
    """
    if len(distances) < LEAST_TO_JUDGE:
        return np.zeros(len(distances), np.bool_)
    low, high = np.percentile(distances, [25, 75])
    beyond: NDArray[np.bool_] = distances > high + 1.5 * (high - low)
    return beyond


def covered(real: Features, generated: Features) -> NDArray[np.bool_] | None:
    """Return which real images have a generated one among their neighbours; None with too few to tell.

    A generated image must be as near as the real image's fifth nearest real one: coverage of Naeem et al., "Reliable
    Fidelity and Diversity Metrics for Generative Models" (ICML 2020), Eq. 4, with k = 5.
    """
    if len(real) < LEAST_TO_JUDGE or not len(generated):
        return None
    reach = np.zeros(len(real), np.float32)
    for block in _blocks(len(real), len(real)):
        found = _between(real[block], real)
        reach[block] = np.partition(found, NEIGHBOURS, axis=1)[:, NEIGHBOURS]  # itself is the first
    within: NDArray[np.bool_] = nearest(real, generated)[1] <= reach
    return within


def layout(features: Features) -> NDArray[np.float64]:
    """Return the first two principal components of rows, (N, 2); signs are such that the largest weight is positive.

    Example:
        >>> layout(np.array([[0, 0], [4, 0], [2, 3]], np.float32)).round(1).tolist()
        [[-2.0, -1.0], [2.0, -1.0], [0.0, 2.0]]
    """
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    chosen = axes[:, :-3:-1]
    largest = chosen[np.abs(chosen).argmax(axis=0), np.arange(chosen.shape[1])]
    components: NDArray[np.float64] = centred @ (chosen * np.where(largest < 0, -1, 1))
    return components
