"""The losses of Pix2Next (Section 3.2): adversarial (Eq. 2), SSIM (Eq. 3-4), feature matching (Eq. 5)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from nirgen.models.config import GanKind


def discriminator_loss(real: Sequence[Tensor], fake: Sequence[Tensor], kind: GanKind) -> Tensor:
    """Return the loss of the discriminators, halved and summed over the scales (Eq. 6); a scalar.

    `real` and `fake` are maps of raw scores, one a scale. `vanilla` (Eq. 2): cross-entropy; `lsgan`: squares.
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
    """Return the adversarial term of the generator, summed over the scales' raw scores (Eq. 6); a scalar.

    `vanilla` is the non-saturating form.
    """
    if kind == "vanilla":
        return torch.stack([F.softplus(-f).mean() for f in fake]).sum()
    if kind == "lsgan":
        return torch.stack([(f - 1).square().mean() for f in fake]).sum()
    return torch.stack([-f.mean() for f in fake]).sum()


def gradient_penalty(judge: Callable[[Tensor], Sequence[Tensor]], points: Tensor, length: float) -> Tensor:
    """Return how far the gradients of a discriminator are from a length: the mean squared relative distance; a scalar.

    Gulrajani et al., NeurIPS 2017, with any length. `judge` gives maps of raw scores, one a scale, of images
    (N, C, H, W); `points` are such images, between real and generated ones.
    """
    points = points.detach().requires_grad_()
    total = torch.stack([scores.sum() for scores in judge(points)]).sum()
    (gradients,) = torch.autograd.grad(total, points, create_graph=True)
    off: Tensor = gradients.flatten(1).norm(dim=1) / length - 1
    return off.square().mean()


def feature_matching_loss(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """Return the mean absolute difference of inner features, summed over layers (Eq. 5) and scales (Eq. 6); a scalar.

    No gradient flows into the features of real pairs. Both are the feature maps of the layers, for each scale.
    """
    terms = [
        F.l1_loss(f, r.detach())
        for real_scale, fake_scale in zip(real, fake, strict=True)
        for r, f in zip(real_scale, fake_scale, strict=True)
    ]
    return torch.stack(terms).sum()


def rmse_loss(generated: Tensor, real: Tensor) -> Tensor:
    """Return the root mean squared error of each image of (N, C, H, W), averaged over the batch as in mean PSNR."""
    return (generated - real).square().mean(dim=(1, 2, 3)).add(1e-6).sqrt().mean()


def smooth_l1_loss(generated: Tensor, real: Tensor) -> Tensor:
    """Return half of the mean squared error of intensities in [0, 1] (SmoothL1 with beta 1); images are in [-1, 1]."""
    return F.smooth_l1_loss(generated / 2, real / 2)


def pyramid(image: Tensor, scales: int) -> list[Tensor]:
    """Return (N, C, H, W) at so many scales, each half of the former: four 3x3 Gaussian blurs, then every second pixel.

    As in PyramidPix2pix (Liu et al., CVPRW 2022): a deviation of one pixel, and mirrored borders.
    """
    levels = [image]
    weights = torch.exp(-torch.tensor([1.0, 0.0, 1.0], device=image.device, dtype=image.dtype) / 2)
    side = weights / weights.sum()
    kernel = torch.outer(side, side).expand(image.shape[1], 1, 3, 3)
    while len(levels) < scales:
        for _ in range(4):
            image = F.conv2d(F.pad(image, (1, 1, 1, 1), mode="reflect"), kernel, groups=image.shape[1])
        image = image[..., ::2, ::2]
        levels.append(image)
    return levels


def structure_loss(generated: Tensor, real: Tensor) -> Tensor:
    """Return the mean absolute error of (N, C, H, W) without each image's mean error; a scalar.

    The exposure that a camera chose for a NIR photo can't be seen in RGB; this term doesn't ask for it.
    """
    error = generated - real
    return (error - error.mean(dim=(1, 2, 3), keepdim=True)).abs().mean()


def gradient_loss(generated: Tensor, real: Tensor) -> Tensor:
    """Return the mean absolute difference of horizontal plus that of vertical gradients of (N, C, H, W); a scalar."""
    error = generated - real
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


def ssim(
    generated: Tensor, real: Tensor, *, data_range: float, sigma: float = 1.5, radius: int = 5, mirrored: bool = False
) -> Tensor:
    """Return the structural similarity (Wang et al., 2004; Eq. 3) of each image, (N,), in [-1, 1]; differentiable.

    Only pixels whose whole window lies inside count, unless images are mirrored at their borders. The Gaussian window
    is applied along rows, then columns, as sums of shifted images: with one channel that takes a tenth of the time of
    a convolution on a CPU, and avoids TF32.

    Args:
        generated: (N, C, H, W); H and W at least 2 * radius + 1.
        real: The same shape.
        data_range: Largest minus smallest possible value: 2 for [-1, 1], 255 for 8 bits.
        sigma: Deviation of the window, in pixels.
        radius: Radius of the window, in pixels.
        mirrored: Count all pixels; windows go on into the image's reflection.
    """
    if mirrored:
        generated, real = (F.pad(image, (radius,) * 4, mode="reflect") for image in (generated, real))
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
    """Return the factor on the learning rate, in [0, 1]: a linear rise, then half a cosine down.

    `progress`, done so far, and `warmup`, the length of the rise, are shares of the run, in [0, 1].

    Example:
        >>> [round(warmup_cosine(p, warmup=0.02), 2) for p in (0.0, 0.01, 0.02, 0.51, 1.0)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if progress < warmup:
        return progress / warmup
    done = min((progress - warmup) / max(1 - warmup, 1e-9), 1.0)
    return 0.5 * (1 + math.cos(math.pi * done))
