"""The losses of Pix2Next (Section 3.2): adversarial (Eq. 2), SSIM (Eq. 3-4), feature matching (Eq. 5)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from nirgen.models.config import GanKind


def discriminator_loss(real: Sequence[Tensor], fake: Sequence[Tensor], kind: GanKind) -> Tensor:
    """What the discriminators minimise, summed over the scales (Eq. 6) and halved, as is usual.

    Args:
        real: One map of raw scores a scale, for real pairs.
        fake: The same for generated ones.
        kind: `vanilla` (Eq. 2, cross-entropy on logits), `lsgan` (least squares) or `hinge`.

    Returns:
        A scalar.
    """
    terms = []
    for r, f in zip(real, fake, strict=True):
        if kind == "vanilla":
            terms.append((F.softplus(-r).mean() + F.softplus(f).mean()) / 2)
        elif kind == "lsgan":
            terms.append(((r - 1).square().mean() + f.square().mean()) / 2)
        else:
            terms.append((F.relu(1 - r).mean() + F.relu(1 + f).mean()) / 2)
    return torch.stack(terms).sum()


def generator_loss(fake: Sequence[Tensor], kind: GanKind) -> Tensor:
    """The adversarial term of the generator, summed over the scales (Eq. 6).

    Args:
        fake: One map of raw scores a scale, for generated pairs.
        kind: As in `discriminator_loss`; `vanilla` is the non-saturating form.

    Returns:
        A scalar.
    """
    if kind == "vanilla":
        return torch.stack([F.softplus(-f).mean() for f in fake]).sum()
    if kind == "lsgan":
        return torch.stack([(f - 1).square().mean() for f in fake]).sum()
    return torch.stack([-f.mean() for f in fake]).sum()


def feature_matching_loss(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """Mean absolute difference of the discriminators' inner features, summed over layers (Eq. 5) and scales (Eq. 6).

    Args:
        real: Per scale, the feature maps of its layers for real pairs; no gradient flows into them.
        fake: The same for generated pairs.

    Returns:
        A scalar.
    """
    terms = [
        F.l1_loss(f, r.detach())
        for real_scale, fake_scale in zip(real, fake, strict=True)
        for r, f in zip(real_scale, fake_scale, strict=True)
    ]
    return torch.stack(terms).sum()


def rmse_loss(generated: Tensor, real: Tensor) -> Tensor:
    """Root of the mean squared error of each image, averaged over the batch: each image counts alike, as in mean PSNR.

    Args:
        generated: (N, C, H, W) in any range.
        real: The same shape and range.

    Returns:
        A scalar.
    """
    return (generated - real).square().mean(dim=(1, 2, 3)).add(1e-6).sqrt().mean()


def ssim(generated: Tensor, real: Tensor, *, data_range: float, sigma: float = 1.5, radius: int = 5) -> Tensor:
    """Structural similarity (Wang et al., 2004; Eq. 3), differentiable, over the pixels whose whole window lies inside.

    The Gaussian window is applied along rows, then columns, as sums of shifted images: with one channel that takes a
    tenth of the time of a convolution on a processor, and on a GPU nothing of it is rounded to TF32.

    Args:
        generated: (N, C, H, W); H and W at least 2 * radius + 1.
        real: The same shape.
        data_range: Largest minus smallest possible value: 2 for [-1, 1], 255 for 8 bits.
        sigma: Of the Gaussian window, in pixels.
        radius: Of the window, in pixels.

    Returns:
        (N,), in [-1, 1], 1 for equal images.
    """
    offsets = torch.arange(-radius, radius + 1, device=real.device, dtype=real.dtype)
    window = torch.exp(offsets.square() / (-2 * sigma**2))
    window = window / window.sum()
    maps = torch.cat((generated, real, generated * generated, real * real, generated * real), dim=1)
    for axis in (-1, -2):
        length = maps.shape[axis] - 2 * radius
        shifted = [weight * maps.narrow(axis, start, length) for start, weight in enumerate(window)]
        maps = sum(shifted[1:], shifted[0])
    mean_g, mean_r, square_g, square_r, product = maps.chunk(5, dim=1)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    covariance = product - mean_g * mean_r
    variances = (square_g - mean_g.square()) + (square_r - mean_r.square())
    similarity = ((2 * mean_g * mean_r + c1) * (2 * covariance + c2)) / (
        (mean_g.square() + mean_r.square() + c1) * (variances + c2)
    )
    return similarity.mean(dim=(1, 2, 3))


def warmup_cosine(progress: float, warmup: float) -> float:
    """Factor on the learning rate: a linear rise, then half a cosine down.

    Args:
        progress: Share of the run that is done, in [0, 1].
        warmup: Share of the run that the rise takes; 0 for none.

    Returns:
        A factor in [0, 1].

    Example:
        >>> [round(warmup_cosine(p, warmup=0.02), 2) for p in (0.0, 0.01, 0.02, 0.51, 1.0)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if progress < warmup:
        return progress / warmup
    done = min((progress - warmup) / max(1 - warmup, 1e-9), 1.0)
    return 0.5 * (1 + math.cos(math.pi * done))
