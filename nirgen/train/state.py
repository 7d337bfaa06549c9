"""State of a run, as a checkpoint holds it: networks, VGG19 loss, optimizers, EMA, counters.

The VGG19 term follows github.com/Yonsei-STL/pix2next at c95c865, after pix2pixHD (CVPR 2018).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torchvision.models import VGG19_Weights, vgg19

from nirgen.errors import ConfigError, ModelError
from nirgen.models.catalog import find_model
from nirgen.models.checkpoint import build, load
from nirgen.models.discriminator import MultiScaleDiscriminator
from nirgen.models.weights import read_foreign

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.models.generator import Pix2Next
    from nirgen.train.config import PerceptualConfig, TrainConfig


_Tensors = tuple[Tensor, ...] | list[Tensor]
_COUNTERS = ("step", "position", "minutes", "best", "best_step")


class State:
    """Networks, optimizers, scaler and counters of a run.

    Args:
        config: The run.
        device: Where the networks are.

    Attributes:
        generator: What is trained.
        average: The moving average of its weights, which is evaluated and shipped.
        discriminator: None where no loss needs it.
        perceptual: None where its weight is 0; it holds nothing that is learned.
        start_header: Header of the model that the run started from, or empty.
        step: Optimizer steps done.
        position: Number of the first draw that was not taken yet.
        minutes: Time spent, over all sittings.
        best: Highest PSNR of a validation, in dB, or minus infinity; and at which step.

    Raises:
        ConfigError: The networks can't run as configured, or the start is of another architecture.
        ModelError: Weights to start from can't be had.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.device = device
        self.generator, self.start_header = _first_generator(config)
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
        self._rehearse()
        self.average = AveragedModel(self.generator, multi_avg_fn=moving_average(config.optimizer.ema_decay))
        self.generator_optimizer = _optimizer(config, self.generator)
        self.discriminator_optimizer = None
        if self.discriminator is not None:
            self.discriminator_optimizer = torch.optim.Adam(
                self.discriminator.parameters(),
                lr=config.optimizer.discriminator_learning_rate,
                betas=config.optimizer.discriminator_betas,
            )
        self.precision = _precision(config.compute.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision is torch.float16)
        self.step = self.position = 0
        self.minutes = 0.0
        self.best, self.best_step = -math.inf, 0

    def train(self) -> None:
        """Put the networks into training mode, but for a frozen extractor."""
        self.generator.train()
        if self.config.optimizer.freeze_extractor and self.generator.extractor is not None:
            self.generator.extractor.eval()
        if self.discriminator is not None:
            self.discriminator.train()

    def dump(self) -> dict[str, Any]:
        """Tensors and plain values by name; random numbers need no entry, for they follow from seed and counters."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return parts | {name: getattr(self, name) for name in _COUNTERS}

    def restore(self, values: dict[str, Any]) -> None:
        """Take over what `dump` gave, of a run with the same networks; rates and the like stay as configured."""
        for name, part in self._parts().items():
            if name == "scaler" and not values[name]:  # of a run that needed none
                continue
            groups = getattr(part, "param_groups", [])
            configured = [{key: value for key, value in group.items() if key != "params"} for group in groups]
            part.load_state_dict(values[name])
            for group, settings in zip(getattr(part, "param_groups", []), configured, strict=True):
                group.update(settings)
        for name in _COUNTERS:
            setattr(self, name, values[name])

    def _parts(self) -> dict[str, Any]:
        parts = {
            "generator": self.generator,
            "average": self.average,
            "generator_optimizer": self.generator_optimizer,
            "scaler": self.scaler,
        }
        if self.discriminator is not None:
            parts |= {
                "discriminator": self.discriminator,
                "discriminator_optimizer": self.discriminator_optimizer,
            }
        return parts

    @torch.no_grad()
    def _rehearse(self) -> None:
        """Run the networks once on next to nothing, so that what doesn't fit fails before anything is written."""
        config = self.config
        try:
            side = math.lcm(self.generator.stride, 32)
            self.generator.eval()(torch.zeros(1, 3, side, side, device=self.device))
            if self.discriminator is not None:
                side = min(stage.size for stage in config.stages if stage.adversarial)
                side = min(side, config.discriminator_window or side)
                self.discriminator.eval()(
                    torch.zeros(1, config.discriminator.in_channels, side, side, device=self.device)
                )
        except (RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise ConfigError(
                f"the networks can't run as configured ({reason}); change 'generator', 'discriminator' or "
                "'discriminator_window'"
            ) from error
        self.train()


def moving_average(decay: float) -> Callable[[_Tensors, _Tensors, Tensor | int], None]:
    """An exponential moving average that is quick at first: after n steps its decay is at most (1 + n) / (10 + n).

    Without that, a short run would ship a model that is mostly its first weights.
    """

    @torch.no_grad()
    def update(averages: _Tensors, current: _Tensors, steps: Tensor | int) -> None:
        n = int(steps)
        torch._foreach_lerp_(averages, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update


def _first_generator(config: TrainConfig) -> tuple[Pix2Next, dict[str, Any]]:
    """A fresh generator and an empty header, or the generator that the run starts from and its header.

    Raises:
        ConfigError: That one is of another architecture.
    """
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


def _optimizer(config: TrainConfig, generator: Pix2Next) -> torch.optim.Optimizer:
    """The generator's, with the extractor's parameters in a group of their own; frozen ones in none."""
    settings = config.optimizer
    groups: dict[str, list[nn.Parameter]] = {"generator": [], "extractor": []}
    for name, parameter in generator.named_parameters():
        if parameter.requires_grad:
            groups["extractor" if name.startswith("extractor.") else "generator"].append(parameter)
    rates = {"generator": settings.learning_rate, "extractor": settings.extractor_learning_rate}
    kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
    return kind(
        [
            {"params": parameters, "lr": (rate := rates[name] or settings.learning_rate), "base_lr": rate}
            for name, parameters in groups.items()
            if parameters
        ],
        betas=settings.betas,
        weight_decay=settings.weight_decay,
    )


def _precision(name: str, device: torch.device) -> torch.dtype:
    """The type that autocast computes in."""
    if name == "auto":
        return torch.bfloat16 if _has_bf16(device) else torch.float32
    return {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def _has_bf16(device: torch.device) -> bool:
    """Whether the device computes in bf16 itself; emulated, it would be many times slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


_ENDS = (2, 7, 12, 21, 30)  # after the first activation of each of the five blocks
_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)


class PerceptualLoss(nn.Module):
    """Weighted mean absolute difference of VGG19's features at five depths, deeper ones counting more.

    Images go in as they are, in [-1, 1], without ImageNet's normalisation, as in both codes.

    Args:
        config: Which image is the target, and whether the term teaches.

    Raises:
        ModelError: The weights can't be had.
    """

    def __init__(self, config: PerceptualConfig) -> None:
        super().__init__()
        self.config = config
        network = vgg19(weights=None)
        network.load_state_dict(_weights(config.weights, network))
        layers = list(network.features)[: _ENDS[-1]]
        starts = (0, *_ENDS[:-1])
        self.slices = nn.ModuleList(nn.Sequential(*layers[start:end]) for start, end in zip(starts, _ENDS, strict=True))
        self.requires_grad_(False)

    def forward(self, rgb: Tensor, nir: Tensor, generated: Tensor) -> Tensor:
        """The loss of a batch.

        Args:
            rgb: (N, 3, H, W) in [-1, 1].
            nir: (N, C, H, W) in [-1, 1]; C is 1 or 3.
            generated: The same.

        Returns:
            A scalar.
        """
        target = rgb if self.config.target == "rgb" else nir.expand(-1, 3, -1, -1)
        x, y = generated.expand(-1, 3, -1, -1), target
        if not self.config.teaches:
            x = x.detach()
        terms = []
        for weight, features in zip(_WEIGHTS, self.slices, strict=True):
            x, y = features(x), features(y)
            terms.append(weight * (x - y).abs().mean())
        return torch.stack(terms).sum()


def _weights(file: str | None, network: nn.Module) -> dict[str, Tensor]:
    """VGG19's weights out of a file, or out of torch's cache, which is filled where there is a network."""
    if file is None:
        try:
            url = VGG19_Weights.IMAGENET1K_V1.url
            state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
                url, map_location="cpu", progress=False, check_hash=True, weights_only=True
            )
        except (OSError, RuntimeError) as error:
            raise ModelError(
                f"VGG19's weights are not in torch's cache and can't be fetched ({_line(error)}); name a file of them "
                "(losses.perceptual.weights) or switch the term off (losses.perceptual.weight: 0)"
            ) from None
        return state
    state = read_foreign(Path(file))
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if {name: tensor.shape for name, tensor in state.items()} != expected:
        raise ModelError(f"{file}: not the weights of torchvision's VGG19; name a file of them")
    return state


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
