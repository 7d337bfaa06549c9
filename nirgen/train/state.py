"""State of a run, as a checkpoint holds it: networks, optimizers, EMA, counters."""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from nirgen.devices import choose_training_precision
from nirgen.errors import ConfigError, first_line, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from nirgen.models.network import Generator
    from nirgen.train.config import OptimizerConfig, TrainConfig
    from nirgen.train.networks import Networks


_Tensors = tuple[Tensor, ...] | list[Tensor]


class NotFiniteError(ArithmeticError):
    """A loss term or a gradient is NaN or infinite."""


class BaseState:
    """Networks, optimizers and counters of a run, as a checkpoint holds them.

    `parts` has a `state_dict` each. Random numbers need no entry: they follow from the seed and the counters.
    """

    counters: ClassVar[tuple[str, ...]]  # names of the numbers that the checkpoint holds beside the parts

    def __init__(self, device: torch.device, parts: dict[str, Any]) -> None:
        self.device, self.parts = device, parts
        self.step = 0  # optimizer steps done
        self.minutes = 0.0  # over all sittings

    def dump(self) -> dict[str, Any]:
        """Return tensors and plain values by name."""
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        return parts | {name: getattr(self, name) for name in self.counters}

    def restore(self, values: dict[str, Any], where: object) -> None:
        """Load what `dump` returned; learning rates and other optimizer settings stay as configured.

        Raises:
            ConfigError: The values, read from `where`, are of other networks.
        """
        try:
            for name, part in self.parts.items():
                if name == "scaler" and not values[name]:  # of a run in another precision
                    continue
                groups = getattr(part, "param_groups", [])
                configured = [{key: value for key, value in group.items() if key != "params"} for group in groups]
                part.load_state_dict(values[name])
                for group, settings in zip(getattr(part, "param_groups", []), configured, strict=True):
                    group.update(settings)
            for name in self.counters:
                setattr(self, name, values[name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"{where}: of other networks than configured ({one_line(error, 200)}); name a new folder"
            ) from None


class State(BaseState):
    """State of a generator's training; ConfigError if its networks, which it moves to `device`, can't run together."""

    counters = ("step", "position", "minutes", "best", "best_step")

    def __init__(self, config: TrainConfig, networks: Networks, device: torch.device) -> None:
        self.config = config
        self.generator, self.start_header = networks.generator, networks.start_header
        self.reverse = networks.reverse
        self.generators = [network for network in (networks.generator, networks.reverse) if network is not None]
        self.discriminator, self.perceptual = networks.discriminator, networks.perceptual
        self.features = networks.features
        if config.compute.gradient_checkpointing:
            for generator in self.generators:
                generator.checkpoint_gradients()
        layout = torch.channels_last if config.compute.channels_last else torch.contiguous_format
        for network in (*self.generators, self.discriminator, self.perceptual, self.features):
            if network is not None:
                network.to(device, memory_format=layout)  # type: ignore[call-overload]
        for generator in self.generators:
            if config.optimizer.freeze_extractor and generator.extractor is not None:
                generator.extractor.requires_grad_(False)
        self.precision = choose_training_precision(config.compute.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        self.average = AveragedModel(self.generator, multi_avg_fn=moving_average(config.optimizer.ema_decay))
        self.generator_optimizer = _generator_optimizer(config.optimizer, self.generators)
        parts = ["generator", "average", "generator_optimizer", "scaler"]
        self.discriminator_optimizer = None
        if self.discriminator is not None:
            self.discriminator_optimizer = torch.optim.Adam(
                self.discriminator.parameters(),
                lr=config.optimizer.discriminator_learning_rate,
                betas=config.optimizer.discriminator_betas,
                weight_decay=config.optimizer.discriminator_weight_decay,
            )
            parts += ["discriminator", "discriminator_optimizer"]
        if self.reverse is not None:
            parts += ["reverse", "nir_pool", "rgb_pool"]
        self.nir_pool, self.rgb_pool = (ImagePool(config.losses.cycle.pool) for _ in range(2))
        super().__init__(device, {name: getattr(self, name) for name in parts})
        self.position = 0  # number of the first draw that was not taken yet
        self.best, self.best_step = -math.inf, 0  # highest PSNR of a validation, in dB, and its step
        self._check_networks()

    def train(self) -> None:
        """Put the networks into training mode, except for a frozen extractor or its frozen BatchNorm."""
        for generator in self.generators:
            generator.train()
            if generator.extractor is not None:
                if self.config.optimizer.freeze_extractor:
                    generator.extractor.eval()
                elif self.config.optimizer.freeze_extractor_norm:
                    for module in generator.extractor.modules():
                        if isinstance(module, nn.BatchNorm2d):
                            module.eval()
        if self.discriminator is not None:
            self.discriminator.train()

    @torch.no_grad()
    def _check_networks(self) -> None:
        """Run the networks once on small inputs, so that a mismatch fails before anything is written."""
        config = self.config
        try:
            side = math.lcm(self.generator.config.least_side, 32)
            self.generator.eval().once(torch.zeros(1, 3, side, side, device=self.device))
            if self.discriminator is not None:
                side = min(stage.size for stage in config.stages if stage.adversarial)
                side = min(side, config.discriminator_window or side)
                channels = config.discriminator.in_channels
                judge = self.discriminator  # or one of two that are alike
                judge = judge["nir"] if isinstance(judge, nn.ModuleDict) else judge
                judge.eval()(torch.zeros(1, channels, side, side, device=self.device))
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"the networks can't run as configured ({first_line(error)}); change 'generator', 'discriminator' or "
                "'discriminator_window'"
            ) from error
        self.train()


class ImagePool:
    """Earlier outputs of a generator, at most `size` of them, for its discriminator (Shrivastava et al., CVPR 2017)."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []  # (C, H, W) each

    def exchange(self, images: Tensor, random: np.random.Generator) -> Tensor:
        """Return (N, C, H, W), detached, with about half of the images exchanged for earlier ones, once it is full."""
        chosen = []
        for image in images.detach().contiguous():
            if self.images and self.images[0].shape != image.shape:  # another stage began
                self.images.clear()
            if len(self.images) < self.size:
                self.images.append(image.clone())
                chosen.append(image)
            elif not self.images or random.random() < 0.5:
                chosen.append(image)
            else:
                place = int(random.integers(len(self.images)))
                chosen.append(self.images[place].to(image.device))
                self.images[place] = image.clone()
        return torch.stack(chosen)

    def state_dict(self) -> dict[str, list[Tensor]]:
        """Return the images, as a checkpoint holds them."""
        return {"images": list(self.images)}

    def load_state_dict(self, values: dict[str, list[Tensor]]) -> None:
        """Take the images of a checkpoint."""
        self.images = list(values["images"])


def moving_average(decay: float) -> Callable[[_Tensors, _Tensors, Tensor | int], None]:
    """Return the update of an exponential moving average whose decay after n steps is at most (1 + n) / (10 + n).

    With the full decay from the start, a short run would ship a model that is mostly its first weights.
    """

    @torch.no_grad()
    def update(averages: _Tensors, current: _Tensors, steps: Tensor | int) -> None:
        n = int(steps)
        torch._foreach_lerp_(averages, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update


def _generator_optimizer(config: OptimizerConfig, generators: list[Generator]) -> torch.optim.Optimizer:
    """Return the optimizer, with the extractors' parameters in a group of their own and no frozen ones."""
    own, extractor = list[nn.Parameter](), list[nn.Parameter]()
    for name, parameter in chain.from_iterable(generator.named_parameters() for generator in generators):
        if parameter.requires_grad:
            (extractor if name.startswith("extractor.") else own).append(parameter)
    rates = (config.learning_rate, config.extractor_learning_rate or config.learning_rate)
    groups = [{"params": p, "lr": rate, "base_lr": rate} for p, rate in zip((own, extractor), rates, strict=True) if p]
    kind = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
    return kind(groups, betas=config.betas, weight_decay=config.weight_decay)
