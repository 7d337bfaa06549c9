"""The losses of Pix2Next (Section 3.2): adversarial (Eq. 2), SSIM (Eq. 3-4), feature matching (Eq. 5)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

GanKind = Literal["vanilla", "lsgan", "hinge"]


def discriminator_loss(real: Sequence[Tensor], fake: Sequence[Tensor], kind: GanKind) -> Tensor:
    """What the discriminators minimise, averaged over the scales.

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
    return torch.stack(terms).mean()


def generator_loss(fake: Sequence[Tensor], kind: GanKind) -> Tensor:
    """The adversarial term of the generator, averaged over the scales.

    Args:
        fake: One map of raw scores a scale, for generated pairs.
        kind: As in `discriminator_loss`; `vanilla` is the non-saturating form.

    Returns:
        A scalar.
    """
    if kind == "vanilla":
        return torch.stack([F.softplus(-f).mean() for f in fake]).mean()
    if kind == "lsgan":
        return torch.stack([(f - 1).square().mean() for f in fake]).mean()
    return torch.stack([-f.mean() for f in fake]).mean()


def feature_matching_loss(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """Mean absolute difference of the discriminators' inner features (Eq. 5), averaged over layers and scales.

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
    return torch.stack(terms).mean()


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

    The Gaussian window is applied as two one-dimensional convolutions, which costs a sixth of the two-dimensional one.

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
    n, channels, height, width = maps.shape
    flat = maps.reshape(n * channels, 1, height, width)
    flat = F.conv2d(F.conv2d(flat, window.view(1, 1, 1, -1)), window.view(1, 1, -1, 1))
    mean_g, mean_r, square_g, square_r, product = flat.view(n, channels, *flat.shape[-2:]).chunk(5, dim=1)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    covariance = product - mean_g * mean_r
    variances = (square_g - mean_g.square()) + (square_r - mean_r.square())
    similarity = ((2 * mean_g * mean_r + c1) * (2 * covariance + c2)) / (
        (mean_g.square() + mean_r.square() + c1) * (variances + c2)
    )
    return similarity.mean(dim=(1, 2, 3))


def warmup_cosine(progress: float, warmup: float = 0.02, floor: float = 0.0) -> float:
    """Factor on the learning rate: a linear rise, then half a cosine down.

    Args:
        progress: Share of the run that is done, in [0, 1].
        warmup: Share of the run that the rise takes.
        floor: Factor at the end.

    Returns:
        A factor in [0, 1].

    Example:
        >>> [round(warmup_cosine(p), 2) for p in (0.0, 0.01, 0.02, 0.51, 1.0)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if progress < warmup:
        return progress / warmup
    done = min((progress - warmup) / (1 - warmup), 1.0)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))
