"""Pixels as arrays: levels, channels, sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nirgen.images.encoder import Pixels

# Values that are quantised at once: their float64 fit in a processor's cache.
_BLOCK = 32768


def to_pixels(values: NDArray[np.floating], bit_depth: Literal[8, 16] = 8) -> Pixels:
    """Quantise float intensities in [0, 1] of any shape to uint8 or uint16: clamped, rounded to the nearest level.

    Example:
        >>> to_pixels(np.array([0.0, 0.5, 1.0])).tolist()
        [0, 128, 255]
    """
    levels = 2**bit_depth - 1
    pixels: Pixels = np.empty(values.shape, np.uint8 if bit_depth == 8 else np.uint16)
    given, made = values.reshape(-1), pixels.reshape(-1)
    for start in range(0, given.size, _BLOCK):
        block = given[start : start + _BLOCK].astype(np.float64)
        np.clip(block, 0, 1, out=block)
        block *= levels
        made[start : start + _BLOCK] = np.rint(block, out=block)
    return pixels


def to_channels(values: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Lay out (C, H, W) float32, C being 1 or 3, as an image: (H, W) for 1 channel, (H, W, 3) for 3.

    Three channels become one by their mean; one becomes three by repetition.
    """
    if channels == 1:
        grey: NDArray[np.float32] = values[0] if len(values) == 1 else values.mean(axis=0)
        return grey
    return np.moveaxis(np.broadcast_to(values, (3, *values.shape[1:])), 0, -1)


def to_grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (H, W) uint8 of (H, W, 3) uint8: any of three equal channels, else the luma as JPEG defines it.

    Example:
        >>> to_grey(np.array([[[7, 7, 7], [255, 0, 0]]], np.uint8)).tolist()
        [[7, 76]]
    """
    weighted = rgb[..., 0] * np.uint32(299) + rgb[..., 1] * np.uint32(587) + rgb[..., 2] * np.uint32(114)
    grey: NDArray[np.uint8] = ((weighted + 500) // 1000).astype(np.uint8)
    return grey


def pad_to_stride(rgb: NDArray[np.uint8], stride: int) -> NDArray[np.uint8]:
    """Pad (H, W, 3) uint8 by reflection at its bottom and right edges to the next multiples of the stride.

    An image smaller than its padding is reflected back and forth; a side of one pixel is repeated.
    """
    height, width = rgb.shape[:2]
    below, right = -height % stride, -width % stride
    if not below and not right:
        return rgb
    if below >= height or right >= width:
        return np.pad(rgb, ((0, below), (0, right), (0, 0)), mode="reflect")
    padded = np.empty((height + below, width + right, 3), np.uint8)
    padded[:height, :width] = rgb
    padded[height:, :width] = rgb[height - 1 - below : height - 1][::-1]
    padded[:, width:] = padded[:, width - 1 - right : width - 1][:, ::-1]
    return padded


def resize(
    rgb: NDArray[np.uint8], size: tuple[int, int], *, resample: Literal["lanczos", "bilinear"] = "lanczos"
) -> NDArray[np.uint8]:
    """Resize (H, W, 3) or (H, W) uint8 to (height, width) with an antialiased filter of Pillow.

    The result is the very input where the size is right already.
    """
    if rgb.shape[:2] == size:
        return rgb
    return np.array(Image.fromarray(rgb).resize((size[1], size[0]), Image.Resampling[resample.upper()]))


_NEAR_BLACK, _NEAR_WHITE = 4, 250  # levels whose channels say nothing of the light
_GAINS = 0.5, 2.0


def balance_white(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale the channels of an image to one mean: grey world (Buchsbaum, J. Franklin Inst. 310, 1980).

    Pixels that are near black or have a channel near white don't count; gains are limited to [0.5, 2]. An image
    without other pixels is returned as it is.

    Args:
        rgb: (H, W, 3), sRGB.
    """
    brightest = rgb.max(axis=2)
    counted = rgb[(brightest > _NEAR_BLACK) & (brightest < _NEAR_WHITE)]
    if not len(counted):
        return rgb
    means = counted.sum(axis=0, dtype=np.int64) / len(counted)
    gains = np.clip(means.mean() / np.maximum(means, 1), *_GAINS)
    levels = np.rint(np.clip(np.arange(256)[:, None] * gains, 0, 255)).astype(np.uint8)  # (256, 3)
    return np.stack([levels[rgb[..., channel], channel] for channel in range(3)], axis=2)
