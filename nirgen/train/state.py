"""State of a run, as a checkpoint holds it: networks, VGG19 loss, optimizers, EMA, counters.

The VGG19 term follows github.com/Yonsei-STL/pix2next at c95c865, after pix2pixHD (CVPR 2018).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from nirgen.devices import choose_training_precision
from nirgen.errors import ConfigError, ModelError, first_line, one_line
from nirgen.models.catalog import find_model
from nirgen.models.checkpoint import build, load
from nirgen.models.discriminator import MultiScaleDiscriminator
from nirgen.models.weights import read_foreign

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.models.generator import Pix2Next
    from nirgen.train.config import OptimizerConfig, PerceptualConfig, TrainConfig


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
    """State of a generator's training.

    Raises:
        ConfigError: The networks can't run as configured, or the start is of another architecture.
        ModelError: Initial weights are missing or can't be read.
    """

    counters = ("step", "position", "minutes", "best", "best_step")

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.generator, self.start_header = _first_generator(config)  # an empty header if it starts from no model
        if config.compute.gradient_checkpointing:
            self.generator.checkpoint_gradients()
        self.discriminator = MultiScaleDiscriminator(config.discriminator) if config.adversarial else None
        self.perceptual = PerceptualLoss(config.losses.perceptual) if config.losses.perceptual.weight else None
        if config.initialization == "normal" and config.start_from is None:
            _initialize_normal(self.generator)
        if config.initialization == "normal" and self.discriminator is not None:
            _initialize_normal(self.discriminator)
        layout = torch.channels_last if config.compute.channels_last else torch.contiguous_format
        for network in (self.generator, self.discriminator, self.perceptual):
            if network is not None:
                network.to(device, memory_format=layout)  # type: ignore[call-overload]
        if config.optimizer.freeze_extractor and self.generator.extractor is not None:
            self.generator.extractor.requires_grad_(False)
        self.precision = choose_training_precision(config.compute.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        self.average = AveragedModel(self.generator, multi_avg_fn=moving_average(config.optimizer.ema_decay))
        self.generator_optimizer = _generator_optimizer(config.optimizer, self.generator)
        parts = {
            "generator": self.generator,
            "average": self.average,
            "generator_optimizer": self.generator_optimizer,
            "scaler": self.scaler,
        }
        self.discriminator_optimizer = None
        if self.discriminator is not None:
            self.discriminator_optimizer = torch.optim.Adam(
                self.discriminator.parameters(),
                lr=config.optimizer.discriminator_learning_rate,
                betas=config.optimizer.discriminator_betas,
            )
            parts |= {"discriminator": self.discriminator, "discriminator_optimizer": self.discriminator_optimizer}
        super().__init__(device, parts)
        self.position = 0  # number of the first draw that was not taken yet
        self.best, self.best_step = -math.inf, 0  # highest PSNR of a validation, in dB, and its step
        self._check_networks()

    def train(self) -> None:
        """Put the networks into training mode, except for a frozen extractor."""
        self.generator.train()
        if self.config.optimizer.freeze_extractor and self.generator.extractor is not None:
            self.generator.extractor.eval()
        if self.discriminator is not None:
            self.discriminator.train()

    @torch.no_grad()
    def _check_networks(self) -> None:
        """Run the networks once on small inputs, so that a mismatch fails before anything is written."""
        config = self.config
        try:
            side = math.lcm(self.generator.stride, 32)
            self.generator.eval()(torch.zeros(1, 3, side, side, device=self.device))
            if self.discriminator is not None:
                side = min(stage.size for stage in config.stages if stage.adversarial)
                side = min(side, config.discriminator_window or side)
                channels = config.discriminator.in_channels
                self.discriminator.eval()(torch.zeros(1, channels, side, side, device=self.device))
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"the networks can't run as configured ({first_line(error)}); change 'generator', 'discriminator' or "
                "'discriminator_window'"
            ) from error
        self.train()


def moving_average(decay: float) -> Callable[[_Tensors, _Tensors, Tensor | int], None]:
    """Return the update of an exponential moving average whose decay after n steps is at most (1 + n) / (10 + n).

    With the full decay from the start, a short run would ship a model that is mostly its first weights.
    """

    @torch.no_grad()
    def update(averages: _Tensors, current: _Tensors, steps: Tensor | int) -> None:
        n = int(steps)
        torch._foreach_lerp_(averages, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update


def _first_generator(config: TrainConfig) -> tuple[Pix2Next, dict[str, Any]]:
    if config.start_from is None:
        return build(config.generator, load_weights=True), {}
    path = find_model(config.start_from)
    generator, header = load(path)
    if generator.config != config.generator:
        raise ConfigError(f"{path}: another architecture than 'generator' says; start from a model of the same one")
    return generator, header


def _initialize_normal(network: nn.Module) -> None:
    """Draw the weights of all convolutions from normal(0, 0.02), as the released code does."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)


