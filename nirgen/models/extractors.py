"""Feature extractors: InternImage, any backbone of timm, the authors' Swin or ViT, or none (Section 3.1.1, Table 4)."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nirgen.errors import ModelError, first_line, nearest
from nirgen.models.catalog import read_extractor_config
from nirgen.models.config import InternImageConfig, NoExtractorConfig, SwinConfig, TimmConfig, ViTConfig
from nirgen.models.internimage import InternImage
from nirgen.models.swin import SwinTransformer
from nirgen.models.vit import VisionTransformer
from nirgen.models.weights import read_foreign

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nirgen.models.config import GeneratorConfig


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Options that make timm's families accept any size, tried in turn; a family raises TypeError for an unknown one.
_ANY_SIZE: tuple[dict[str, Any], ...] = (
    {"dynamic_img_size": True, "dynamic_img_pad": True},  # ViT and the like
    {"strict_img_size": False},  # Swin
    {},  # convolutional
)


class Extractor(Protocol):
    """Backbone of the generator: an `nn.Module` with these attributes."""

    condition_channels: int  # of the last map
    stride: int
    pyramid: dict[int, int]  # channels of the maps for the encoder by their stride; empty if there are none

    def __call__(self, x: Tensor) -> list[Tensor]: ...  # noqa: D102 - (N, C, H, W), divisible by `stride` -> maps
    def requires_grad_(self, requires_grad: bool) -> nn.Module: ...  # noqa: D102 - nn.Module's
    def eval(self) -> nn.Module: ...  # noqa: D102 - nn.Module's
    def modules(self) -> Iterator[nn.Module]: ...  # noqa: D102 - nn.Module's


class Normalized(nn.Module):
    """A backbone behind the normalisation of its training: mean and deviation of each channel of sRGB in [0, 1]."""

    def __init__(self, backbone: Extractor, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.backbone = backbone
        self.condition_channels, self.stride = backbone.condition_channels, backbone.stride
        self.pyramid = backbone.pyramid
        self.mean: Tensor
        self.std: Tensor
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(1, -1, 1, 1), persistent=False)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [-1, 1] -> the backbone's maps."""
        return self.backbone(((rgb + 1) / 2 - self.mean) / self.std)


class TimmExtractor(nn.Module):
    """The feature maps of a timm backbone, at any size: the last one, or one a stride.

    Raises:
        ModelError: timm doesn't know the name, the backbone gives no feature maps, or its weights can't be read; or a
            pyramid is wanted of a backbone of a fixed input size, or with another number of widths than its maps.
    """

    def __init__(self, config: TimmConfig, *, load_weights: bool) -> None:
        super().__init__()
        self.backbone, self.fixed_size = _create(config, load_weights=load_weights)
        channels: list[int] = self.backbone.feature_info.channels()  # type: ignore[operator, union-attr]
        strides: list[int] = self.backbone.feature_info.reduction()  # type: ignore[operator, union-attr]
        self.projections = nn.ModuleList()
        if config.widths is not None:
            if len(config.widths) != len(channels):
                raise ModelError(
                    f"extractor '{config.name}': {len(config.widths)} widths for {len(channels)} maps, of strides "
                    f"{', '.join(map(str, strides))}; give one a map"
                )
            self.projections += [nn.Conv2d(*sizes, 1) for sizes in zip(channels, config.widths, strict=True)]
            channels = list(config.widths)
        self.condition_channels = channels[-1]
        self.pyramid = dict(zip(strides, channels, strict=True)) if config.features == "pyramid" else {}
        if self.pyramid and self.fixed_size is not None:
            raise ModelError(f"extractor '{config.name}': no pyramid, since its input has a fixed size; use 'last'")
        self.stride = max(self.pyramid, default=1)  # for the last map alone, backbones pad, or their input is resized
        self.channels_last = getattr(self.backbone, "output_fmt", None) == "NHWC"

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, in_channels, H, W) -> maps (N, C, h, w), finest first, the last with `condition_channels`."""
        if self.fixed_size is not None:
            x = F.interpolate(x, size=self.fixed_size, mode="bilinear", antialias=True)
        maps: list[Tensor] = self.backbone(x)
        if self.channels_last:
            maps = [features.permute(0, 3, 1, 2) for features in maps]
        if self.projections:
            maps = [project(features) for project, features in zip(self.projections, maps, strict=True)]
        return maps


def _create(config: TimmConfig, *, load_weights: bool) -> tuple[nn.Module, tuple[int, int] | None]:
    """Build a backbone; the size, (height, width), is that of the input if the family can't take any."""
    import timm

    if not timm.is_model(config.name.split(".")[0]):
        hint = nearest(config.name, timm.list_models())
        raise ModelError(f"extractor '{config.name}': timm has no such backbone{hint} (timm.list_models() gives all)")
    options: dict[str, Any] = {"features_only": True, "in_chans": config.in_channels}
    if config.features == "last":
        options["out_indices"] = (-1,)
    remedy = "choose a backbone that timm can build with features_only=True"
    if config.weights is not None:
        remedy = f"give weights of the same backbone (these are from {config.weights})"
    elif config.pretrained:
        remedy = "give a file of its weights (weights: FILE), or fill timm's cache where there is a network"
    if load_weights and config.weights is not None:
        options |= _from_file(config.name, Path(config.weights))
    elif load_weights:
        options["pretrained"] = config.pretrained
    for any_size in _ANY_SIZE:
        try:
            backbone = timm.create_model(config.name, **options, **any_size)
        except TypeError as error:
            if any_size and any(name in str(error) for name in any_size):
                continue
            raise
        except (OSError, RuntimeError, AttributeError, AssertionError) as error:
            raise ModelError(f"extractor '{config.name}': {first_line(error)}; {remedy}") from None
        settings: dict[str, Any] = getattr(backbone, "pretrained_cfg", {})
        fixed = not any_size and settings.get("fixed_input_size", False)
        return backbone, tuple(settings["input_size"][1:]) if fixed else None
    raise AssertionError("the last options are always tried")


