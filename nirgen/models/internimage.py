"""InternImage (Wang et al., CVPR 2023) as a feature extractor, and its deformable convolution DCNv3 in plain PyTorch.

Parameters have the names of the official checkpoints (OpenGVLab/InternImage, classification). Maps are (N, H, W, C).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nirgen.models.blocks import drop_path

if TYPE_CHECKING:
    from nirgen.models.config import InternImageConfig


def _layer_norm(channels: int) -> nn.Sequential:
    """Build a LayerNorm with the name `0`, as in the official files."""
    return nn.Sequential(nn.LayerNorm(channels, eps=1e-6))


class Stem(nn.Module):
    """Two 3x3 convolutions of stride 2, each with a LayerNorm; GELU between them."""

    def __init__(self, channels_in: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width // 2, 3, stride=2, padding=1)
        self.norm1 = nn.Sequential(ToChannelsLast(), nn.LayerNorm(width // 2, eps=1e-6))
        self.conv2 = nn.Conv2d(width // 2, width, 3, stride=2, padding=1)
        self.norm2 = nn.Sequential(ToChannelsLast(), nn.LayerNorm(width, eps=1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, H / 4, W / 4, width)."""
        hidden = self.norm1(self.conv1(x)).permute(0, 3, 1, 2)
        return self.norm2(self.conv2(F.gelu(hidden)))  # type: ignore[no-any-return]


class Mlp(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return self.fc2(F.gelu(self.fc1(x)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """DCNv3 and an MLP, each a residual branch with its LayerNorm and, by option, a learned scale."""

    def __init__(self, channels: int, groups: int, drop_path: float, config: InternImageConfig) -> None:
        super().__init__()
        self.post_norm = config.post_norm
        self.drop_path = drop_path
        self.norm1 = _layer_norm(channels)
        self.dcn = DCNv3(channels, groups, config.offset_scale)
        self.norm2 = _layer_norm(channels)
        self.mlp = Mlp(channels, int(channels * config.mlp_ratio))
        self.gamma1 = self.gamma2 = None
        if config.layer_scale is not None:
            self.gamma1 = nn.Parameter(torch.full((channels,), config.layer_scale))
            self.gamma2 = nn.Parameter(torch.full((channels,), config.layer_scale))

    def _branch(self, x: Tensor, norm: nn.Module, layer: nn.Module, gamma: Tensor | None) -> Tensor:
        h: Tensor = norm(layer(x)) if self.post_norm else layer(norm(x))
        if gamma is not None:
            h = gamma * h
        return drop_path(h, self.drop_path) if self.training else h

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H, W, C)."""
        x = x + self._branch(x, self.norm1, self.dcn, self.gamma1)
        return x + self._branch(x, self.norm2, self.mlp, self.gamma2)


class Reduce(nn.Module):
    """Downsampling to half the resolution and twice the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=False)
        self.norm = nn.Sequential(ToChannelsLast(), nn.LayerNorm(2 * channels, eps=1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H / 2, W / 2, 2 C)."""
        return self.norm(self.conv(x.permute(0, 3, 1, 2)))  # type: ignore[no-any-return]


class Level(nn.Module):
    """The blocks of one resolution, and the downsampling to the next."""

    def __init__(self, level: int, drop_paths: list[float], config: InternImageConfig) -> None:
        super().__init__()
        channels = config.width * 2**level
        self.blocks = nn.ModuleList(Block(channels, config.groups[level], rate, config) for rate in drop_paths)
        self.norm = nn.Identity() if config.post_norm else _layer_norm(channels)
        self.downsample = Reduce(channels) if level < len(config.depths) - 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H / 2, W / 2, 2 C), or the same size at the last level."""
        for block in self.blocks:
            x = block(x)
        return self.downsample(self.norm(x))  # type: ignore[no-any-return]


class InternImage(nn.Module):
    """Feature extractor whose last map, at 1/32 of the resolution, conditions the generator."""

    stride = 32

    def __init__(self, config: InternImageConfig) -> None:
        super().__init__()
        self.pyramid: dict[int, int] = {}
        self.condition_channels = config.condition_channels
        self.patch_embed = Stem(config.in_channels, config.width)
        last = max(1, sum(config.depths) - 1)
        rates = [config.drop_path * block / last for block in range(last + 1)]
        starts = [sum(config.depths[:level]) for level in range(len(config.depths) + 1)]
        self.levels = nn.ModuleList(
            Level(level, rates[starts[level] : starts[level + 1]], config) for level in range(len(config.depths))
        )
        if config.classes is not None:
            head = int(1.5 * config.condition_channels)
            self.conv_head = nn.Sequential(
                nn.Conv2d(config.condition_channels, head, 1, bias=False), nn.Sequential(nn.BatchNorm2d(head, eps=1e-6))
            )
            self.head = nn.Linear(head, config.classes)
            self.conv_head.requires_grad_(False)
            self.head.requires_grad_(False)
        for module in self.modules():  # as in the official code; convolutions keep PyTorch's rule
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, DCNv3):
                module.reset_parameters()

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, in_channels, H, W) -> one map, (N, condition_channels, ceil(H / 32), ceil(W / 32))."""
        x = self.patch_embed(x)
        for level in self.levels:
            x = level(x)
        return [x.permute(0, 3, 1, 2)]


POINTS = 9


class ToChannelsLast(nn.Module):
    """(N, C, H, W) -> (N, H, W, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """Permute the axes."""
        return x.permute(0, 2, 3, 1)


def deformable_sample(value: Tensor, offset: Tensor, mask: Tensor, groups: int, offset_scale: float) -> Tensor:
    """Sum nine sampled points of each position's neighbourhood, moved by offsets and weighted by a mask.

    The nine points of a group are ordered with x outermost: point 3 * ix + iy.

    Args:
        value: (N, H, W, C), sampled bilinearly; zero outside.
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
    weights = mask.view(n, height * width, groups, POINTS).transpose(1, 2).reshape(n * groups, 1, -1, POINTS)
    summed = (sampled * weights).sum(dim=-1)  # (N * groups, C / groups, H * W)
    return summed.view(n, channels, height, width).permute(0, 2, 3, 1)


def _regular_points(height: int, width: int, offset_scale: float, like: Tensor) -> Tensor:
    """Return each position's nine points without offsets, (H * W, 9, 2), (x, y) in pixels."""
    steps = torch.arange(-1, 2, device=like.device, dtype=like.dtype)
    points = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1).view(POINTS, 2)  # x outermost
    rows = torch.arange(height, device=like.device, dtype=like.dtype)
    columns = torch.arange(width, device=like.device, dtype=like.dtype)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack((x, y), dim=-1).view(height * width, 1, 2) + points * offset_scale


class DCNv3(nn.Module):
    """Deformable convolution whose offsets and mask are computed by a depthwise convolution of the input."""

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
        """Initialise offsets to zero and masks to a plain average of the neighbourhood."""
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
            v, o, m = (part.float() if part.dtype.itemsize == 2 else part for part in (value, offset, mask))
            sampled = deformable_sample(v, o, m, self.groups, self.offset_scale)
        return self.output_proj(sampled.to(value.dtype))  # type: ignore[no-any-return]
