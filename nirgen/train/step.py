"""One training step: losses, backward, gradients averaged over processes, both optimizers, the EMA."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist

from nirgen import losses
from nirgen.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from types import EllipsisType

    from torch import Tensor

    from nirgen.train.batches import Batches
    from nirgen.train.config import Stage, TrainConfig
    from nirgen.train.state import State


_WINDOW = 3  # what these random numbers are for, beside the order of the pairs and the crops


class NotFiniteError(ArithmeticError):
    """A loss term or a gradient that became NaN or infinite; its text names it."""


def train_step(
    state: State, batches: Batches, stage: Stage, factor: float, processes: Processes
) -> tuple[dict[str, float], list[str]]:
    """Advance the networks by one optimizer step.

    Args:
        state: The run; its networks, optimizers and counters change.
        batches: Where crops come from.
        stage: The part of the run that it is in.
        factor: On all learning rates.
        processes: Those that train together.

    Returns:
        The value of each loss term, weighted, and the generator's gradient norm, by name, means over the processes; and
        a line for each pair that was passed over.

    Raises:
        NotFiniteError: Before any weight has changed by it.
        ImageError: As `Batches.next`.
    """
    config = state.config
    torch.manual_seed((config.seed * 1_000_003 + state.step) * processes.count + processes.rank)
    state.train()
    state.generator_optimizer.zero_grad(set_to_none=True)
    if state.discriminator_optimizer is not None:
        state.discriminator_optimizer.zero_grad(set_to_none=True)

    # accumulate gradients
    sums: dict[str, Tensor] = {}
    skipped: list[str] = []
    for part, (rgb, nir, lines) in enumerate(_batches(batches, stage, config.optimizer.accumulate, processes)):
        skipped += lines
        for name, term in _backward(state, stage, _on_device(state, rgb), _on_device(state, nir), part).items():
            sums[name] = sums.get(name, torch.zeros_like(term)) + term / config.optimizer.accumulate
    processes.mean(sums.values())
    terms = {name: float(value) for name, value in sums.items()}
    _refuse_not_finite(terms)

    # update the weights
    terms["gradient"] = _update_generator(state, factor, processes)
    if "discriminator" in terms:
        _update_discriminator(state, factor, processes)
    state.scaler.update()

    # update the average
    state.average.update_parameters(state.generator)
    state.step += 1
    state.position = batches.position
    return terms, skipped


def _batches(
    batches: Batches, stage: Stage, count: int, processes: Processes
) -> list[tuple[Tensor, Tensor, list[str]]]:
    """The batches of a step; if one process meets an image that ends the run, all end."""
    found, failure = [], None
    try:
        found = [batches.next(stage.batch, stage.size) for _ in range(count)]
    except ImageError as error:
        failure = error
    if any(processes.agree([float(failure is not None)])):
        raise failure or ImageError("another process met an image that can't be used, and names it")
    return found


def _on_device(state: State, batch: Tensor) -> Tensor:
    layout = torch.channels_last if state.config.compute.channels_last else torch.contiguous_format
    return batch.to(state.device, memory_format=layout)


def _backward(state: State, stage: Stage, rgb: Tensor, nir: Tensor, part: int) -> dict[str, Tensor]:
    """Add a batch's gradients to those of both networks; give its loss terms, without gradients."""
    config = state.config
    autocast = torch.autocast(state.device.type, state.precision, enabled=state.precision is not torch.float32)
    with autocast:
        generated = state.generator(rgb).float()
    nir = nir.expand(-1, config.generator.output_channels, -1, -1)
    terms = _pixel_terms(config, generated, nir)
    if state.perceptual is not None:
        with autocast:
            terms["perceptual"] = config.losses.perceptual.weight * state.perceptual(rgb, nir, generated).float()
    reported: dict[str, Tensor] = {}
    if state.discriminator is not None and stage.adversarial:
        window = _window(config, state.step, part, rgb.shape[-1])
        real, fake = torch.cat((rgb, nir), dim=1)[window], torch.cat((rgb, generated), dim=1)[window]

        # teach the discriminators
        state.discriminator.requires_grad_(True)
        with autocast:
            real_maps, fake_maps = state.discriminator(real), state.discriminator(fake.detach())
        loss = losses.discriminator_loss(_scores(real_maps), _scores(fake_maps), config.losses.gan)
        _accumulate(state, loss)
        reported["discriminator"] = loss.detach()

        # let them judge the generator
        state.discriminator.requires_grad_(False)
        with autocast:
            fake_maps = state.discriminator(fake)
        if config.losses.adversarial:
            judged = losses.generator_loss(_scores(fake_maps), config.losses.gan)
            terms["adversarial"] = config.losses.adversarial * judged
        if config.losses.feature_matching:
            matched = losses.feature_matching_loss(_features(real_maps), _features(fake_maps))
            terms["feature_matching"] = config.losses.feature_matching * matched
    if terms:
        _accumulate(state, torch.stack(list(terms.values())).sum())
    return {name: term.detach() for name, term in terms.items()} | reported


