"""Conditions of light, weather and camera that RGB photos meet on the road, drawn at random.

All take and give float32 sRGB, (H, W, 3) in [0, 1], and leave their input as it is. Training draws them as augmentation
of RGB alone, for NIR shows through haze what RGB doesn't and is exposed apart; `SHIFTS` is what an evaluation tries.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Rgb = NDArray[np.float32]


def cast(rgb: Rgb, random: np.random.Generator, strength: float = 0.15) -> Rgb:
    """Multiply each channel by exp(normal(0, strength)), as in a camera without white balance."""
    return _unit(rgb * np.exp(random.normal(0, strength, 3)))


def haze(rgb: Rgb, random: np.random.Generator) -> Rgb:
    """Blend with airlight by Koschmieder's law, I = J t + A (1 - t); depth grows towards the top of the image.

    Of the transmission t = exp(-b d), b is drawn from [0.4, 2.5], the depth d is the height in the image, warped at
    random, and the airlight A is a light grey with a slight tint.
    """
    height, width = rgb.shape[:2]
    ramp = np.linspace(1, 0, height)[:, None] ** random.uniform(0.5, 2)
    depth = random.uniform(0, 0.4) + ramp * random.uniform(0.4, 1) + 0.3 * _smooth(height, width, random)
    transmission = np.exp(-random.uniform(0.4, 2.5) * np.clip(depth, 0, None))[..., None]
    airlight = random.uniform(0.55, 0.95) * np.exp(random.normal(0, 0.03, 3))
    return _unit(rgb * transmission + airlight * (1 - transmission))


def clip(rgb: Rgb, random: np.random.Generator) -> Rgb:
    """Overexpose by a factor of 1.2 to 2.2, so that skies and lit walls reach white."""
    return _unit(rgb * np.exp(random.uniform(np.log(1.2), np.log(2.2))))


def contrast(rgb: Rgb, random: np.random.Generator) -> Rgb:
    """Stretch the levels around a pivot in [0.3, 0.6] by a factor of 1.2 to 2.2: shadows sink to black, lights clip."""
    pivot = random.uniform(0.3, 0.6)
    return _unit(pivot + (rgb - pivot) * np.exp(random.uniform(np.log(1.2), np.log(2.2))))


def dark(rgb: Rgb, random: np.random.Generator) -> Rgb:
    """Take a factor of 1.6 to 8 of the light away and add the noise of a sensor."""
    gain = np.exp(-random.uniform(np.log(1.6), np.log(8)))
    return _unit(rgb * gain + random.normal(0, 0.012, rgb.shape))


def jpeg(rgb: Rgb, random: np.random.Generator) -> Rgb:
    """Compress as JPEG of quality 15 to 50."""
    file = io.BytesIO()
    image = Image.fromarray((_unit(rgb) * 255).round().astype(np.uint8))
    image.save(file, "JPEG", quality=int(random.integers(15, 51)))
    return _unit(np.asarray(Image.open(file)) / 255)


def blur(rgb: Rgb, random: np.random.Generator) -> Rgb:
    """Shrink to between a third and nine tenths of the size and enlarge again."""
    height, width = rgb.shape[:2]
    share = random.uniform(0.33, 0.9)
    image = Image.fromarray((_unit(rgb) * 255).round().astype(np.uint8))
    small = image.resize((max(1, round(width * share)), max(1, round(height * share))), Image.Resampling.BOX)
    return _unit(np.asarray(small.resize((width, height), Image.Resampling.BILINEAR)) / 255)


def saturation(rgb: Rgb, random: np.random.Generator, strength: float = 0.3) -> Rgb:
    """Multiply each pixel's distance from its luma by exp(normal(0, strength))."""
    luma = (rgb @ np.array((0.299, 0.587, 0.114), np.float32))[..., None]
    return _unit(luma + (rgb - luma) * np.exp(random.normal(0, strength)))


def night(rgb: Rgb, nir: NDArray[np.float32], random: np.random.Generator) -> tuple[Rgb, NDArray[np.float32]]:
    """Turn a pair into night: both lose light alike, lamps shine in both, RGB gets noise.

    Lamps are discs with a halo, white, warm or red, and as bright in NIR as in their brightest channel. From photos by
    day alone, a generator would learn that no scene is dark.

    Args:
        rgb: (H, W, 3).
        nir: (H, W), in [0, 1].
        random: Source of all draws.
    """
    gain = np.exp(random.uniform(-3.5, -0.5))
    rgb, nir = _unit(rgb * gain), _unit(nir * gain)
    height, width = nir.shape
    rows, columns = np.mgrid[:height, :width]
    for _ in range(int(random.integers(0, 9))):
        row, column = random.uniform(0.2, 0.9) * height, random.uniform(0, 1) * width
        radius = max(1.0, np.exp(random.uniform(np.log(0.004), np.log(0.03))) * height)
        distance = np.hypot(rows - row, columns - column) / radius
        light = np.clip(1.5 - distance, 0, 1) + random.uniform(0.05, 0.4) / (1 + distance**2)
        colour = np.array(_LAMPS[int(random.integers(len(_LAMPS)))])
        rgb, nir = _unit(rgb + light[..., None] * colour), _unit(nir + light)
    noisy = rgb + random.normal(0, random.uniform(0.002, 0.02), rgb.shape)
    return _unit(noisy), nir


_LAMPS = ((1.0, 1.0, 1.0), (1.0, 0.85, 0.6), (1.0, 0.15, 0.1), (1.0, 0.3, 0.15), (0.9, 0.95, 1.0))
SHIFTS: dict[str, Callable[[Rgb, np.random.Generator], Rgb]] = {
    "cast": cast,
    "haze": haze,
    "clip": clip,
    "dark": dark,
    "jpeg": jpeg,
}


def _unit(values: NDArray[np.floating]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = np.clip(values, 0, 1).astype(np.float32)
    return unit


def _smooth(height: int, width: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Return smooth noise, (height, width) in [0, 1]."""
    coarse = Image.fromarray(random.random((4, 4), np.float32))
    return _unit(np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)))
