"""How the averaged weights do on pairs that they are not trained on, in numbers and in a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from nirgen import images, metrics
from nirgen.errors import ImageError
from nirgen.pairs import PairList, read_pair

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from nirgen.train.config import SaveConfig

_BOX = 256  # side of an image in the picture, in pixels


@dataclass(frozen=True)
class Validation:
    """Means over the images, and a picture.

    Attributes:
        psnr: In dB, that of each image at most 100; NaN if none could be read.
        ssim: In [-1, 1]; the same.
        picture: (H, W, 3) uint8: a row a pair, RGB, generated and real NIR; None where none was asked for.
        skipped: A line for each pair that could not be read.
    """

    psnr: float
    ssim: float
    picture: NDArray[np.uint8] | None
    skipped: tuple[str, ...] = ()


def chosen_pairs(pairs: PairList, config: SaveConfig) -> PairList:
    """The pairs of the split `val` that a run is judged on: all, or as many as configured, spread evenly."""
    found = [pair for pair in pairs.pairs if pair.split == "val"]
    count = min(len(found), config.validation_images)
    return PairList(pairs.root, tuple(found[position] for position in _spread(len(found), count)))


@torch.inference_mode()
def validate(
    generator: nn.Module, pairs: PairList, config: SaveConfig, device: torch.device, *, skip: bool = False
) -> Validation:
    """Translate and score pairs, squashed with Pillow's bilinear filter, outputs rounded to 8 bits.

    Args:
        generator: The network; it is left in evaluation mode.
        pairs: At least one.
        config: At which size, and how many are drawn.
        device: Where the network is.
        skip: Leave out pairs that can't be read.

    Raises:
        ImageError: As `nirgen.pairs.read_pair`, unless they are left out.
    """
    generator.eval()
    size = (config.validation_size, config.validation_size)
    drawn = set(
        np.linspace(0, len(pairs.pairs) - 1, min(config.samples, len(pairs.pairs))).round().astype(int).tolist()
    )
    scores, rows, skipped = [(np.nan, np.nan)], [], list[str]()
    for position, pair in enumerate(pairs.pairs):
        try:
            rgb, nir = (images.resize(image, size, resample="bilinear") for image in read_pair(pairs, pair))
        except ImageError as error:
            if not skip:
                raise
            skipped.append(str(error))
            continue
        batch = torch.from_numpy(rgb).permute(2, 0, 1)[None].to(device).float().div(127.5).sub(1)
        values = generator(batch)[0].add(1).div(2).clamp(0, 1).float().cpu().numpy()
        generated = images.to_pixels(images.to_channels(values, 1)).astype(np.uint8)
        scores.append((min(metrics.psnr(generated, nir), 100.0), metrics.ssim(generated, nir)))
        if position in drawn:
            rows.append([rgb, *(np.repeat(grey[..., None], 3, axis=2) for grey in (generated, nir))])
    psnr, ssim = np.mean(scores[1:] or scores, axis=0)
    picture = images.side_by_side(rows, box=(_BOX, _BOX)) if rows else None
    return Validation(float(psnr), float(ssim), picture, tuple(skipped))


def _spread(length: int, count: int) -> list[int]:
    """Positions that lie evenly in a sequence."""
    return [int(position) for position in np.linspace(0, length - 1, count).round()]
