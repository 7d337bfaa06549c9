"""Swin Transformer V2 (Liu et al., CVPR 2022) as the extractor of the Pix2Next authors.

Parameters have the names of their checkpoints. Unlike timm's, its windows are shifted and masked even where one window
is the whole map, and the last map isn't normalised. Maps are (N, H, W, C).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nirgen.models.blocks import drop_path, merge_heads, split_heads
from nirgen.models.internimage import Mlp

if TYPE_CHECKING:
    from nirgen.models.config import SwinConfig

_MASKED = -100.0  # as published, not minus infinity
_MOST_LOGIT = math.log(100)


class SwinTransformer(nn.Module):
    """Patches of 4x4 pixels, four levels of attention within windows, each at half the resolution of the one before."""

    stride = 32

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        width, last = config.width, sum(config.depths) - 1
        self.condition_channels = config.condition_channels
        self.pyramid: dict[int, int] = {}
        self.patch_embed = nn.ModuleDict(
            {"proj": nn.Conv2d(config.in_channels, width, 4, stride=4), "norm": nn.LayerNorm(width)}
        )
        rates = iter([config.drop_path * block / max(last, 1) for block in range(last + 1)])
        self.layers = nn.ModuleList(
            Level(config, level, [next(rates) for _ in range(depth)]) for level, depth in enumerate(config.depths)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, in_channels, H, W), H and W divisible by 32 -> one map, (N, condition_channels, H / 32, W / 32)."""
        x = self.patch_embed["norm"](self.patch_embed["proj"](x).permute(0, 2, 3, 1))
        for level in self.layers:
            x = level(x)
        return [x.permute(0, 3, 1, 2)]


class Level(nn.Module):
    """The blocks of one resolution, and the merging of 2x2 pixels to the next."""

    def __init__(self, config: SwinConfig, level: int, drop_paths: list[float]) -> None:
        super().__init__()
        channels = config.width * 2**level
        self.blocks = nn.ModuleList(
            Block(config, channels, config.heads[level], rate, shifted=bool(position % 2))
            for position, rate in enumerate(drop_paths)
        )
        self.downsample = Merge(channels) if level < len(config.depths) - 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H / 2, W / 2, 2 C), or the same size at the last level."""
        for block in self.blocks:
            x = block(x)
        return self.downsample(x)  # type: ignore[no-any-return]


class Merge(nn.Module):
    """Pixels of 2x2 side by side, mapped to twice the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)
        self.norm = nn.LayerNorm(2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C), H and W even -> (N, H / 2, W / 2, 2 C)."""
        parts = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.norm(self.reduction(torch.cat(parts, dim=-1)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention within windows, shifted by half a window in every other block, and an MLP; each normalised last."""

    def __init__(self, config: SwinConfig, channels: int, heads: int, drop_share: float, *, shifted: bool) -> None:
        super().__init__()
        self.window, self.drop_share = config.window, drop_share
        self.shift = config.window // 2 if shifted else 0
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, config.window)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, int(channels * config.mlp_ratio))
        for norm in (self.norm1, self.norm2):  # both branches begin at 0
            nn.init.zeros_(norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> the same shape; maps are padded to whole windows, and no pixel sees the padding."""
        x = x + self._dropped(self.norm1(self._attended(x)))
        return x + self._dropped(self.norm2(self.mlp(x)))

    def _dropped(self, branch: Tensor) -> Tensor:
        return drop_path(branch, self.drop_share) if self.training else branch

    def _attended(self, x: Tensor) -> Tensor:
        n, height, width, channels = x.shape
        window, shift = self.window, self.shift
        down, across = -(-height // window), -(-width // window)
        x = F.pad(x, (0, 0, 0, across * window - width, 0, down * window - height))
        x = x.roll((-shift, -shift), dims=(1, 2))
        x = x.view(n, down, window, across, window, channels).transpose(2, 3)
        x = self.attn(x.reshape(-1, window * window, channels), self._mask(height, width, x.device))
        x = x.view(n, down, across, window, window, channels).transpose(2, 3).reshape(n, down * window, -1, channels)
        return x.roll((shift, shift), dims=(1, 2))[:, :height, :width]

    def _mask(self, height: int, width: int, device: torch.device) -> Tensor | None:
        """Return what is added to the logits, (windows, L, L), so that pixels of other parts of a map count 0."""
        window, shift = self.window, self.shift
        padded = [-(-side // window) * window for side in (height, width)]
        if not shift and padded == [height, width]:
            return None
        parts = []
        for side, whole in zip((height, width), padded, strict=True):
            place = torch.arange(whole, device=device).roll(-shift)
            part = torch.zeros(whole, dtype=torch.long, device=device)
            if shift:
                part[-window:-shift], part[-shift:] = 1, 2
            parts.append(torch.where(place < side, part, 3))
        numbers = 4 * parts[0][:, None] + parts[1]
        numbers = numbers.view(padded[0] // window, window, padded[1] // window, window).transpose(1, 2)
        numbers = numbers.reshape(-1, window * window)
        return torch.where(numbers[:, :, None] == numbers[:, None, :], 0.0, _MASKED)


class WindowAttention(nn.Module):
    """Attention of all pixels of a window by the cosine of their vectors, with a learned bias by their distance."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.logit_scale = nn.Parameter(torch.full((heads, 1, 1), math.log(10)))
        self.q_bias = nn.Parameter(torch.zeros(channels))
        self.v_bias = nn.Parameter(torch.zeros(channels))
        self.cpb_mlp = nn.Sequential(nn.Linear(2, 512), nn.ReLU(), nn.Linear(512, heads, bias=False))
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.proj = nn.Linear(channels, channels)
        self.relative_coords_table: Tensor
        self.relative_position_index: Tensor
        self.register_buffer("relative_coords_table", _distances(window))
        place = torch.arange(window)
        apart = place[:, None] - place[None, :] + window - 1  # index of the distance along one axis
        index = apart[:, None, :, None] * (2 * window - 1) + apart[None, :, None, :]
        self.register_buffer("relative_position_index", index.reshape(window**2, window**2))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(N * windows, L, C), and (windows, L, L) of zeros and penalties -> (N * windows, L, C)."""
        bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
        query, key, value = (split_heads(part, self.heads) for part in F.linear(x, self.qkv.weight, bias).chunk(3, -1))
        query = F.normalize(query, dim=-1) * self.logit_scale.clamp(max=_MOST_LOGIT).exp()
        added = self._bias()[None]  # (1 or N * windows, heads, L, L)
        if mask is not None:
            added = (added + mask[:, None]).repeat(len(x) // len(mask), 1, 1, 1)
        query, key = query.to(value.dtype), F.normalize(key, dim=-1).to(value.dtype)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=added.to(value.dtype), scale=1.0)
        return self.proj(merge_heads(attended))  # type: ignore[no-any-return]

    def _bias(self) -> Tensor:
        """Return the bias by distance, (heads, L, L)."""
        table = self.cpb_mlp(self.relative_coords_table).flatten(0, 2)  # (distances, heads)
        bias: Tensor = table[self.relative_position_index].permute(2, 0, 1).sigmoid()
        return 16 * bias


def _distances(window: int) -> Tensor:
    """Return all distances within a window, on a logarithmic scale, (1, 2 window - 1, 2 window - 1, 2)."""
    steps = torch.arange(1.0 - window, window) * 8 / (window - 1)
    steps = steps.sign() * (steps.abs() + 1).log2() / 3
    return torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)[None]
