"""What the intensities of a pair tell: how much one image says of the other, and how much of each is clipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVELS = 32
"""Into how many levels each image is divided for their joint histogram."""


def mutual_information(rgb: NDArray[np.uint8], nir: NDArray[np.uint8]) -> tuple[float, float]:
    """How much the RGB image's luma says of the NIR image, pixel by pixel.

    Args:
        rgb: (H, W, 3) uint8.
        nir: (H, W) uint8.

    Returns:
        Mutual information in bits, from the joint histogram of `LEVELS` levels each; and the same divided by the mean
        of both entropies, in [0, 1].

    Example:
        >>> ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
        >>> mutual_information(np.stack([ramp] * 3, axis=2), 255 - ramp)
        (5.0, 1.0)
    """
    luma = (rgb.astype(np.uint32) @ np.array([299, 587, 114], np.uint32) + 500) // 1000
    step = 256 // LEVELS
    cells = (luma // step) * LEVELS + nir // step
    joint = np.bincount(cells.ravel(), minlength=LEVELS**2).reshape(LEVELS, LEVELS) / cells.size
    entropies = _entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1))
    information = max(0.0, entropies - _entropy(joint))
    return information, 2 * information / entropies if entropies > 0 else 0.0


def clipped_shares(image: NDArray[np.uint8]) -> tuple[float, float]:
    """The shares of samples that are 0 and 255.

    Example:
        >>> clipped_shares(np.array([[0, 1], [255, 255]], np.uint8))
        (0.25, 0.5)
    """
    return float(np.mean(image == 0)), float(np.mean(image == 255))


def _entropy(shares: NDArray[np.float64]) -> float:
    """Entropy of a distribution, in bits."""
    some = shares[shares > 0]
    return float(-(some * np.log2(some)).sum())
