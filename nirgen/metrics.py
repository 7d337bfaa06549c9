"""How far generated NIR is from real NIR, by numbers that stand in papers.

All take 8-bit arrays, and compute in float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from nirgen import losses

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rmse(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Root of the mean squared error, in grey levels [0, 255].

    Args:
        generated: (H, W) uint8.
        real: The same shape.

    Example:
        >>> rmse(np.full((2, 2), 120, np.uint8), np.full((2, 2), 100, np.uint8))
        20.0
    """
    return float(np.sqrt(np.mean((generated.astype(np.float64) - real.astype(np.float64)) ** 2)))


def psnr(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB, of a peak of 255; infinite for equal images.

    Args:
        generated: (H, W) uint8.
        real: The same shape.

    Example:
        >>> round(psnr(np.full((2, 2), 120, np.uint8), np.full((2, 2), 100, np.uint8)), 2)
        22.11
    """
    error = rmse(generated, real)
    return float("inf") if error == 0 else float(20 * np.log10(255 / error))


def ssim(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Structural similarity (Wang et al., 2004): Gaussian window of 1.5 pixels, radius 5, whole windows only.

    Args:
        generated: (H, W) uint8; H and W at least 11.
        real: The same shape.

    Returns:
        A value in [-1, 1], 1 for equal images.
    """
    pair = [torch.from_numpy(image.astype(np.float64))[None, None] for image in (generated, real)]
    return float(losses.ssim(pair[0], pair[1], data_range=255.0)[0])


def bias(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Mean error, in grey levels: positive where the generated image is too bright.

    Args:
        generated: (H, W) uint8.
        real: The same shape.

    Example:
        >>> bias(np.array([[10, 40]], np.uint8), np.array([[20, 20]], np.uint8))
        5.0
    """
    return float(np.mean(generated.astype(np.float64) - real.astype(np.float64)))


def std_error(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Standard deviation of the error, in grey levels [0, 255]: what is left of the RMSE without the bias.

    `rmse**2 == std_error**2 + bias**2`; the paper's STD and PSNR fit this reading.

    Args:
        generated: (H, W) uint8.
        real: The same shape.

    Example:
        >>> std_error(np.array([[10, 40]], np.uint8), np.array([[20, 20]], np.uint8))
        15.0
    """
    return float(np.std(generated.astype(np.float64) - real.astype(np.float64)))


def rmse_uint8_wrapped(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """The number that the paper calls RMSE: difference and square are both taken modulo 256, as 8-bit arrays do.

    It is no measure of error (an error of 16 everywhere gives 0, and nothing exceeds 15.78) and is here only to stand
    beside the published tables.

    Args:
        generated: (H, W) uint8.
        real: The same shape.

    Example:
        >>> rmse_uint8_wrapped(np.full((2, 2), 120, np.uint8), np.full((2, 2), 100, np.uint8))
        12.0
    """
    difference = generated - real
    return float(np.sqrt(np.mean((difference * difference).astype(np.float64))))