def _generator_optimizer(config: OptimizerConfig, generator: Pix2Next) -> torch.optim.Optimizer:
    """Return the optimizer, with the extractor's parameters in a group of their own and no frozen ones."""
    own, extractor = list[nn.Parameter](), list[nn.Parameter]()
    for name, parameter in generator.named_parameters():
        if parameter.requires_grad:
            (extractor if name.startswith("extractor.") else own).append(parameter)
    rates = (config.learning_rate, config.extractor_learning_rate or config.learning_rate)
    groups = [
        {"params": parameters, "lr": rate, "base_lr": rate}
        for parameters, rate in zip((own, extractor), rates, strict=True)
        if parameters
    ]
    kind = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
    return kind(groups, betas=config.betas, weight_decay=config.weight_decay)


_ENDS = (2, 7, 12, 21, 30)  # after the first activation of each of the five blocks
_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)


class PerceptualLoss(nn.Module):
    """Weighted mean absolute difference of VGG19's features at five depths, with larger weights for deeper ones.

    Images go in as they are, in [-1, 1], without ImageNet's normalisation, as in pix2pixHD and the released code.
    """

    def __init__(self, config: PerceptualConfig) -> None:
        from torchvision.models import vgg19

        super().__init__()
        self.config = config
        network = vgg19(weights=None)
        network.load_state_dict(_vgg19_weights(config.weights, network))
        layers = list(network.features)[: _ENDS[-1]]
        starts = (0, *_ENDS[:-1])
        self.slices = nn.ModuleList(nn.Sequential(*layers[start:end]) for start, end in zip(starts, _ENDS, strict=True))
        self.requires_grad_(False)

    def forward(self, rgb: Tensor, nir: Tensor, generated: Tensor) -> Tensor:
        """Return the loss of a batch, a scalar; RGB is (N, 3, H, W), real and generated NIR have 1 or 3 channels."""
        x = generated.expand(-1, 3, -1, -1)
        y = rgb if self.config.target == "rgb" else nir.expand(-1, 3, -1, -1)
        if not self.config.teaches:
            x = x.detach()
        terms = []
        for weight, features in zip(_WEIGHTS, self.slices, strict=True):
            x, y = features(x), features(y)
            terms.append(weight * (x - y).abs().mean())
        return torch.stack(terms).sum()


def _vgg19_weights(file: str | None, network: nn.Module) -> dict[str, Tensor]:
    """Read VGG19's weights from a file, or from torch's cache, which is filled where there is a network."""
    if file is None:
        from torchvision.models import VGG19_Weights

        options: dict[str, Any] = {"map_location": "cpu", "progress": False, "check_hash": True, "weights_only": True}
        try:
            return torch.hub.load_state_dict_from_url(VGG19_Weights.IMAGENET1K_V1.url, **options)
        except (OSError, RuntimeError) as error:
            raise ModelError(
                f"VGG19's weights are not in torch's cache and can't be fetched ({one_line(error)}); name a file of "
                "them (losses.perceptual.weights) or switch the term off (losses.perceptual.weight: 0)"
            ) from None
    state = read_foreign(Path(file))
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if {name: tensor.shape for name, tensor in state.items()} != expected:
        raise ModelError(f"{file}: not the weights of torchvision's VGG19; name a file of them")
    return state
