"""Scores of generated against real NIR of held-out pairs."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from nirgen import images, metrics
from nirgen.pairs import read_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray
    from torch import nn

    from nirgen.pairs import PairList


@dataclass(frozen=True)
class Scores:
    """Scores of one image, or their means over several."""

    psnr_affine: float  # dB, after the best gain and offset of each image
    ssim_affine: float  # likewise
    psnr: float  # dB
    ssim: float

    @property
    def total(self) -> float:
        """The mean of both PSNRs in dB, by which models are compared."""
        return (self.psnr_affine + self.psnr) / 2

    def spoils(self, start: Self) -> bool:
        """Return True if PSNR or SSIM of the images as they are is below that of `start`."""
        return self.psnr < start.psnr or self.ssim < start.ssim

    @classmethod
    def mean(cls, scores: Iterable[Self]) -> Self:
        """Return the means of at least one."""
        return cls(*(float(value) for value in np.mean([astuple(one) for one in scores], axis=0)))


@dataclass(frozen=True)
class Frame:
    """A pair at the size of comparison."""

    key: str  # split and name
    rgb: NDArray[np.uint8]  # (H, W, 3)
    nir: NDArray[np.uint8]  # (H, W)


def read_frames(pairs: PairList, size: int) -> list[Frame]:
    """Decode pairs, squashed to `size` x `size` as `nirgen evaluate` does."""
    frames = []
    for pair in pairs.pairs:
        rgb, nir = (images.resize(image, (size, size), resample="bilinear") for image in read_pair(pairs, pair))
        frames.append(Frame(f"{pair.split}/{pair.name}", rgb, nir))
    return frames


def judge(predict: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], frames: Sequence[Frame]) -> list[Scores]:
    """Return the scores of a map from (H, W, 3) RGB to (H, W) NIR on each frame."""
    return [score(predict(frame.rgb), frame.nir) for frame in frames]


def score(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> Scores:
    """Return the scores of one (H, W) image; no PSNR is above `metrics.PSNR_CEILING`."""
    psnrs = [min(measure(generated, real), metrics.PSNR_CEILING) for measure in (metrics.psnr_affine, metrics.psnr)]
    return Scores(psnrs[0], metrics.ssim_affine(generated, real), psnrs[1], metrics.ssim(generated, real))


def translating(generator: nn.Module) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Return a generator, in evaluation mode, as a map from (H, W, 3) to (H, W) uint8."""
    device = next(generator.parameters()).device

    @torch.inference_mode()
    def predict(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        batch = torch.from_numpy(rgb).permute(2, 0, 1)[None].to(device).float().div(127.5).sub(1)
        values = generator(batch)[0].float().add(1).div(2).clamp(0, 1).cpu().numpy()
        return images.to_pixels(images.to_channels(values, 1)).astype(np.uint8)

    return predict
