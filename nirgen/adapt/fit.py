"""A fit of a generator to pairs: some of its weights, a few steps, judged on the way."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from nirgen import losses
from nirgen.devices import autocast
from nirgen.errors import ConfigError
from nirgen.models.generator import Stage
from nirgen.train.batches import Batches, Draws
from nirgen.train.config import DataConfig
from nirgen.train.state import moving_average

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nirgen.adapt.config import AdaptConfig, AdaptLossConfig, What
    from nirgen.devices import Precision
    from nirgen.models.generator import Pix2Next
    from nirgen.pairs import PairList

_LAST_STAGES = 2  # stages of residual blocks of the decoder that `last` changes
_WARMUP_STEPS = 5


def fit(
    start: Pix2Next,
    pairs: PairList,
    what: What,
    config: AdaptConfig,
    *,
    checks: Sequence[int],
    precision: Precision,
    step_done: Callable[[], None] = lambda: None,
) -> Iterator[tuple[int, Pix2Next]]:
    """Fit a copy of a generator to pairs; yield it, in evaluation mode, after each number of steps in `checks`.

    Statistics of BatchNorm stay as they are. The weights are a moving average; the yielded generator is the same
    object each time and is changed again by the next step.

    Args:
        start: Generator in evaluation mode, on the device that computes. It is not modified.
        pairs: At least one pair.
        what: Weights that change.
        config: Settings; the seed decides the crops and their order.
        checks: Rising numbers of steps; the last one ends the fit.
        precision: Precision of the network.
        step_done: Called after each step.

    Raises:
        ConfigError: The loss became NaN or infinite.
        ImageError: A pair can't be read.
    """
    device = next(start.parameters()).device
    torch.manual_seed(config.seed)
    generator = copy.deepcopy(start).eval()
    groups = trainable(generator, what, config)
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=0.0)
    parameters: list[Tensor] = [parameter for group in groups for parameter in group["params"]]
    averages = [parameter.detach().clone() for parameter in parameters]
    average = moving_average(config.ema_decay)
    rates = [group["lr"] for group in groups]
    with Batches(Draws(pairs, DataConfig(), config.crops, config.seed)) as batches:
        for step in range(1, checks[-1] + 1):
            rgb, nir, _ = batches.next(config.batch, config.size)
            rgb, nir = rgb.to(device), nir.to(device)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * min(1.0, step / _WARMUP_STEPS)
            optimizer.zero_grad(set_to_none=True)
            with autocast(precision, device):
                generated = generator(rgb)
            loss = total_loss(generated.float(), nir, config.losses)
            if not torch.isfinite(loss):
                raise ConfigError(f"the loss is {float(loss)} at step {step}; lower the learning rate")
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            average(averages, parameters, step)
            step_done()
            if step in checks:
                current = [parameter.detach().clone() for parameter in parameters]
                _assign(parameters, averages)
                yield step, generator
                if step < checks[-1]:
                    _assign(parameters, current)


@torch.no_grad()
def _assign(parameters: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


def total_loss(generated: Tensor, real: Tensor, weights: AdaptLossConfig) -> Tensor:
    """Return the weighted sum of the loss terms of (N, C, H, W) images in [-1, 1]; a scalar."""
    real = real.expand_as(generated)
    total = weights.rmse * losses.rmse_loss(generated, real)
    total = total + weights.structure * losses.structure_loss(generated, real)
    total = total + weights.ssim * (1 - losses.ssim((generated + 1) / 2, (real + 1) / 2, data_range=1.0).mean())
    return total + weights.gradients * losses.gradient_loss(generated, real)


def trainable(generator: Pix2Next, what: What, config: AdaptConfig) -> list[dict[str, Any]]:
    """Prepare a generator and return the groups of its parameters that change, each with its learning rate `lr`.

    `all`: all, the extractor's at a lower rate. `last`: those of the last two stages of the decoder and what follows
    them. `low-rank`: biases, scales of normalisations, and a product of two small matrices that is added to the
    weights of each convolution and linear layer (Hu et al., ICLR 2022); `merge` adds it for good.
    """
    rate = config.learning_rate
    generator.requires_grad_(what == "all")
    if what == "last":
        for module in last_layers(generator):
            module.requires_grad_(True)
    if what == "low-rank":
        rate = config.low_rank_learning_rate
        for name, parameter in generator.named_parameters():
            parameter.requires_grad_(parameter.ndim == 1 and not name.startswith("extractor."))
        random = torch.Generator().manual_seed(config.seed)
        for module in list(generator.modules()):
            if isinstance(module, nn.Linear | nn.Conv2d) and getattr(module, "groups", 1) == 1:
                added = LowRank(module.weight, config.rank, random)
                parametrize.register_parametrization(module, "weight", added)
    own, extractor = list[nn.Parameter](), list[nn.Parameter]()
    for name, parameter in generator.named_parameters():
        if parameter.requires_grad:
            (extractor if name.startswith("extractor.") else own).append(parameter)
    groups: list[dict[str, Any]] = [{"params": own, "lr": rate}]
    if extractor and config.extractor_share:
        groups += [{"params": extractor, "lr": rate * config.extractor_share}]
    return groups


def last_layers(generator: Pix2Next) -> list[nn.Module]:
    """Return the last two stages of the decoder that have residual blocks, and all layers behind the first of them."""
    layers = list[nn.Module]()
    stages = 0
    for block in reversed(generator.decoder):
        layers.append(block)
        stages += isinstance(block, Stage) and len(block) > 0
        if stages == _LAST_STAGES:
            break
    if generator.output_block is not None:
        layers.append(generator.output_block)
    return [*layers, generator.output]


class LowRank(nn.Module):
    """A matrix of low rank that is added to a layer's weight; zero at first."""

    def __init__(self, weight: Tensor, rank: int, random: torch.Generator) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        rank = min(rank, rows, columns)
        self.down = nn.Parameter(torch.randn(rank, columns, generator=random).to(weight.device) / columns**0.5)
        self.up = nn.Parameter(torch.zeros(rows, rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        """(rows, ...) -> the same shape."""
        return weight + (self.up @ self.down).view_as(weight)


def merge(generator: Pix2Next) -> Pix2Next:
    """Bring a generator whose fit has ended into its plain architecture, in place, and return it."""
    for module in list(generator.modules()):
        if isinstance(module, nn.Linear | nn.Conv2d) and parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return generator.requires_grad_(False)
