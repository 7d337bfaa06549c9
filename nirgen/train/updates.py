"""Parts that all methods of training share: gradients added up over batches and processes, and optimizer steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from nirgen.devices import autocast
from nirgen.train.state import NotFiniteError

if TYPE_CHECKING:
    from torch import Tensor

    from nirgen.train.processes import Processes
    from nirgen.train.state import State


def accumulate(state: State, loss: Tensor) -> None:
    """Add the gradients of a loss, scaled for half precision."""
    if loss.requires_grad:
        state.scaler.scale(loss / state.config.optimizer.accumulate).backward()


def scores_of(state: State, side: str, images: Tensor) -> list[Tensor]:
    """Return the raw scores, one map a scale, that the discriminator of a side, `nir` or `rgb`, gives images."""
    assert isinstance(state.discriminator, torch.nn.ModuleDict)
    with autocast(state.precision, state.device):
        maps = state.discriminator[side](images)
    return [layers[-1].float() for layers in maps]


def update_generator(state: State, factor: float, processes: Processes) -> float:
    """Step the generators; return the norm of its gradient before clipping."""
    optimizer, limit = state.generator_optimizer, state.config.optimizer.gradient_clip
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    processes.mean(p.grad for p in parameters if p.grad is not None)
    state.scaler.unscale_(optimizer)
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, limit if limit is not None else float("inf")))
    if not state.scaler.is_enabled():  # an enabled scaler skips such a step itself
        check_finite({"gradient": norm})
    state.scaler.step(optimizer)
    return norm


def update_discriminator(state: State, factor: float, processes: Processes) -> None:
    """Step the discriminators."""
    optimizer = state.discriminator_optimizer
    assert optimizer is not None
    for group in optimizer.param_groups:
        group["lr"] = state.config.optimizer.discriminator_learning_rate * factor
    processes.mean(p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None)
    state.scaler.step(optimizer)


def check_finite(terms: dict[str, float]) -> None:
    """Raise a NotFiniteError that names the terms that are NaN or infinite."""
    bad = [f"'{name}' is {value}" for name, value in terms.items() if not np.isfinite(value)]
    if bad:
        raise NotFiniteError(", ".join(bad))
