"""The convolutional parts of the generator (Pix2Next, Section 3.1.2 and Table 1).

Shapes are (N, C, H, W): images, channels, rows, columns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each behind a GroupNorm and SiLU, beside a shortcut.

    Args:
        channels_in: Channels of the input.
        channels_out: Channels of the output; where they differ, the shortcut is a 1x1 convolution.
        norm_groups: Groups of both normalisations.
    """

    def __init__(self, channels_in: int, channels_out: int, norm_groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(norm_groups, channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm2 = nn.GroupNorm(norm_groups, channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H, W)."""
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + self.shortcut(x)  # type: ignore[no-any-return]


class Downsample(nn.Module):
    """Space to depth by two, then a 3x3 convolution: nothing is averaged away before the network has seen it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4 * channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), H and W even -> (N, C, H / 2, W / 2)."""
        return self.conv(F.pixel_unshuffle(x, 2))  # type: ignore[no-any-return]


class Upsample(nn.Module):
    """Nearest neighbour by two, then a 3x3 convolution: no checkerboards, unlike a transposed convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 2 H, 2 W)."""
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))  # type: ignore[no-any-return]


class StandardizedConv(nn.Conv2d):
    """A 3x3 convolution whose filters are standardised to mean 0 and standard deviation 1 at each use."""

    def standardised(self) -> Tensor:
        """The filters of one use: (channels_out, channels_in, 3, 3)."""
        mean = self.weight.mean(dim=(1, 2, 3), keepdim=True)
        std = self.weight.std(dim=(1, 2, 3), keepdim=True)
        return (self.weight - mean) / (std + 1e-5)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H, W)."""
        return F.conv2d(x, self.standardised(), self.bias, self.stride, self.padding)


class OutputBlock(nn.Module):
    """The released code's last block: two of [standardised convolution, InstanceNorm, SiLU] beside a 1x1 shortcut.

    Args:
        channels_in: Channels of the decoder's output and the stem's together.
        channels_out: Channels that the last convolution reads.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = StandardizedConv(channels_in, channels_out, 3, padding=1)
        self.conv2 = StandardizedConv(channels_out, channels_out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H, W)."""
        h = F.silu(F.instance_norm(self.conv1(x)))
        h = F.silu(F.instance_norm(self.conv2(h)))
        return torch.add(h, self.shortcut(x))
