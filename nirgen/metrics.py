"""Published measures of generated NIR against real NIR: 8-bit arrays in, computed in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PSNR_CEILING = 100.0  # dB: what the PSNR of equal images, which is infinite, counts in a mean


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


def psnr_affine(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Return the PSNR of two (H, W) images in dB after the best gain and offset of the generated one.

    They are those of `affine_fit`; the fitted image is neither rounded nor clipped. From exact integer moments, so a
    generated image that is an affine map of the real one gives infinity, and not a large number.

    Example:
        >>> real = np.array([[10, 20, 30, 40]], np.uint8)
        >>> psnr_affine(2 * real + 7, real)
        inf
        >>> round(psnr_affine(np.full((1, 4), 90, np.uint8), real), 2)  # 25 is the best constant
        27.16
    """
    count, _, _, spread, real_spread, common = _moments(generated, real)
    left = real_spread * spread - common**2 if common > 0 else real_spread
    squares = left / (count**2 * (spread if common > 0 else 1))
    return float("inf") if squares == 0 else float(10 * np.log10(255**2 / squares))


def ssim_affine(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Return the `ssim` of two (H, W) images after the best gain and offset of the generated one (`affine_fit`).

    The fit is that of least squared error, not of greatest similarity; its result is neither rounded nor clipped.
    """
    gain, offset = affine_fit(generated, real)
    return _ssim(generated.astype(np.float64) * gain + offset, real.astype(np.float64))


def affine_fit(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the gain, at least 0, and the offset that bring a generated (H, W) image closest to the real one.

    They minimise the squared error of `gain * generated + offset`. A camera's exposure can't turn an image into its
    negative, so where the least squares would, and for a constant generated image, the gain is 0 and the offset the
    real image's mean.

    Example:
        >>> affine_fit(np.array([[0, 100]], np.uint8), np.array([[30, 80]], np.uint8))
        (0.5, 30.0)
        >>> affine_fit(np.array([[100, 0]], np.uint8), np.array([[30, 80]], np.uint8))
        (0.0, 55.0)
    """
    count, total, real_total, spread, _, common = _moments(generated, real)
    gain = common / spread if common > 0 else 0.0
    return gain, (real_total - gain * total) / count


def _moments(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> tuple[int, int, int, int, int, int]:
    """Return n, both sums, then n^2 times both variances and the covariance: exact, as integers."""
    one, other = (image.reshape(-1).astype(np.float64) for image in (generated, real))  # sums stay below 2^53
    count, total, real_total = one.size, int(one.sum()), int(other.sum())
    spread = count * int(one @ one) - total**2
    real_spread = count * int(other @ other) - real_total**2
    return count, total, real_total, spread, real_spread, count * int(one @ other) - total * real_total


def ssim(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Return the structural similarity of two (H, W) images (Wang et al., 2004), in [-1, 1].

    The Gaussian window has a sigma of 1.5 and a radius of 5 pixels, so H and W are at least 11; only whole windows
    count.
    """
    return _ssim(generated.astype(np.float64), real.astype(np.float64))


def _ssim(generated: NDArray[np.float64], real: NDArray[np.float64]) -> float:
    import torch

    from nirgen import losses

    pair = [torch.from_numpy(image)[None, None] for image in (generated, real)]
    return float(losses.ssim(pair[0], pair[1], data_range=255.0)[0])


def ssim_uniform7(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Return the structural similarity of two (H, W) images as published, in [-1, 1].

    It is the default of scikit-image (`structural_similarity(..., data_range=255)`): a uniform window of 7x7 pixels,
    the sample covariance (divided by 48, not 49), and only whole windows, so H and W are at least 7.

    Example:
        >>> round(ssim_uniform7(np.full((7, 7), 120, np.uint8), np.full((7, 7), 100, np.uint8)), 4)
        0.9836
    """
    from scipy.ndimage import uniform_filter

    one, other = generated.astype(np.float64), real.astype(np.float64)
    mean, real_mean, squares, real_squares, products = (
        uniform_filter(image, 7)[3:-3, 3:-3] for image in (one, other, one * one, other * other, one * other)
    )
    unbiased, c1, c2 = 49 / 48, (0.01 * 255) ** 2, (0.03 * 255) ** 2
    variances = unbiased * (squares - mean**2 + real_squares - real_mean**2)
    covariance = unbiased * (products - mean * real_mean)
    similarity = (2 * mean * real_mean + c1) * (2 * covariance + c2)
    similarity /= (mean**2 + real_mean**2 + c1) * (variances + c2)
    return float(similarity.mean())


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
