"""Training on aligned pairs: losses against the real NIR image, with discriminators of pairs or without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from nirgen import losses
from nirgen.devices import autocast
from nirgen.train.updates import accumulate, check_finite, update_discriminator

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import EllipsisType

    from torch import Tensor

    from nirgen.train.config import LossConfig, Stage
    from nirgen.train.processes import Processes
    from nirgen.train.state import State


_WINDOW = 3  # random stream of the discriminators' windows; those of the pairs and the crops are in batches


def backward(
    state: State, stage: Stage, batch: tuple[Tensor, Tensor, int], factor: float, processes: Processes
) -> dict[str, Tensor]:
    """Accumulate the gradients of both networks over a batch; return its loss terms, detached (see `step.METHODS`)."""
    weights = state.config.losses
    rgb, nir, part = batch
    layout = torch.channels_last if state.config.compute.channels_last else torch.contiguous_format
    rgb, nir = (images.to(state.device, memory_format=layout) for images in (rgb, nir))
    cast = autocast(state.precision, state.device)
    with cast:
        generated = state.generator(rgb).float()
    nir = nir.expand_as(generated)
    terms = _pixel_terms(weights, generated, nir)
    if state.perceptual is not None:
        with cast:
            terms["perceptual"] = weights.perceptual.weight * state.perceptual(rgb, nir, generated).float()
    if state.features is not None:
        with cast:
            terms["features"] = weights.features * state.features(nir, generated).float()
    reported: dict[str, Tensor] = {}
    if state.discriminator is not None and stage.adversarial:
        window = _window(state, part, rgb.shape[-1])
        real, fake = torch.cat((rgb, nir), dim=1)[window], torch.cat((rgb, generated), dim=1)[window]

        # train the discriminators
        state.discriminator.requires_grad_(True)
        with cast:
            real_maps, fake_maps = state.discriminator(real), state.discriminator(fake.detach())
        loss = losses.discriminator_loss(_scores(real_maps), _scores(fake_maps), weights.gan)
        accumulate(state, loss)
        reported["discriminator"] = loss.detach()
        if state.config.optimizer.discriminator_first:
            processes.mean([mean := loss.detach().clone()])
            check_finite({"discriminator": float(mean)})
            update_discriminator(state, factor, processes)

        # judge the generator
        state.discriminator.requires_grad_(False)
        with cast:
            fake_maps = state.discriminator(fake)
        if weights.adversarial:
            terms["adversarial"] = weights.adversarial * losses.generator_loss(_scores(fake_maps), weights.gan)
        if weights.feature_matching:
            matched = losses.feature_matching_loss(_features(real_maps), _features(fake_maps))
            terms["feature_matching"] = weights.feature_matching * matched
    if terms:
        accumulate(state, torch.stack(list(terms.values())).sum())
    return {name: term.detach() for name, term in terms.items()} | reported


def _pixel_terms(weights: LossConfig, generated: Tensor, nir: Tensor) -> dict[str, Tensor]:
    terms = {}
    if weights.pixel:
        kinds: dict[str, Callable[[Tensor, Tensor], Tensor]]
        kinds = {"rmse": losses.rmse_loss, "l1": F.l1_loss, "smooth_l1": losses.smooth_l1_loss}
        scales = zip(*(losses.pyramid(image, weights.pixel_scales) for image in (generated, nir)), strict=True)
        terms["pixel"] = weights.pixel * torch.stack([kinds[weights.pixel_kind](*scale) for scale in scales]).sum()
    if weights.structure:
        terms["structure"] = weights.structure * losses.structure_loss(generated, nir)
    if weights.gradients:
        terms["gradients"] = weights.gradients * losses.gradient_loss(generated, nir)
    if weights.ssim:
        if weights.ssim_range == "unit":  # SSIM compares intensities: in [-1, 1], mid-grey would count as dark
            mirrored = weights.ssim_border == "reflect"
            similarity = losses.ssim((generated + 1) / 2, (nir + 1) / 2, data_range=1.0, mirrored=mirrored)
        else:
            spans = [image.detach().amax() - image.detach().amin() for image in (generated, nir)]
            similarity = losses.ssim(generated, nir, data_range=float(torch.stack(spans).amax()))
        terms["ssim"] = weights.ssim * (1 - similarity.mean())
    return terms


def _window(state: State, part: int, size: int) -> tuple[EllipsisType, slice, slice]:
    """Return the random window that the discriminators see; the same in all processes."""
    side = min(state.config.discriminator_window or size, size)
    random = np.random.default_rng((state.config.seed, _WINDOW, state.step, part))
    top, left = (int(start) for start in random.integers(size - side + 1, size=2))
    return ..., slice(top, top + side), slice(left, left + side)


def _scores(maps: list[list[Tensor]]) -> list[Tensor]:
    return [layers[-1].float() for layers in maps]


def _features(maps: list[list[Tensor]]) -> list[list[Tensor]]:
    return [[layer.float() for layer in layers[:-1]] for layers in maps]
