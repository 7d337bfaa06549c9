"""Image quality metrics of generated NIR against real NIR: 8-bit arrays in, computed in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PSNR_CEILING = 100.0  # dB, of each image in means about a model, which one equal image would make infinite


def rmse(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Return the root of the mean squared error, in grey levels [0, 255].

    Args:
        generated: (H, W) uint8.
        real: The same shape.

    Example:
        >>> rmse(np.full((2, 2), 120, np.uint8), np.full((2, 2), 100, np.uint8))
        20.0
    """
    return float(np.sqrt(np.mean((generated.astype(np.float64) - real.astype(np.float64)) ** 2)))


def psnr(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Return the peak signal-to-noise ratio in dB, for a peak of 255; infinite for equal images.

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
    """Return the structural similarity (Wang et al., 2004): Gaussian window of 1.5 pixels, radius 5, whole windows.

    Args:
        generated: (H, W) uint8; H and W at least 11.
        real: The same shape.

    Returns:
        A value in [-1, 1], 1 for equal images.
    """
    import torch

    from nirgen import losses

    pair = [torch.from_numpy(image.astype(np.float64))[None, None] for image in (generated, real)]
    return float(losses.ssim(pair[0], pair[1], data_range=255.0)[0])


def bias(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Return the mean error in grey levels: positive where the generated image is too bright.

    Args:
        generated: (H, W) uint8.
        real: The same shape.

    Example:
        >>> bias(np.array([[10, 40]], np.uint8), np.array([[20, 20]], np.uint8))
        5.0
    """
    return float(np.mean(generated.astype(np.float64) - real.astype(np.float64)))


def std_error(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Return the standard deviation of the error in grey levels [0, 255]: the RMSE without the bias.

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
    """Return the number that the paper calls RMSE: difference and square wrap modulo 256, as 8-bit arrays do.

    It does not measure error (an error of 16 everywhere gives 0, and no value exceeds 15.78); it serves the comparison
    with published tables alone.

    Args:
        generated: (H, W) uint8.
        real: The same shape.

    Example:
        >>> rmse_uint8_wrapped(np.full((2, 2), 120, np.uint8), np.full((2, 2), 100, np.uint8))
        12.0
    """
    difference = generated - real
    return float(np.sqrt(np.mean((difference * difference).astype(np.float64))))
