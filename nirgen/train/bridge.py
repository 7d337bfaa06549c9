"""Training of a Brownian bridge, as BBDM (Li et al., CVPR 2023): guess a point's distance from the NIR image.

Written from facts about the procedure (docs/reproduction.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from nirgen.devices import autocast
from nirgen.models.bbdm import BBDM, TIMES, point
from nirgen.train.updates import accumulate

if TYPE_CHECKING:
    from torch import Tensor

    from nirgen.train.config import Stage
    from nirgen.train.processes import Processes
    from nirgen.train.state import State


def backward(
    state: State,
    stage: Stage,  # noqa: ARG001 - of methods with discriminators
    batch: tuple[Tensor, Tensor, int],
    factor: float,  # noqa: ARG001 - of methods that update the discriminators first
    processes: Processes,  # noqa: ARG001 - of methods with pools
) -> dict[str, Tensor]:
    """Accumulate the gradients of the network over a batch; return its loss, detached (see `step.METHODS`)."""
    assert isinstance(state.generator, BBDM)
    layout = torch.channels_last if state.config.compute.channels_last else torch.contiguous_format
    rgb, nir, _ = batch
    rgb, nir = (images.to(state.device, memory_format=layout) for images in (rgb, nir.expand_as(rgb)))
    times = torch.randint(TIMES, (len(rgb),), device=state.device)
    x, apart = point(nir, rgb, times, torch.randn_like(nir))
    with autocast(state.precision, state.device):
        guessed = state.generator.predict(x, rgb, times).float()
    loss = state.config.losses.pixel * F.l1_loss(guessed, apart)
    accumulate(state, loss)
    return {"bridge": loss.detach()}
