"""The vision transformer of the Pix2Next authors as an extractor, after Dosovitskiy et al., ICLR 2021.

Parameters have the names of their checkpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nirgen.models.blocks import merge_heads, split_heads

if TYPE_CHECKING:
    from nirgen.models.config import ViTConfig


class VisionTransformer(nn.Module):
    """Tokens of 16x16 pixels of maps of a fixed size, to which others are resized.

    As published, the tokens' values, (L, D), are read as a map of D channels without transposition: a channel of the
    condition holds all values of a few tokens.
    """

    stride = 1

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.condition_channels = config.dim
        self.pyramid: dict[int, int] = {}
        if config.leftovers:
            for name in ("dow", "dow2"):
                conv = nn.Conv2d(config.in_channels, config.in_channels, 3, stride=2, padding=1)
                self.add_module(name, nn.ModuleDict({"downsample_conv": conv}))
        values = config.in_channels * config.patch**2
        # As the published rearrangement before it has no parameters, numbers begin at 1.
        self.to_patch_embedding = nn.Sequential(
            nn.Identity(), nn.LayerNorm(values), nn.Linear(values, config.dim), nn.LayerNorm(config.dim)
        )
        self.pos_embedding = nn.Parameter(torch.randn(1, config.tokens, config.dim))
        self.transformer = Transformer(config)
        self.to_image = nn.Sequential(nn.Linear(config.dim, config.dim), nn.LayerNorm(config.dim))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, in_channels, H, W) -> one map, (N, dim, image / patch, image / patch)."""
        size, patch = self.config.image, self.config.patch
        if x.shape[-2:] != (size, size):
            x = F.interpolate(x, size=(size, size), mode="bilinear", antialias=True)
        n, side = len(x), size // patch
        tokens = x.reshape(n, -1, side, patch, side, patch).permute(0, 2, 4, 3, 5, 1).reshape(n, side**2, -1)
        tokens = self.transformer(self.to_patch_embedding(tokens) + self.pos_embedding)
        return [self.to_image(tokens).reshape(n, -1, side, side)]


class Transformer(nn.Module):
    """Attention and feed-forward layers in turn, normalised first, and once at the end."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.dim)
        self.layers = nn.ModuleList(
            nn.ModuleList((Attention(config), FeedForward(config.dim, config.hidden))) for _ in range(config.depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, D) -> (N, L, D)."""
        for layer in self.layers:
            attention, feed_forward = layer.children()
            x = x + attention(x)
            x = x + feed_forward(x)
        return self.norm(x)  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Multi-head self-attention behind a LayerNorm; the heads' width is free of that of the tokens."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_channels
        self.heads = config.heads
        self.norm = nn.LayerNorm(config.dim)
        self.to_qkv = nn.Linear(config.dim, 3 * inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, config.dim))

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, D) -> (N, L, D)."""
        query, key, value = (split_heads(part, self.heads) for part in self.to_qkv(self.norm(x)).chunk(3, dim=-1))
        return self.to_out(merge_heads(F.scaled_dot_product_attention(query, key, value)))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """LayerNorm, and two linear layers with GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        # As the published dropouts have no parameters, the second linear layer is number 4.
        self.net = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Identity(), nn.Linear(hidden, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return self.net(x)  # type: ignore[no-any-return]
