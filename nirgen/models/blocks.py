"""Blocks of the generator: residual, resampling, output and attention (Pix2Next, Section 3.1.2, Table 1 and Eq. 1).

Maps are (N, C, H, W): images, channels, rows, columns. In attention, L is the number of tokens of the features (H * W),
M that of the condition (h * w), D the number of channels.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HeadMerge = Literal["standard", "released"]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each behind a GroupNorm and SiLU, beside a shortcut; a 1x1 convolution if widths differ."""

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
    """Space to depth by two, then a 3x3 convolution: unlike pooling, it discards nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4 * channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), H and W even -> (N, C, H / 2, W / 2)."""
        return self.conv(F.pixel_unshuffle(x, 2))  # type: ignore[no-any-return]


class Upsample(nn.Module):
    """Nearest neighbour by two, then a 3x3 convolution: no checkerboard artefacts, unlike a transposed convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 2 H, 2 W)."""
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))  # type: ignore[no-any-return]


class StandardizedConv(nn.Conv2d):
    """A 3x3 convolution whose filters are standardised to mean 0 and standard deviation 1 at each use."""

    def standardised(self) -> Tensor:
        """Return the standardised filters, (channels_out, channels_in, 3, 3)."""
        mean = self.weight.mean(dim=(1, 2, 3), keepdim=True)
        std = self.weight.std(dim=(1, 2, 3), keepdim=True)
        return (self.weight - mean) / (std + 1e-5)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H, W)."""
        return F.conv2d(x, self.standardised(), self.bias, self.stride, self.padding)


class OutputBlock(nn.Module):
    """The released code's last block: two of [standardised convolution, InstanceNorm, SiLU] beside a 1x1 shortcut."""

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


def drop_path(branch: Tensor, share: float) -> Tensor:
    """Zero a residual branch, (N, ...), for a random share of the images (stochastic depth), and scale up the rest."""
    if share == 0:
        return branch
    kept = torch.rand(len(branch), *(1,) * (branch.dim() - 1), device=branch.device) >= share
    return branch * kept / (1 - share)


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """(N, L, D) -> (N, heads, L, D / heads)."""
    n, length, width = tokens.shape
    return tokens.view(n, length, heads, width // heads).transpose(1, 2)


def merge_heads(tokens: Tensor) -> Tensor:
    """(N, heads, L, d) -> (N, L, heads * d)."""
    return tokens.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Multi-head self-attention with one projection for query, key and value."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(width, 3 * width, bias=False)
        self.out_proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, D) -> (N, L, D)."""
        query, key, value = (split_heads(part, self.heads) for part in self.in_proj(tokens).chunk(3, dim=-1))
        return self.out_proj(merge_heads(F.scaled_dot_product_attention(query, key, value)))  # type: ignore[no-any-return]


class CrossAttention(nn.Module):
    """Multi-head attention of the tokens, of D channels, to the condition (Eq. 1).

    `released`, for the authors' weights: their code reads the (N, heads, L, d) result as (N, L, heads * d).
    """

    def __init__(self, width: int, condition_width: int, heads: int, head_merge: HeadMerge = "standard") -> None:
        super().__init__()
        self.heads = heads
        self.head_merge = head_merge
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(condition_width, width, bias=False)
        self.value = nn.Linear(condition_width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        """(N, L, D) and (N, M, condition_width) -> (N, L, D)."""
        projected = self.query(tokens), self.key(condition), self.value(condition)
        query, key, value = (split_heads(part, self.heads) for part in projected)
        attended = F.scaled_dot_product_attention(query, key, value)
        merged = attended.contiguous().view(tokens.shape) if self.head_merge == "released" else merge_heads(attended)
        return self.out(merged)  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """GEGLU: D -> 2 x 4 D, the second half gating the first through GELU, -> D."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, 8 * width)
        self.contract = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, D) -> (N, L, D)."""
        value, gate = self.expand(tokens).chunk(2, dim=-1)
        return self.contract(value * F.gelu(gate))  # type: ignore[no-any-return]


class AttentionBlock(nn.Module):
    """A transformer block between two 3x3 convolutions, added to its input; no cross-attention without a condition."""

    def __init__(
        self,
        channels: int,
        condition_channels: int | None,
        heads: int,
        norm_groups: int,
        head_merge: HeadMerge = "standard",
    ) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm_in = nn.GroupNorm(norm_groups, channels, eps=1e-6)
        self.norm1 = nn.LayerNorm(channels)
        self.self_attention = SelfAttention(channels, heads)
        if condition_channels is not None:
            self.condition_conv = nn.Conv2d(condition_channels, condition_channels, 3, padding=1)
            self.condition_norm = nn.GroupNorm(1, condition_channels, eps=1e-6)
            self.norm2 = nn.LayerNorm(channels)
            self.cross_attention = CrossAttention(channels, condition_channels, heads, head_merge)
        self.norm3 = nn.LayerNorm(channels)
        self.feed_forward = FeedForward(channels)
        self.conv_out = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """(N, D, H, W) and (N, condition_channels, h, w) -> (N, D, H, W)."""
        tokens = self.norm_in(self.conv_in(x)).flatten(2).transpose(1, 2)  # (N, L, D)
        tokens = tokens + self.self_attention(self.norm1(tokens))
        if condition is not None:
            context = self.condition_norm(self.condition_conv(condition)).flatten(2).transpose(1, 2)  # (N, M, C)
            tokens = tokens + self.cross_attention(self.norm2(tokens), context)
        tokens = tokens + self.feed_forward(self.norm3(tokens))
        return self.conv_out(tokens.transpose(1, 2).reshape(x.shape)) + x  # type: ignore[no-any-return]