def _pixel_terms(config: TrainConfig, generated: Tensor, nir: Tensor) -> dict[str, Tensor]:
    """The terms that compare pixels, weighted."""
    terms = {}
    if config.losses.pixel:
        rmse = config.losses.pixel_kind == "rmse"
        error = losses.rmse_loss(generated, nir) if rmse else (generated - nir).abs().mean()
        terms["pixel"] = config.losses.pixel * error
    if config.losses.ssim:
        terms["ssim"] = config.losses.ssim * (1 - _ssim(config, generated, nir).mean())
    return terms


def _ssim(config: TrainConfig, generated: Tensor, nir: Tensor) -> Tensor:
    """(N,) similarities of images in [-1, 1], in [0, 1] or in the released code's way."""
    if (
        config.losses.ssim_range == "unit"
    ):  # what SSIM compares are intensities: in [-1, 1] mid-grey would count as dark
        return losses.ssim((generated + 1) / 2, (nir + 1) / 2, data_range=1.0)
    spans = [image.detach().amax() - image.detach().amin() for image in (generated, nir)]
    return losses.ssim(generated, nir, data_range=float(torch.stack(spans).amax()))


def _accumulate(state: State, loss: Tensor) -> None:
    """Add the gradients of a loss, scaled for half precision."""
    if loss.requires_grad:
        state.scaler.scale(loss / state.config.optimizer.accumulate).backward()


def _window(config: TrainConfig, step: int, part: int, size: int) -> tuple[EllipsisType, slice, slice]:
    """The random window that the discriminators see; the same in all processes."""
    side = min(config.discriminator_window or size, size)
    random = np.random.default_rng((config.seed, _WINDOW, step, part))
    top, left = (int(start) for start in random.integers(size - side + 1, size=2))
    return ..., slice(top, top + side), slice(left, left + side)


def _scores(maps: list[list[Tensor]]) -> list[Tensor]:
    """The raw scores of each scale."""
    return [layers[-1].float() for layers in maps]


def _features(maps: list[list[Tensor]]) -> list[list[Tensor]]:
    """The inner features of each scale."""
    return [[layer.float() for layer in layers[:-1]] for layers in maps]


def _update_generator(state: State, factor: float, processes: Processes) -> float:
    """Step the generator; return its gradient's norm before clipping."""
    optimizer, limit = state.generator_optimizer, state.config.optimizer.gradient_clip
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    processes.mean(p.grad for p in parameters if p.grad is not None)
    state.scaler.unscale_(optimizer)
    norm = torch.nn.utils.clip_grad_norm_(parameters, limit if limit is not None else float("inf"))
    value = float(norm)
    if not np.isfinite(value) and not state.scaler.is_enabled():  # a scaler passes over such a step by itself
        raise NotFiniteError(f"the generator's gradient is {value}")
    state.scaler.step(optimizer)
    return value


def _update_discriminator(state: State, factor: float, processes: Processes) -> None:
    optimizer = state.discriminator_optimizer
    assert optimizer is not None
    for group in optimizer.param_groups:
        group["lr"] = state.config.optimizer.discriminator_learning_rate * factor
    processes.mean(p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None)
    state.scaler.step(optimizer)


def _refuse_not_finite(terms: dict[str, float]) -> None:
    bad = [f"'{name}' is {value}" for name, value in terms.items() if not np.isfinite(value)]
    if bad:
        raise NotFiniteError(", ".join(bad))


_PATIENCE = timedelta(hours=2)


@dataclass(frozen=True)
class Processes:
    """Which process this is, of how many, and where it computes."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def mean(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, in place."""
        if self.count == 1:
            return
        tensors = list(tensors)
        pending = [dist.all_reduce(tensor, async_op=True) for tensor in tensors]
        for tensor, work in zip(tensors, pending, strict=True):
            work.wait()
            tensor.div_(self.count)

    def agree(self, values: Sequence[float]) -> list[float]:
        """The largest of each number over the processes, so that all decide alike."""
        if self.count == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return [float(value) for value in tensor]

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def joined(device: torch.device, *, distributed: bool) -> Generator[Processes]:
    """Join the processes that `torchrun` started, and leave them at the end.

    Args:
        device: Where a single process computes; of several, each takes its own GPU if this is one.
        distributed: Whether `torchrun` started this process, with its variables in the environment.

    Yields:
        Which process this is.
    """
    if not distributed:
        yield Processes(0, 1, device)
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE)  # the first process judges and writes while the others wait
    try:
        if device.type == "cuda":
            device = torch.device("cuda", dist.get_node_local_rank(0))
            torch.cuda.set_device(device)
        yield Processes(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
