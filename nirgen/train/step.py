"""One training step: losses, backward, gradients averaged over processes, both optimizers, the EMA."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F

from nirgen import losses
from nirgen.devices import autocast
from nirgen.errors import ImageError
from nirgen.train.state import NotFiniteError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from types import EllipsisType

    from torch import Tensor

    from nirgen.train.batches import Batches
    from nirgen.train.config import LossConfig, Stage
    from nirgen.train.state import State


_WINDOW = 3  # random stream of the discriminators' windows; those of the pairs and the crops are in batches


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
    sums: dict[str, Tensor] = {}
    skipped: list[str] = []
    for part, (rgb, nir, lines) in enumerate(_batches(batches, stage, config.optimizer.accumulate, processes)):
        skipped += lines
        for name, term in _backward(state, stage, (rgb, nir, part), factor, processes).items():
            sums[name] = sums.get(name, torch.zeros_like(term)) + term / config.optimizer.accumulate
    processes.mean(sums.values())
    terms = {name: float(value) for name, value in sums.items()}
    _check_finite(terms)

    # update weights
    terms["gradient"] = _update_generator(state, factor, processes)
    if "discriminator" in terms and not config.optimizer.discriminator_first:
        _update_discriminator(state, factor, processes)
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


def _backward(
    state: State, stage: Stage, batch: tuple[Tensor, Tensor, int], factor: float, processes: Processes
) -> dict[str, Tensor]:
    """Accumulate the gradients of both networks over a batch; return its loss terms, detached."""
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
        _accumulate(state, loss)
        reported["discriminator"] = loss.detach()
        if state.config.optimizer.discriminator_first:
            processes.mean([mean := loss.detach().clone()])
            _check_finite({"discriminator": float(mean)})
            _update_discriminator(state, factor, processes)

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
        _accumulate(state, torch.stack(list(terms.values())).sum())
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


def _accumulate(state: State, loss: Tensor) -> None:
    """Add the gradients of a loss, scaled for half precision."""
    if loss.requires_grad:
        state.scaler.scale(loss / state.config.optimizer.accumulate).backward()


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


def _update_generator(state: State, factor: float, processes: Processes) -> float:
    """Step the generator; return the norm of its gradient before clipping."""
    optimizer, limit = state.generator_optimizer, state.config.optimizer.gradient_clip
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    processes.mean(p.grad for p in parameters if p.grad is not None)
    state.scaler.unscale_(optimizer)
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, limit if limit is not None else float("inf")))
    if not state.scaler.is_enabled():  # an enabled scaler skips such a step itself
        _check_finite({"gradient": norm})
    state.scaler.step(optimizer)
    return norm


def _update_discriminator(state: State, factor: float, processes: Processes) -> None:
    optimizer = state.discriminator_optimizer
    assert optimizer is not None
    for group in optimizer.param_groups:
        group["lr"] = state.config.optimizer.discriminator_learning_rate * factor
    processes.mean(p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None)
    state.scaler.step(optimizer)


def _check_finite(terms: dict[str, float]) -> None:
    bad = [f"'{name}' is {value}" for name, value in terms.items() if not np.isfinite(value)]
    if bad:
        raise NotFiniteError(", ".join(bad))


_TIMEOUT = timedelta(hours=2)  # the first process validates and writes while the others wait


@dataclass(frozen=True)
class Processes:
    """The processes that train together."""

    rank: int  # of this one
    count: int
    device: torch.device  # of this one

    @property
    def first(self) -> bool:
        """True in the process that writes."""
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
        """Return the maximum of each number over the processes."""
        if self.count == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return [float(value) for value in tensor]

    def wait(self) -> None:
        """Wait until all processes arrive."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def joined(device: torch.device, *, distributed: bool) -> Generator[Processes]:
    """Join the process group of `torchrun`, if it started this process; each process of several takes its own GPU."""
    if not distributed:
        yield Processes(0, 1, device)
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
    try:
        if device.type == "cuda":
            device = torch.device("cuda", dist.get_node_local_rank(0))
            torch.cuda.set_device(device)
        yield Processes(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