def _from_file(name: str, path: Path) -> dict[str, Any]:
    """Return the options with which timm loads a file; all tensors except the classifier's must fit.

    Weights of the same network under other names, such as EfficientNet's of its PyTorch ports, are taken in their order
    if all shapes agree.
    """
    import timm

    state = read_foreign(path)
    with torch.device("meta"):
        whole = timm.create_model(name).state_dict()
    if not whole.keys() & state.keys():
        shapes = ([tensor.shape for tensor in tensors.values()] for tensors in (whole, state))
        if operator.ne(*shapes):
            raise ModelError(
                f"{path}: neither the names nor the order of its tensors are those of timm's {name}; give weights of "
                "that backbone"
            )
        state = dict(zip(whole, state.values(), strict=True))
    classifiers = getattr(timm.get_pretrained_cfg(name, allow_unregistered=True), "classifier", None) or ()
    heads = tuple(f"{head}." for head in ((classifiers,) if isinstance(classifiers, str) else classifiers))
    state = {key: tensor for key, tensor in state.items() if not key.startswith(heads)}
    # timm ignores missing tensors if it adapts a classifier
    overlay = {"state_dict": state, "classifier": None, "hf_hub_id": None, "url": None, "file": None}
    return {"pretrained": True, "pretrained_cfg_overlay": overlay, "num_classes": 0}


def build_extractor(config: GeneratorConfig, *, load_weights: bool = False) -> Extractor | None:
    """Build a generator's extractor, None for `none`; `load_weights` loads its initial weights, as for training."""
    wanted = config.extractor
    reads_rgb = config.extractor_input == "image"
    if isinstance(wanted, NoExtractorConfig):
        return None
    if isinstance(wanted, SwinConfig):
        return SwinTransformer(wanted)
    if isinstance(wanted, ViTConfig):
        return VisionTransformer(wanted)
    if isinstance(wanted, TimmConfig):
        backbone = TimmExtractor(wanted, load_weights=load_weights)
        if not reads_rgb:
            return backbone
        settings = getattr(backbone.backbone, "pretrained_cfg", {})
        return Normalized(backbone, settings.get("mean", IMAGENET_MEAN), settings.get("std", IMAGENET_STD))
    extractor = InternImage(wanted)
    if load_weights and wanted.weights is not None:
        _load_weights(extractor, wanted, Path(wanted.weights))
    normalized = reads_rgb and wanted.normalize == "imagenet"
    return Normalized(extractor, IMAGENET_MEAN, IMAGENET_STD) if normalized else extractor


def _load_weights(extractor: InternImage, config: InternImageConfig, path: Path) -> None:
    """Load an InternImage's weights, except the classifier's, if they were trained with the same settings."""
    another = f"{path}: another InternImage than configured"
    theirs = read_extractor_config(path)
    names = ("offset_scale", "normalize", "post_norm") if theirs is not None else ()  # no tensor's shape shows these
    pairs = {name: (getattr(theirs, name), getattr(config, name)) for name in names}
    differences = [f"{name} is {its} there, {ours} as configured" for name, (its, ours) in pairs.items() if its != ours]
    if differences:
        raise ModelError(f"{another} ({'; '.join(differences)}); configure it alike")
    heads = ("head.", "conv_head.")
    state = {name: tensor for name, tensor in read_foreign(path).items() if not name.startswith(heads)}
    expected = {name for name in extractor.state_dict() if not name.startswith(heads)}
    try:
        extractor.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ModelError(f"{another} ({str(error).splitlines()[1].strip()})") from None
    if expected != state.keys():
        raise ModelError(f"{another} ('{min(expected ^ state.keys())}' is on one side only)")
