"""Training without pairs as CycleGAN (Zhu et al., ICCV 2017): two generators that undo each other's work.

Written from facts about the procedure (docs/reproduction.md). Each kind of image has a discriminator, which sees the
image alone.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from nirgen import losses
from nirgen.devices import autocast
from nirgen.train.updates import accumulate, scores_of

if TYPE_CHECKING:
    from torch import Tensor

    from nirgen.train.config import Stage
    from nirgen.train.processes import Processes
    from nirgen.train.state import State


_POOL = 6  # random stream of the pools; others are in `batches` and `paired`


def backward(
    state: State,
    stage: Stage,
    batch: tuple[Tensor, Tensor, int],
    factor: float,  # noqa: ARG001 - of methods that update the discriminators first
    processes: Processes,
) -> dict[str, Tensor]:
    """Accumulate the gradients of all networks over a batch; return its loss terms, detached (see `step.METHODS`)."""
    assert state.reverse is not None
    weights, cast = state.config.losses, autocast(state.precision, state.device)
    layout = torch.channels_last if state.config.compute.channels_last else torch.contiguous_format
    rgb, nir, part = batch
    rgb, nir = (images.to(state.device, memory_format=layout) for images in (rgb, nir.expand_as(rgb)))
    shift, scale = (1.0, 0.5) if weights.cycle.range == "unit" else (0.0, 1.0)

    # translate there and back again
    to_nir, to_rgb = state.generator, state.reverse
    with cast:
        fake_nir, fake_rgb = to_nir(rgb).float(), to_rgb(nir).float()
        again_rgb, again_nir = to_rgb(fake_nir).float(), to_nir(fake_rgb).float()
    terms = {
        "cycle_rgb": weights.cycle.weight * scale * F.l1_loss(again_rgb, rgb),
        "cycle_nir": weights.cycle.weight * scale * F.l1_loss(again_nir, nir),
    }
    if weights.cycle.identity:
        with cast:
            same_nir, same_rgb = to_nir(nir).float(), to_rgb(rgb).float()
        terms["identity_nir"] = weights.cycle.identity * scale * F.l1_loss(same_nir, nir)
        terms["identity_rgb"] = weights.cycle.identity * scale * F.l1_loss(same_rgb, rgb)

    # judge the generators
    rgb, nir, fake_rgb, fake_nir = ((images + shift) * scale for images in (rgb, nir, fake_rgb, fake_nir))
    sides = {"nir": (nir, fake_nir, state.nir_pool), "rgb": (rgb, fake_rgb, state.rgb_pool)}
    judges = state.discriminator if stage.adversarial else None
    if judges is not None:
        judges.requires_grad_(False)
        for side, (_, fake, _) in sides.items():
            scores = scores_of(state, side, fake)
            terms[f"adversarial_{side}"] = weights.adversarial * losses.generator_loss(scores, weights.gan)
    accumulate(state, torch.stack(list(terms.values())).sum())

    # train the discriminators
    if judges is not None:
        judges.requires_grad_(True)
        random = np.random.default_rng((state.config.seed, _POOL, state.step, part))
        for side, (real, fake, pool) in sides.items():
            # one pool for all processes, as if one process had drawn all their batches
            pooled = pool.exchange(processes.gather(fake.detach()), random)
            pooled = pooled.chunk(processes.count)[processes.rank].contiguous(memory_format=layout)
            real_scores, fake_scores = scores_of(state, side, real), scores_of(state, side, pooled)
            loss = losses.discriminator_loss(real_scores, fake_scores, weights.gan)
            if weights.cycle.gradient_penalty:
                shares = torch.rand(len(real), 1, 1, 1, device=real.device)
                judge = partial(scores_of, state, side)
                off = losses.gradient_penalty(judge, torch.lerp(pooled, real, shares), weights.cycle.gradient)
                terms[f"discriminator_{side}_gradient"] = weights.cycle.gradient_penalty * off
                accumulate(state, terms[f"discriminator_{side}_gradient"])
            terms[f"discriminator_{side}"] = loss
            accumulate(state, loss)
    return {name: term.detach() for name, term in terms.items()}
