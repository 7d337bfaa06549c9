"""One training step, whatever its method: gradients averaged over batches and processes, both optimizers, the EMA."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nirgen.errors import ImageError
from nirgen.train import bridge, cycle, latent, paired
from nirgen.train.updates import check_finite, update_discriminator, update_generator

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from nirgen.train.batches import Batches
    from nirgen.train.config import Method, Stage
    from nirgen.train.processes import Processes
    from nirgen.train.state import State

    Backward = Callable[[State, Stage, tuple[Tensor, Tensor, int], float, Processes], dict[str, Tensor]]


METHODS: dict[Method, Backward] = {
    "paired": paired.backward,
    "cycle": cycle.backward,
    "latent": latent.backward,
    "bridge": bridge.backward,
}
"""Functions by method, of a batch of RGB and NIR and its number in the step: accumulate the gradients of all
networks, and return its loss terms, weighted and detached; names of terms of discriminators begin so."""


def train_step(
    state: State, batches: Batches, stage: Stage, factor: float, processes: Processes
) -> tuple[dict[str, float], list[str]]:
    """Advance the networks by one optimizer step.

    Returns:
        The value of each loss term, weighted, and the generator's gradient norm, means over the processes; and a line
        for each pair that was replaced.

    Raises:
        NotFiniteError: A term or a gradient is not finite; no weight has changed, but with `discriminator_first`
            perhaps the discriminators'.
        ImageError: As `Batches.next`.
    """
    config = state.config
    torch.manual_seed((config.seed * 1_000_003 + state.step) * processes.count + processes.rank)
    state.train()
    state.generator_optimizer.zero_grad(set_to_none=True)
    if state.discriminator_optimizer is not None:
        state.discriminator_optimizer.zero_grad(set_to_none=True)

    # accumulate gradients
    backward = METHODS[config.method]
    sums: dict[str, Tensor] = {}
    skipped: list[str] = []
    for part, (rgb, nir, lines) in enumerate(_batches(batches, stage, config.optimizer.accumulate, processes)):
        skipped += lines
        for name, term in backward(state, stage, (rgb, nir, part), factor, processes).items():
            sums[name] = sums.get(name, torch.zeros_like(term)) + term / config.optimizer.accumulate
    processes.mean(sums.values())
    terms = {name: float(value) for name, value in sums.items()}
    check_finite(terms)

    # update weights
    terms["gradient"] = update_generator(state, factor, processes)
    if any(name.startswith("discriminator") for name in terms) and not config.optimizer.discriminator_first:
        update_discriminator(state, factor, processes)
    state.scaler.update()

    # update EMA
    state.average.update_parameters(state.generator)
    state.step += 1
    state.position = batches.position
    return terms, skipped


def _batches(
    batches: Batches, stage: Stage, count: int, processes: Processes
) -> list[tuple[Tensor, Tensor, list[str]]]:
    """Return the batches of a step; an image error in one process is raised in all."""
    found, failure = [], None
    try:
        found = [batches.next(stage.batch, stage.size) for _ in range(count)]
    except ImageError as error:
        failure = error
    if any(processes.agree([float(failure is not None)])):
        raise failure or ImageError("another process met an image that can't be used, and names it")
    return found
