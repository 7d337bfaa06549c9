"""The multi-scale PatchGAN discriminator (Pix2Next, Section 3.1.3; pix2pixHD, Wang et al., CVPR 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from nirgen.models.config import DiscriminatorConfig


class PatchDiscriminator(nn.Module):
    """Classifies overlapping patches of an RGB-NIR pair as real or generated."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        norm = nn.InstanceNorm2d if config.norm == "instance" else nn.BatchNorm2d
        munit = config.form == "munit"
        width, padding = config.filters, 2 if config.form == "pix2pixhd" else 1
        bias = config.form != "pix2pix" or config.norm == "instance"
        first = nn.Sequential(nn.Conv2d(config.in_channels, width, 4, stride=2, padding=padding), nn.LeakyReLU(0.2))
        layers: list[nn.Module] = [first]
        for layer in range(1, config.layers + 1):
            narrower, width = width, min(2 * width, 512)
            stride = 2 if layer < config.layers or munit else 1
            conv = nn.Conv2d(narrower, width, 4, stride=stride, padding=padding, bias=bias)
            layers += [nn.Sequential(conv, nn.Identity() if munit else norm(width), nn.LeakyReLU(0.2))]
        last = nn.Conv2d(width, 1, 1) if munit else nn.Conv2d(width, 1, 4, stride=1, padding=padding)
        self.layers = nn.ModuleList([*layers, last])

    def forward(self, pair: Tensor) -> list[Tensor]:
        """(N, in_channels, H, W) -> the feature map of each layer; the last is the raw scores (N, 1, h, w)."""
        features = []
        for layer in self.layers:
            pair = layer(pair)
            features.append(pair)
        return features


class MultiScaleDiscriminator(nn.Module):
    """PatchGANs of the same shape at full, half, quarter, ... resolution."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(config) for _ in range(config.scales))

    def forward(self, pair: Tensor) -> list[list[Tensor]]:
        """(N, in_channels, H, W) -> for each scale, the feature maps of its layers; the last are raw scores."""
        results = []
        for position, discriminator in enumerate(self.scales):
            if position:
                pair = F.avg_pool2d(pair, 3, stride=2, padding=1, count_include_pad=False)
            results.append(discriminator(pair))
        return results
