"""The residual generators of CycleGAN, Pix2pixHD and PyramidPix2pix (BCI), which differ in sizes and normalisation.

Zhu et al., ICCV 2017; Wang et al., CVPR 2018; Liu et al., CVPRW 2022. Written from facts about the networks
(docs/reproduction.md); the order of the tensors is that of their checkpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from nirgen.models.config import InternImageConfig
from nirgen.models.internimage import Block
from nirgen.models.network import BatchNorm, Dropout, Generator

if TYPE_CHECKING:
    from nirgen.models.config import ResNetConfig


class ResNet(Generator):
    """Strided convolutions, blocks at the lowest resolution, transposed convolutions; no skips."""

    config: ResNetConfig

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__(config, config.stride)
        bias = config.norm == "instance"
        width = config.filters
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7, bias=bias), *_after(config, width)]
        for _ in range(config.levels):
            layers += [nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=bias), *_after(config, 2 * width)]
            width *= 2
        for number in range(config.blocks):
            kind = DeformableBlock if config.block == "internimage" else ResidualBlock
            layers += [kind(config, width, number)]
        for _ in range(config.levels):
            width //= 2
            up = nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1, bias=bias)
            layers += [up, *_after(config, width)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, config.output_channels, 7), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, output_channels, H, W) in [-1, 1]."""
        self.check(rgb)
        return self.layers(rgb)  # type: ignore[no-any-return]


def _norm(config: ResNetConfig, width: int) -> nn.Module:
    if config.norm == "instance":
        return nn.InstanceNorm2d(width)
    return BatchNorm(width, own=config.evaluation == "as_training")


def _after(config: ResNetConfig, width: int) -> tuple[nn.Module, ...]:
    """Return what follows a convolution."""
    return _norm(config, width), nn.ReLU()


class ResidualBlock(nn.Module):
    """Two convolutions over a mirrored border, beside the identity."""

    def __init__(self, config: ResNetConfig, width: int, number: int) -> None:
        super().__init__()
        bias = config.norm == "instance"
        self.branch = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=bias),
            *_after(config, width),
            Dropout(config.dropout, fixed=config.evaluation == "as_training", seed=number),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=bias),
            _norm(config, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> the same shape."""
        return x + self.branch(x)  # type: ignore[no-any-return]


class DeformableBlock(nn.Module):
    """A block of InternImage in a residual block's place (Table 6); post-norm, with groups of 16 channels."""

    def __init__(self, config: ResNetConfig, width: int, number: int) -> None:  # noqa: ARG002 - as `ResidualBlock`
        super().__init__()
        self.block = Block(width, width // 16, 0.0, InternImageConfig())

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> the same shape."""
        return self.block(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # type: ignore[no-any-return]
