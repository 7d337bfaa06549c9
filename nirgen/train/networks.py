"""Networks of a run with their first weights: generator, discriminators, VGG19 loss.

The VGG19 term follows github.com/Yonsei-STL/pix2next at c95c865, after pix2pixHD (CVPR 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nirgen.errors import ConfigError, ModelError, one_line
from nirgen.models.catalog import find_model
from nirgen.models.checkpoint import build, load
from nirgen.models.config import GeneratorConfig
from nirgen.models.discriminator import MultiScaleDiscriminator
from nirgen.models.extractors import build_extractor
from nirgen.models.weights import read_foreign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nirgen.models.config import AnyGeneratorConfig
    from nirgen.models.network import Generator
    from nirgen.train.config import PerceptualConfig, TrainConfig


@dataclass(frozen=True)
class Networks:
    """Networks of a run, on the CPU until its `State` moves them."""

    generator: Generator
    start_header: dict[str, Any]  # of the model that the generator starts from; empty if from none
    reverse: Generator | None  # from NIR to RGB, of methods without pairs
    discriminator: nn.Module | None  # a `MultiScaleDiscriminator`, or without pairs one for `nir` and one for `rgb`
    perceptual: PerceptualLoss | ContentLoss | None
    features: FeatureLoss | None


def build_networks(config: TrainConfig) -> Networks:
    """Build the networks; the configured seed decides their random weights.

    Raises:
        ConfigError: The model to start from is of another architecture.
        ModelError: Initial weights are missing or can't be read.
    """
    torch.manual_seed(config.seed)
    if config.start_from is None:
        generator, header = build(config.generator, load_weights=True), dict[str, Any]()
    else:
        path = find_model(config.start_from)
        generator, header = load(path)
        if generator.config.without_initial_weights() != config.generator.without_initial_weights():
            raise ConfigError(
                f"{path}: another architecture than 'generator' says; start from a model of the same one, or from none "
                "(start_from: null)"
            )
    reverse = build(config.generator, load_weights=True) if config.unpaired else None
    discriminator = _build_discriminator(config) if config.adversarial else None
    perceptual: PerceptualLoss | ContentLoss | None = None
    if config.losses.perceptual.weight:
        perceptual = PerceptualLoss(config.losses.perceptual)
    elif config.method == "latent" and config.losses.latent.features:
        perceptual = ContentLoss(config.losses.latent.weights)
    features = FeatureLoss(config.generator) if config.losses.features else None
    if config.initialization != "torch":
        for network in (generator if config.start_from is None else None, reverse, discriminator):
            if network is not None:
                he = config.initialization == "munit" and network is not discriminator
                _initialize(network, config.initialization, he=he)
    return Networks(generator, header, reverse, discriminator, perceptual, features)


def _initialize(network: nn.Module, kind: str, *, he: bool) -> None:
    """Draw the weights of a network anew by a kind of `TrainConfig.initialization`, or with `he` by He et al."""
    drawn: tuple[type[nn.Module], ...] = (nn.Conv2d, nn.ConvTranspose2d)
    drawn += (nn.Linear,) if kind in {"uvcgan", "munit"} else ()
    for module in network.modules():
        if isinstance(module, drawn):
            assert isinstance(module.weight, Tensor)
            if he:
                nn.init.kaiming_normal_(module.weight)
            else:
                nn.init.normal_(module.weight, 0.0, 0.02)
            if kind != "normal" and isinstance(module.bias, Tensor):
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d) and kind != "normal":
            nn.init.normal_(module.weight, 1.0, 0.02)


def _build_discriminator(config: TrainConfig) -> nn.Module:
    if config.unpaired:
        return nn.ModuleDict({kind: MultiScaleDiscriminator(config.discriminator) for kind in ("nir", "rgb")})
    return MultiScaleDiscriminator(config.discriminator)


class FeatureLoss(nn.Module):
    """Distance of the pyramids that the extractor's frozen, initial weights see in generated and real NIR.

    At each level, the vectors of all positions are scaled to length 1, and the mean squared length of their difference
    is taken, as in LPIPS (Zhang et al., CVPR 2018) without its learned weights. It takes images in [-1, 1].

    Raises:
        ConfigError: The extractor has no pyramid.
    """

    def __init__(self, config: AnyGeneratorConfig) -> None:
        super().__init__()
        pix2next = config if isinstance(config, GeneratorConfig) else GeneratorConfig()
        wanted = pix2next.extractor
        if getattr(wanted, "features", "last") != "pyramid" or pix2next.extractor_input != "image":
            raise ConfigError("losses.features needs a timm extractor that reads the image, with features: pyramid")
        bare = wanted.model_copy(update={"widths": None})
        extractor = build_extractor(pix2next.model_copy(update={"extractor": bare}), load_weights=True)
        assert extractor is not None
        self.extractor = extractor.requires_grad_(False)

    def forward(self, nir: Tensor, generated: Tensor) -> Tensor:
        """Return the loss of a batch, a scalar; both are (N, 1 or 3, H, W)."""
        self.extractor.eval()
        with torch.no_grad():
            real = self.extractor(nir.expand(-1, 3, -1, -1))
        maps = self.extractor(generated.expand(-1, 3, -1, -1))
        terms = [(F.normalize(x) - F.normalize(y)).square().sum(dim=1).mean() for x, y in zip(maps, real, strict=True)]
        return torch.stack(terms).mean()


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


_RELU5_3 = 30  # layers up to it
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and deviation of its red, green and blue


class ContentLoss(nn.Module):
    """Mean squared difference of VGG16's deepest features (relu5_3) of an image and its translation.

    Each channel is normalised over the image before, so that what an image shows counts and not its style. Images are
    in [-1, 1] and are normalised as ImageNet's.
    """

    def __init__(self, file: str | None) -> None:
        from torchvision.models import VGG16_Weights, vgg16

        super().__init__()
        with torch.device("meta"):
            self.layers = vgg16(weights=None).features[:_RELU5_3]
        if file is None:
            places = "losses.latent.weights", "losses.latent.features"
            state = _cached(VGG16_Weights.IMAGENET1K_V1.url, "VGG16", *places)
        else:
            state = read_foreign(Path(file))
        state = {f"layers.{name[9:]}": tensor for name, tensor in state.items() if name.startswith("features.")}
        _check_weights(state, self, file or "torch's cache", "VGG16")
        self.load_state_dict(state, assign=True)
        self.requires_grad_(False)

    def forward(self, image: Tensor, translation: Tensor) -> Tensor:
        """Return the loss of a batch, a scalar; both are (N, 3, H, W), of 32 pixels a side at least."""
        mean, deviation = (image.new_tensor(values)[:, None, None] for values in _IMAGENET)
        x, y = (F.instance_norm(self.layers(((each + 1) / 2 - mean) / deviation)) for each in (image, translation))
        return F.mse_loss(x, y)


def _vgg19_weights(file: str | None, network: nn.Module) -> dict[str, Tensor]:
    """Read VGG19's weights from a file, or from torch's cache, which is filled where there is a network."""
    from torchvision.models import VGG19_Weights

    if file is None:
        return _cached(
            VGG19_Weights.IMAGENET1K_V1.url, "VGG19", "losses.perceptual.weights", "losses.perceptual.weight"
        )
    state = read_foreign(Path(file))
    _check_weights(state, network, file, "VGG19")
    return state


def _cached(url: str, name: str, place: str, switch: str) -> dict[str, Tensor]:
    """Read weights from torch's cache, which is filled where there is a network."""
    options: dict[str, Any] = {"map_location": "cpu", "progress": False, "check_hash": True, "weights_only": True}
    try:
        return torch.hub.load_state_dict_from_url(url, **options)
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f"{name}'s weights are not in torch's cache and can't be fetched ({one_line(error)}); name a file of them "
            f"({place}) or switch the term off ({switch}: 0)"
        ) from None


def _check_weights(state: Mapping[str, Tensor], network: nn.Module, file: str, name: str) -> None:
    expected = {key: tensor.shape for key, tensor in network.state_dict().items()}
    if {key: tensor.shape for key, tensor in state.items()} != expected:
        raise ModelError(f"{file}: not the weights of torchvision's {name}; name a file of them")
