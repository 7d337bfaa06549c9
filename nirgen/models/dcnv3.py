"""DCNv3, the deformable convolution of InternImage (Wang et al., CVPR 2023, Section 3.1), in plain PyTorch.

Computed by bilinear sampling (`grid_sample`), so it needs no compiled extension and runs on every device. The nine
points of a group are ordered with x outermost: point 3 * ix + iy; an offset is (dx, dy) in pixels. Shapes are
channels-last, (N, H, W, C), as everywhere in InternImage.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POINTS = 9


class ToChannelsFirst(nn.Module):
    """(N, H, W, C) -> (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Permute the axes."""
        return x.permute(0, 3, 1, 2)


class ToChannelsLast(nn.Module):
    """(N, C, H, W) -> (N, H, W, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """Permute the axes."""
        return x.permute(0, 2, 3, 1)


def deformable_sample(value: Tensor, offset: Tensor, mask: Tensor, groups: int, offset_scale: float) -> Tensor:
    """Sum, at each position, of nine sampled points of its own neighbourhood, moved by offsets and weighted by a mask.

    Args:
        value: (N, H, W, C), what is sampled; outside of a border of one pixel of zeros it is zero too.
        offset: (N, H, W, groups * 9 * 2), (dx, dy) in pixels.
        mask: (N, H, W, groups * 9), weights that sum to 1 in each group.
        groups: Groups of channels, each with its own offsets and weights.
        offset_scale: Factor on the 3x3 grid and the offsets.

    Returns:
        (N, H, W, C).
    """
    n, height, width, channels = value.shape
    # grid_sample's [-1, 1] spans the outer edges of the corner pixels (align_corners=False)
    one = value.new_ones(())
    pixel = torch.stack((one * (2 / width), one * (2 / height)))
    with torch.no_grad():
        regular = _regular_points(height, width, offset_scale, value) * pixel + (pixel / 2 - 1)
    moves = offset.view(n, height * width, groups, POINTS, 2).transpose(1, 2)
    grid = torch.addcmul(regular, moves, pixel * offset_scale).reshape(n * groups, height * width, POINTS, 2)
    maps = value.permute(0, 3, 1, 2).reshape(n * groups, channels // groups, height, width)
    sampled = F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    weights = (
        mask.view(n, height * width, groups, POINTS).transpose(1, 2).reshape(n * groups, 1, height * width, POINTS)
    )
    summed = (sampled * weights).sum(dim=-1)  # (N * groups, C / groups, H * W)
    return summed.view(n, channels, height, width).permute(0, 2, 3, 1)


def _regular_points(height: int, width: int, offset_scale: float, like: Tensor) -> Tensor:
    """Where each position's nine points lie without offsets: (H * W, 9, 2), (x, y) in pixels."""
    steps = torch.arange(-1, 2, device=like.device, dtype=like.dtype)
    points = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1).view(POINTS, 2)  # x outermost
    rows = torch.arange(height, device=like.device, dtype=like.dtype)
    columns = torch.arange(width, device=like.device, dtype=like.dtype)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack((x, y), dim=-1).view(height * width, 1, 2) + points * offset_scale


class DCNv3(nn.Module):
    """Deformable convolution whose offsets and mask come from a depthwise convolution of the input.

    Args:
        channels: Channels C.
        groups: Groups of channels; C is divisible by it.
        offset_scale: Factor on the sampling grid.
    """

    def __init__(self, channels: int, groups: int, offset_scale: float = 1.0) -> None:
        super().__init__()
        self.groups = groups
        self.offset_scale = offset_scale
        self.dw_conv = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.Sequential(ToChannelsLast(), nn.LayerNorm(channels, eps=1e-6)),
            nn.GELU(),
        )
        self.offset = nn.Linear(channels, groups * POINTS * 2)
        self.mask = nn.Linear(channels, groups * POINTS)
        self.input_proj = nn.Linear(channels, channels)
        self.output_proj = nn.Linear(channels, channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Offsets begin at zero and masks even, as a plain average of the neighbourhood; both learn from there."""
        for layer in (self.offset, self.mask):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        for layer in (self.input_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H, W, C)."""
        n, height, width, _ = x.shape
        guide = self.dw_conv(x.permute(0, 3, 1, 2))  # (N, H, W, C)
        mask = F.softmax(self.mask(guide).view(n, height, width, self.groups, POINTS), dim=-1).flatten(3)
        value, offset = self.input_proj(x), self.offset(guide)
        with torch.autocast(x.device.type, enabled=False):  # positions are pixels: half precision would misplace them
            sampled = deformable_sample(_whole(value), _whole(offset), _whole(mask), self.groups, self.offset_scale)
        return self.output_proj(sampled.to(value.dtype))  # type: ignore[no-any-return]


def _whole(tensor: Tensor) -> Tensor:
    """The tensor in float32 if it is in half precision."""
    return tensor.float() if tensor.dtype.itemsize == 2 else tensor
