"""Search for pairs of several cameras among the pairs of an adaptation.

To each pair a simple map is fitted: NIR = a + b G + c G^2 + d R + e G' + f B of the start model's output G and the
photo's channels. Maps of one camera's pairs improve each other's images; those of another camera spoil them. The gain
of every pair's image under every pair's map is clustered into two groups by average linkage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nirgen import images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nirgen.adapt.scores import Frame

_SIDE = 64  # pixels that frames are reduced to
_RIDGE = 1e-3  # share of the pixels that the regularisation weighs; of intensities in [0, 1]
_WITHIN = 0.5  # dB that maps must gain on other pairs of their group; in a group of one, on the pair itself


def find_two_cameras(
    frames: Sequence[Frame], outputs: Sequence[NDArray[np.uint8]]
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the positions of the pairs of two apparent cameras, the larger group first; None if there is one camera.

    There are two if maps gain at least 0.5 dB on average within each group, and nothing from either group to the other.

    Args:
        frames: Pairs.
        outputs: (H, W) of the start model for each.
    """
    if len(frames) < 3:
        return None
    gains = carried_gains(frames, outputs)
    groups = _two_groups(gains)
    first, second = sorted(groups, key=lambda group: (-len(group), group))
    across = gains[np.ix_(first, second)].mean(), gains[np.ix_(second, first)].mean()
    if min(_within(gains, first), _within(gains, second)) < _WITHIN or max(across) > 0:
        return None
    return first, second


def carried_gains(frames: Sequence[Frame], outputs: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Return the gain of image j under the map fitted to pair i, (N, N) in dB; see `Scores.total`."""
    designs, targets, maps = [], [], []
    for frame, output in zip(frames, outputs, strict=True):
        small = [images.resize(image, (_SIDE, _SIDE), resample="bilinear") for image in (output, frame.rgb, frame.nir)]
        g, rgb, nir = (image.astype(np.float64) / 255 for image in small)
        columns = [np.ones(g.size), g.reshape(-1), g.reshape(-1) ** 2, *rgb.reshape(-1, 3).T]
        designs.append(np.column_stack(columns))
        targets.append(nir.reshape(-1))
        penalty = np.diag([0.0, 1, 1, 1, 1, 1]) * _RIDGE * g.size
        products = designs[-1].T @ designs[-1] + penalty
        maps.append(np.linalg.solve(products, designs[-1].T @ targets[-1]))
    gains = np.empty((len(frames), len(frames)))
    for position, (design, target) in enumerate(zip(designs, targets, strict=True)):
        gains[:, position] = _total(design @ np.transpose(maps), target) - _total(design[:, 1:2], target)
    return gains


def _total(made: NDArray[np.float64], real: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of PSNR and affine PSNR of (P, K) images in [0, 1] against one (P,): (K,)."""
    squares = np.square(made.clip(0, 1) - real[:, None]).mean(axis=0)
    centred, target = made - made.mean(axis=0), real - real.mean()
    shared = np.maximum(centred.T @ target, 0) ** 2 / np.maximum(np.square(centred).sum(axis=0), 1e-9)
    affine = (target @ target - shared) / len(real)
    totals: NDArray[np.float64] = -5 * np.log10(np.maximum(squares, 1e-9)) - 5 * np.log10(np.maximum(affine, 1e-9))
    return totals


def _two_groups(gains: NDArray[np.float64]) -> list[tuple[int, ...]]:
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    mutual = (gains + gains.T) / 2
    distances = mutual.max() - mutual
    np.fill_diagonal(distances, 0)
    labels = fcluster(linkage(squareform(distances, checks=False), "average"), 2, "maxclust")
    return [tuple(int(i) for i in np.flatnonzero(labels == label)) for label in np.unique(labels)]


def _within(gains: NDArray[np.float64], group: tuple[int, ...]) -> float:
    """Return the mean gain of maps on the other pairs of their group; of a group of one, on the pair itself."""
    part = gains[np.ix_(group, group)]
    if len(group) == 1:
        return float(part[0, 0])
    return float((part.sum() - np.trace(part)) / (part.size - len(group)))
