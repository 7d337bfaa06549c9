"""Augmented crops of a pair: what one step of training sees.

Every draw has a generator of its own, made from the run's seed and the draw's number. So a crop does not depend on what
was drawn before it, on the worker that draws it, or on how often the run was resumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torchvision.transforms.v2.functional as TF
from torch import Tensor

from nirgen.errors import ImageError
from nirgen.pairs import read_pair

if TYPE_CHECKING:
    from nirgen.pairs import Pair, PairList
    from nirgen.train.config import CropConfig


@dataclass(frozen=True)
class Photo:
    """A decoded pair: rgb (3, H, W) and nir (1, H, W), uint8."""

    rgb: Tensor
    nir: Tensor


def read_photo(pairs: PairList, pair: Pair) -> Photo:
    """Decode a pair.

    Raises:
        ImageError: As `read_pair`, or the two sizes differ.
    """
    rgb, nir = read_pair(pairs, pair)
    if rgb.shape[:2] != nir.shape:
        raise ImageError(
            f"{pairs.root / pair.nir}: {nir.shape[1]}x{nir.shape[0]}, but its RGB partner is "
            f"{rgb.shape[1]}x{rgb.shape[0]}; align and crop them alike"
        )
    return Photo(torch.from_numpy(rgb).permute(2, 0, 1), torch.from_numpy(nir[None]))


def draw_crop(photo: Photo, size: int, config: CropConfig, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A random, augmented crop.

    Args:
        photo: The pair.
        size: Height and width of the crop, in pixels.
        config: How it is drawn.
        random: Where all that is random comes from.

    Returns:
        rgb (3, size, size) and nir (1, size, size), float32 in [-1, 1].
    """
    height, width = photo.rgb.shape[-2:]
    top, left, h, w = _box(height, width, size, config, random)
    mirrored = config.flip and random.random() < 0.5
    parts = []
    for part in (photo.rgb, photo.nir):
        crop = TF.resized_crop(part, top, left, h, w, [size, size], antialias=True)
        parts.append((crop.flip(-1) if mirrored else crop).float() / 255)
    rgb, nir = _darken(_expose(parts[0], config, random), parts[1], config.darkened, random)
    return rgb * 2 - 1, nir * 2 - 1


def _box(
    height: int, width: int, size: int, config: CropConfig, random: np.random.Generator
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the part of a photo that a crop shows, in pixels."""
    if config.kind == "squash":
        return 0, 0, height, width
    if config.kind == "native":
        side = round(size / random.uniform(1 - config.scale_jitter, 1 + config.scale_jitter))
        side = min(side, height, width)  # a photo that is smaller is enlarged
        h = w = side
    else:
        if random.random() < config.whole:
            return 0, 0, height, width
        area = np.exp(random.uniform(np.log(config.smallest), 0))
        aspect = np.exp(random.uniform(-0.3, 0.3))
        h = int(np.clip(round(height * np.sqrt(area * aspect)), min(16, height), height))
        w = int(np.clip(round(width * np.sqrt(area / aspect)), min(16, width), width))
    return int(random.integers(height - h + 1)), int(random.integers(width - w + 1)), h, w


def _expose(rgb: Tensor, config: CropConfig, random: np.random.Generator) -> Tensor:
    """Random exposure and white balance of RGB (3, H, W) in [0, 1]."""
    if not (config.gamma or config.gain or config.white_balance):
        return rgb
    gamma = float(np.exp(random.normal(0, config.gamma)))
    gain = np.exp(random.normal(0, config.gain) + random.normal(0, config.white_balance, (3, 1, 1)))
    return (rgb.pow(gamma) * torch.from_numpy(gain).float()).clamp(0, 1)


def _darken(rgb: Tensor, nir: Tensor, share: float, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Turn a share of the pairs into night: both images alike lose light, and RGB gets a sensor's noise.

    Photos by day alone would teach that nothing is ever dark.
    """
    if random.random() >= share:
        return rgb, nir
    gain = float(np.exp(random.uniform(-3, -0.3)))
    noise = torch.from_numpy(random.normal(0, 0.012, tuple(rgb.shape))).float()
    return (rgb * gain + noise).clamp(0, 1), nir * gain
