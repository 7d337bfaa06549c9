"""RGB images as training images of a NIR detector: in colour, in grey, and in grey with tones like those of NIR."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import numpy as np

from nirgen import images

if TYPE_CHECKING:
    from numpy.typing import NDArray


Look = Literal["grey", "colour", "nir-like"]
_VEGETATION, _SKY = (60.0, 170.0), (180.0, 260.0)  # hues in degrees
_LEAST_SATURATION = 0.12
_LOWEST_SKY = 0.6  # share of the image's height from the top


def show(rgb: NDArray[np.uint8], look: Look, key: str) -> NDArray[np.uint8]:
    """Return an image in a look: (H, W, 3) uint8 of (H, W, 3) uint8; `key` seeds the tones of `nir-like`."""
    if look == "colour":
        return rgb
    if look == "grey":
        grey = images.to_grey(rgb)
    else:
        seed = hashlib.sha256(key.encode()).digest()[:8]
        grey = nir_like(rgb, np.random.default_rng(int.from_bytes(seed, "big")))
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def nir_like(rgb: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Return the luma of an image with random tones like those of NIR: (H, W) uint8 of (H, W, 3) uint8.

    Where the hue is green, luma is multiplied by 1.3 to 2.5, for vegetation is bright in NIR; where it is blue in the
    upper part, by 0.3 to 0.8, for the sky is dark. Then all of it is multiplied by 0.8 to 1.2 and raised to the power
    of 0.8 to 1.25. One factor of each kind is drawn for an image.
    """
    vegetation, sky, gain = random.uniform(1.3, 2.5), random.uniform(0.3, 0.8), random.uniform(0.8, 1.2)
    gamma = float(np.exp(random.uniform(np.log(0.8), np.log(1.25))))
    hue, saturation = _hue(rgb)
    coloured = saturation >= _LEAST_SATURATION
    upper = np.arange(len(rgb))[:, np.newaxis] < _LOWEST_SKY * len(rgb)
    luma = images.to_grey(rgb) / np.float32(255)
    luma[coloured & (hue >= _VEGETATION[0]) & (hue < _VEGETATION[1])] *= vegetation
    luma[coloured & upper & (hue >= _SKY[0]) & (hue < _SKY[1])] *= sky
    grey: NDArray[np.uint8] = (np.clip(luma * gain, 0, 1) ** gamma * 255).round().astype(np.uint8)
    return grey


def _hue(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return hue in degrees, 0 of grey, and saturation in [0, 1], as of HSV: (H, W) each."""
    red, green, blue = (rgb[..., channel].astype(np.float32) for channel in range(3))
    highest = rgb.max(axis=2).astype(np.float32)
    spread = highest - rgb.min(axis=2)
    apart = np.maximum(spread, 1)
    hue = np.select(
        [spread == 0, highest == red, highest == green],
        [0, (green - blue) / apart % 6, (blue - red) / apart + 2],
        (red - green) / apart + 4,
    )
    return 60 * hue, spread / np.maximum(highest, 1)
