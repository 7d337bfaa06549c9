"""Training without pairs as UNIT (Liu et al., NeurIPS 2017) and MUNIT (Huang et al., ECCV 2018): a code of both kinds.

Written from the articles. The generator reads RGB and makes NIR, its counterpart the reverse; either's decoder can
decode what the other's encoder reads, since the codes of both kinds of image are to be the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from nirgen import losses
from nirgen.devices import autocast
from nirgen.models.munit import MUNIT, UNIT
from nirgen.train.networks import ContentLoss
from nirgen.train.updates import accumulate, scores_of

if TYPE_CHECKING:
    from torch import Tensor

    from nirgen.train.config import LatentConfig, Stage
    from nirgen.train.processes import Processes
    from nirgen.train.state import State


def backward(
    state: State,
    stage: Stage,
    batch: tuple[Tensor, Tensor, int],
    factor: float,  # noqa: ARG001 - of methods that update the discriminators first
    processes: Processes,  # noqa: ARG001 - of methods that share images
) -> dict[str, Tensor]:
    """Accumulate the gradients of all networks over a batch; return its loss terms, detached (see `step.METHODS`)."""
    weights = state.config.losses
    layout = torch.channels_last if state.config.compute.channels_last else torch.contiguous_format
    rgb, nir, _ = batch
    rgb, nir = (images.to(state.device, memory_format=layout) for images in (rgb, nir.expand_as(rgb)))
    to_nir, to_rgb = state.generator, state.reverse
    assert isinstance(to_nir, UNIT)
    assert isinstance(to_rgb, UNIT)
    with autocast(state.precision, state.device):
        if isinstance(to_nir, MUNIT) and isinstance(to_rgb, MUNIT):
            terms, fake_nir, fake_rgb = _munit(to_nir, to_rgb, rgb, nir, weights.latent)
        else:
            terms, fake_nir, fake_rgb = _unit(to_nir, to_rgb, rgb, nir, weights.latent)
    if isinstance(state.perceptual, ContentLoss):
        with autocast(state.precision, state.device):
            for side, image, fake in (("rgb", rgb, fake_nir), ("nir", nir, fake_rgb)):
                terms[f"features_{side}"] = weights.latent.features * state.perceptual(image, fake.float()).float()

    # judge the generators
    judges = state.discriminator if stage.adversarial else None
    sides = {"nir": (nir, fake_nir.float()), "rgb": (rgb, fake_rgb.float())}
    if judges is not None:
        judges.requires_grad_(False)
        for side, (_, fake) in sides.items():
            terms[f"adversarial_{side}"] = weights.adversarial * losses.generator_loss(
                scores_of(state, side, fake), weights.gan
            )
    accumulate(state, torch.stack(list(terms.values())).sum())

    # train the discriminators
    if judges is not None:
        judges.requires_grad_(True)
        for side, (real, fake) in sides.items():
            real_scores, fake_scores = scores_of(state, side, real), scores_of(state, side, fake.detach())
            loss = 2 * losses.discriminator_loss(real_scores, fake_scores, weights.gan)  # not halved there
            terms[f"discriminator_{side}"] = loss
            accumulate(state, loss)
    return {name: term.detach() for name, term in terms.items()}


def _unit(
    to_nir: UNIT, to_rgb: UNIT, rgb: Tensor, nir: Tensor, weights: LatentConfig
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Return the terms of UNIT without the discriminators, and the translations to NIR and to RGB."""
    of_rgb, of_nir = to_nir.encoder(rgb), to_rgb.encoder(nir)
    noisy_rgb, noisy_nir = _noisy(of_rgb), _noisy(of_nir)
    fake_nir, fake_rgb = to_nir.decoder(noisy_rgb), to_rgb.decoder(noisy_nir)
    terms = {
        "image_rgb": weights.image * _difference(to_rgb.decoder(noisy_rgb), rgb),
        "image_nir": weights.image * _difference(to_nir.decoder(noisy_nir), nir),
        "divergence": weights.divergence * (_spread(of_rgb) + _spread(of_nir)),
    }
    if weights.cycle:
        again_nir, again_rgb = to_nir.encoder(fake_rgb), to_rgb.encoder(fake_nir)  # codes of the translations
        terms["cycle_rgb"] = weights.cycle * _difference(to_rgb.decoder(_noisy(again_rgb)), rgb)
        terms["cycle_nir"] = weights.cycle * _difference(to_nir.decoder(_noisy(again_nir)), nir)
        terms["divergence"] = terms["divergence"] + weights.divergence * (_spread(again_rgb) + _spread(again_nir))
    return terms, fake_nir, fake_rgb


def _munit(
    to_nir: MUNIT, to_rgb: MUNIT, rgb: Tensor, nir: Tensor, weights: LatentConfig
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Return the terms of MUNIT without the discriminators, and the translations to NIR and to RGB."""
    of_rgb, of_nir = to_nir.encoder(rgb), to_rgb.encoder(nir)
    style_rgb, style_nir = to_rgb.style_encoder(rgb), to_nir.style_encoder(nir)
    drawn_rgb, drawn_nir = torch.randn_like(style_rgb), torch.randn_like(style_nir)
    fake_nir, fake_rgb = to_nir.decode(of_rgb, drawn_nir), to_rgb.decode(of_nir, drawn_rgb)
    again_rgb, again_nir = to_rgb.encoder(fake_nir), to_nir.encoder(fake_rgb)  # codes of the translations
    terms = {
        "image_rgb": weights.image * _difference(to_rgb.decode(of_rgb, style_rgb), rgb),
        "image_nir": weights.image * _difference(to_nir.decode(of_nir, style_nir), nir),
        "content": weights.content * (_difference(again_rgb, of_rgb) + _difference(again_nir, of_nir)),
        "style_nir": weights.style * _difference(to_nir.style_encoder(fake_nir), drawn_nir),
        "style_rgb": weights.style * _difference(to_rgb.style_encoder(fake_rgb), drawn_rgb),
    }
    if weights.cycle:
        terms["cycle_rgb"] = weights.cycle * _difference(to_rgb.decode(again_rgb, style_rgb), rgb)
        terms["cycle_nir"] = weights.cycle * _difference(to_nir.decode(again_nir, style_nir), nir)
    return terms, fake_nir, fake_rgb


def _noisy(code: Tensor) -> Tensor:
    return code + torch.randn_like(code)


def _difference(found: Tensor, expected: Tensor) -> Tensor:
    return F.l1_loss(found.float(), expected.float())


def _spread(code: Tensor) -> Tensor:
    return code.float().square().mean()
