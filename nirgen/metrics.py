"""Published measures of generated NIR against real NIR: 8-bit arrays in, computed in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PSNR_CEILING = 100.0  # the largest PSNR, in dB, that counts in a mean which selects a model


def rmse(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Return the root mean squared error of two (H, W) images, in grey levels [0, 255].

    Example:
        >>> rmse(np.full((2, 2), 120, np.uint8), np.full((2, 2), 100, np.uint8))
        20.0
    """
    return float(np.sqrt(np.mean((generated.astype(np.float64) - real.astype(np.float64)) ** 2)))


def psnr(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Return the peak signal-to-noise ratio of two (H, W) images in dB, of a peak of 255; infinite for equal images.

    Example:
        >>> round(psnr(np.full((2, 2), 120, np.uint8), np.full((2, 2), 100, np.uint8)), 2)
        22.11
    """
    error = rmse(generated, real)
    return float("inf") if error == 0 else float(20 * np.log10(255 / error))


def mean_psnr(values: Sequence[float]) -> float:
    """Return the mean of PSNR values in dB, each at most `PSNR_CEILING`, so that equal images don't decide it; or NaN.

    Example:
        >>> mean_psnr([20.0, float("inf")])
        60.0
    """
    return float(np.mean(np.minimum(values, PSNR_CEILING))) if values else float("nan")


def ssim(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Return the structural similarity of two (H, W) images (Wang et al., 2004), in [-1, 1].

    The Gaussian window has a sigma of 1.5 and a radius of 5 pixels, so H and W are at least 11; only whole windows
    count.
    """
    import torch

    from nirgen import losses

    pair = [torch.from_numpy(image.astype(np.float64))[None, None] for image in (generated, real)]
    return float(losses.ssim(pair[0], pair[1], data_range=255.0)[0])


def bias(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Return the mean error of two (H, W) images in grey levels, positive where the generated one is too bright.

    Example:
        >>> bias(np.array([[10, 40]], np.uint8), np.array([[20, 20]], np.uint8))
        5.0
    """
    return float(np.mean(generated.astype(np.float64) - real.astype(np.float64)))


def std_error(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Return the standard deviation of the error of two (H, W) images, in grey levels [0, 255].

    It is the RMSE without the bias: `rmse**2 == std_error**2 + bias**2`; the paper's STD and PSNR fit this reading.

    Example:
        >>> std_error(np.array([[10, 40]], np.uint8), np.array([[20, 20]], np.uint8))
        15.0
    """
    return float(np.std(generated.astype(np.float64) - real.astype(np.float64)))


def rmse_uint8_wrapped(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Return what the paper calls RMSE: difference and square are both taken modulo 256, as 8-bit arrays do.

    For comparison with the published tables alone: it is no measure of error (an error of 16 everywhere gives 0, and
    nothing exceeds 15.78).

    Example:
        >>> rmse_uint8_wrapped(np.full((2, 2), 120, np.uint8), np.full((2, 2), 100, np.uint8))
        12.0
    """
    difference = generated - real
    return float(np.sqrt(np.mean((difference * difference).astype(np.float64))))
