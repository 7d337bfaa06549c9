"""Augmented crops of decoded pairs: what one step of training sees."""

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
    from nirgen.pairs import PairList


@dataclass(frozen=True)
class Photo:
    """A decoded pair: rgb (3, H, W) and nir (1, H, W), uint8."""

    rgb: Tensor
    nir: Tensor


def read_photos(pairs: PairList) -> list[Photo]:
    """Decode all pairs of a list.

    Raises:
        ImageError: As `read_pair`, or the two sizes of a pair differ.
    """
    photos = []
    for pair in pairs.pairs:
        rgb, nir = read_pair(pairs, pair)
        if rgb.shape[:2] != nir.shape:
            raise ImageError(
                f"{pairs.root / pair.nir}: {nir.shape[1]}x{nir.shape[0]}, but its RGB partner is "
                f"{rgb.shape[1]}x{rgb.shape[0]}; align and crop them alike"
            )
        photos.append(Photo(torch.from_numpy(rgb).permute(2, 0, 1), torch.from_numpy(nir[None])))
    return photos


class Sampler:
    """Draws augmented crops: geometry alike for both images, photometry for RGB alone."""

    def __init__(
        self, photos: list[Photo], weights: list[float], *, smallest_crop: float, darkened: float, seed: int
    ) -> None:
        self.photos = photos
        self.weights = np.asarray(weights) / np.sum(weights)
        self.smallest_crop = smallest_crop
        self.darkened = darkened
        self.random = np.random.default_rng(seed)

    def batch(self, count: int, size: int) -> tuple[Tensor, Tensor]:
        """Draw a batch.

        Returns:
            rgb (count, 3, size, size) and nir (count, 1, size, size), float32 in [-1, 1].
        """
        drawn = [
            self._crop(self.photos[index], size)
            for index in self.random.choice(len(self.photos), count, p=self.weights)
        ]
        rgb = torch.stack([rgb for rgb, _ in drawn]).float() / 127.5 - 1
        nir = torch.stack([nir for _, nir in drawn]).float() / 127.5 - 1
        return self._darken(self._expose(rgb), nir)

    def _crop(self, photo: Photo, size: int) -> tuple[Tensor, Tensor]:
        """A random part of a photo, squashed to size x size, mirrored half of the time."""
        height, width = photo.rgb.shape[-2:]
        area = np.exp(self.random.uniform(np.log(self.smallest_crop), 0.35))  # over 1: the whole photo, as it is judged
        if area >= 1:
            box = (0, 0, height, width)
        else:
            aspect = np.exp(self.random.uniform(-0.3, 0.3))
            h = int(np.clip(round(height * np.sqrt(area * aspect)), 16, height))
            w = int(np.clip(round(width * np.sqrt(area / aspect)), 16, width))
            box = (int(self.random.integers(height - h + 1)), int(self.random.integers(width - w + 1)), h, w)
        mirrored = self.random.random() < 0.5
        parts = []
        for part in (photo.rgb, photo.nir):
            crop = TF.resized_crop(part, *box, [size, size], antialias=True)
            parts.append(crop.flip(-1) if mirrored else crop)
        return parts[0], parts[1]

    def _expose(self, rgb: Tensor) -> Tensor:
        """Random exposure, contrast and white balance of each image, mild enough to leave a plausible photo."""
        n = len(rgb)
        gamma = np.exp(self.random.normal(0, 0.12, (n, 1, 1, 1)))
        gain = np.exp(self.random.normal(0, 0.06, (n, 1, 1, 1)) + self.random.normal(0, 0.025, (n, 3, 1, 1)))
        unit = (rgb + 1) / 2
        changed = unit.pow(torch.from_numpy(gamma).float()) * torch.from_numpy(gain).float()
        return changed.clamp(0, 1) * 2 - 1

    def _darken(self, rgb: Tensor, nir: Tensor) -> tuple[Tensor, Tensor]:
        """Turn some pairs into night: both images alike lose light, and RGB gets a sensor's noise.

        Photos by day alone would teach that nothing is ever dark.
        """
        n = len(rgb)
        night = self.random.random((n, 1, 1, 1)) < self.darkened
        gain = torch.from_numpy(np.where(night, np.exp(self.random.uniform(-3, -0.3, (n, 1, 1, 1))), 1.0)).float()
        noise = torch.from_numpy(self.random.normal(0, 0.012, tuple(rgb.shape)) * night).float()
        return ((rgb + 1) / 2 * gain + noise).clamp(0, 1) * 2 - 1, (nir + 1) * gain - 1
