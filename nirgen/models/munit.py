"""Generators of UNIT (Liu et al., NeurIPS 2017) and MUNIT (Huang et al., ECCV 2018): an encoder, and another's decoder.

Written from the articles and the sizes of the published configurations (docs/reproduction.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nirgen.models.network import Generator, fixed_normals

if TYPE_CHECKING:
    from nirgen.models.config import MUNITConfig, UNITConfig


class UNIT(Generator):
    """An encoder of one kind of image and a decoder of the other, around a code that both kinds share."""

    config: UNITConfig | MUNITConfig

    def __init__(self, config: UNITConfig | MUNITConfig) -> None:
        super().__init__(config, config.stride)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def forward(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, output_channels, H, W) in [-1, 1], of the code itself, without noise."""
        self.check(rgb)
        return self.decoder(self.encoder(rgb))  # type: ignore[no-any-return]


class MUNIT(UNIT):
    """`UNIT` whose decoder takes a style too: normal numbers that have no place, read from an image or drawn.

    `forward` draws them by the input's values, so that an image always has the same style.
    """

    config: MUNITConfig

    def __init__(self, config: MUNITConfig) -> None:
        super().__init__(config)
        self.style_encoder = StyleEncoder(config)  # of images of the decoder's kind
        widths = config.style, config.hidden, config.hidden, 4 * config.blocks * config.filters * 2**config.levels
        layers = [nn.Linear(widths[0], widths[1]), nn.ReLU(), nn.Linear(widths[1], widths[2]), nn.ReLU()]
        self.to_norms = nn.Sequential(*layers, nn.Linear(widths[2], widths[3]))

    def forward(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, output_channels, H, W) in [-1, 1], in a style that the input decides."""
        self.check(rgb)
        return self.decode(self.encoder(rgb), fixed_normals(rgb, self.config.style))

    def decode(self, code: Tensor, style: Tensor) -> Tensor:
        """Return images, in [-1, 1], of a code in styles (N, style)."""
        return self.decoder(code, self.to_norms(style))  # type: ignore[no-any-return]


class Encoder(nn.Sequential):
    """Strided convolutions and residual blocks: (N, 3, H, W) -> (N, C, H / stride, W / stride)."""

    def __init__(self, config: UNITConfig | MUNITConfig) -> None:
        width = config.filters
        layers = [_convolution(3, width, 7, 1), nn.InstanceNorm2d(width), nn.ReLU()]
        for _ in range(config.levels):
            layers += [_convolution(width, 2 * width, 4, 2), nn.InstanceNorm2d(2 * width), nn.ReLU()]
            width *= 2
        super().__init__(*layers, *(ResidualBlock(width) for _ in range(config.blocks)))


class Decoder(nn.Module):
    """Residual blocks, whose normalisation may be given from outside, and enlargements."""

    def __init__(self, config: UNITConfig | MUNITConfig) -> None:
        super().__init__()
        width = config.filters * 2**config.levels
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(config.blocks))
        layers = list[nn.Module]()
        for _ in range(config.levels):
            up = nn.Upsample(scale_factor=2.0)
            layers += [up, _convolution(width, width // 2, 5, 1), ImageNorm(width // 2), nn.ReLU()]
            width //= 2
        self.up = nn.Sequential(*layers, _convolution(width, config.output_channels, 7, 1), nn.Tanh())

    def forward(self, code: Tensor, norms: Tensor | None = None) -> Tensor:
        """(N, C, H, W) -> (N, output_channels, H * stride, W * stride) in [-1, 1].

        `norms`, (N, 4 * blocks * C), are shift and scale of each channel after each normalisation of the blocks.
        """
        parts = norms.chunk(len(self.blocks), dim=1) if norms is not None else (None,) * len(self.blocks)
        for block, part in zip(self.blocks, parts, strict=True):
            code = block(code, part)
        return self.up(code)  # type: ignore[no-any-return]


class StyleEncoder(nn.Module):
    """Strided convolutions without normalisation, which would take the style away, and their mean over all places."""

    def __init__(self, config: MUNITConfig) -> None:
        super().__init__()
        width = config.filters
        layers = [_convolution(3, width, 7, 1), nn.ReLU()]
        for level in range(config.style_levels):
            wider = width * 2 if level < config.levels else width
            layers += [_convolution(width, wider, 4, 2), nn.ReLU()]
            width = wider
        self.layers = nn.Sequential(*layers)
        self.out = nn.Linear(width, config.style)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, style)."""
        return self.out(self.layers(images).mean(dim=(2, 3)))  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """Two convolutions over a mirrored border, beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (_convolution(width, width, 3, 1) for _ in range(2))

    def forward(self, x: Tensor, norms: Tensor | None = None) -> Tensor:
        """(N, width, H, W) -> the same shape; `norms` are (N, 4 * width), as in `Decoder`."""
        first, second = norms.chunk(2, dim=1) if norms is not None else (None, None)
        return x + _normalized(self.second(F.relu(_normalized(self.first(x), first))), second)


def _normalized(x: Tensor, norms: Tensor | None) -> Tensor:
    """Normalise each channel of each image; then apply its shift and scale, (N, 2 * C), if there are some (AdaIN)."""
    x = F.instance_norm(x)
    if norms is None:
        return x
    shift, scale = norms[..., None, None].chunk(2, dim=1)
    return x * scale + shift


class ImageNorm(nn.Module):
    """Normalisation over all values of an image, then a learned scale and shift a channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> the same shape."""
        centred = x - x.mean(dim=(1, 2, 3), keepdim=True)
        count = x.shape[1] * x.shape[2] * x.shape[3]
        variance = centred.square().mean(dim=(1, 2, 3), keepdim=True) * (count / (count - 1))
        return centred / (variance.sqrt() + 1e-5) * self.weight[:, None, None] + self.bias[:, None, None]


def _convolution(inputs: int, outputs: int, side: int, stride: int) -> nn.Module:
    padding = side // 2 if stride == 1 else side // 2 - 1
    return nn.Sequential(nn.ReflectionPad2d(padding), nn.Conv2d(inputs, outputs, side, stride=stride))
