"""The generator of UVCGAN (Torbunov et al., WACV 2023): a U-Net with a vision transformer at its lowest resolution.

Written from facts about the network (docs/reproduction.md); the order of the tensors is that of its checkpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nirgen.models.network import Generator

if TYPE_CHECKING:
    from nirgen.models.config import UNetViTConfig


class UNetViT(Generator):
    """Levels of convolutions with skips around a transformer of the lowest resolution's pixels; inside, [0, 1]."""

    config: UNetViTConfig

    def __init__(self, config: UNetViTConfig) -> None:
        super().__init__(config, config.stride)
        width = config.widths[0]
        self.entry = nn.Conv2d(3, width, 3, padding=1)
        self.exit = nn.Conv2d(width, config.output_channels, 1)
        inner: nn.Module = PixelTransformer(config)
        for outer, own in reversed(list(zip((width, *config.widths), config.widths, strict=False))):
            inner = Level(outer, own, inner)
        self.levels = inner

    def forward(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, output_channels, H, W) in [-1, 1]."""
        self.check(rgb)
        x = F.leaky_relu(self.entry((rgb + 1) / 2))
        return self.exit(self.levels(x)).sigmoid() * 2 - 1  # type: ignore[no-any-return]


class Level(nn.Module):
    """A resolution with all levels below it: features, a halved copy for the levels below, and their result."""

    def __init__(self, outer: int, width: int, inner: nn.Module) -> None:
        super().__init__()
        self.down = nn.Conv2d(width, width, 2, stride=2)
        self.before = _two_convolutions(outer, width, width)
        self.up = nn.Conv2d(width, width, 3, padding=1)
        self.after = _two_convolutions(2 * width, max(width, outer), outer)
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """(N, outer, H, W) -> the same shape."""
        x = self.before(x)
        h = self.up(F.interpolate(self.inner(self.down(x)), scale_factor=2.0))
        return self.after(torch.cat((h, x), dim=1))  # type: ignore[no-any-return]


def _two_convolutions(inputs: int, middle: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in ((inputs, middle), (middle, outputs)):
        layers += [nn.InstanceNorm2d(before), nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU()]
    return nn.Sequential(*layers)


class PixelTransformer(nn.Module):
    """A transformer whose tokens are the pixels of a map, each with a learned Fourier embedding of its place."""

    def __init__(self, config: UNetViTConfig) -> None:
        super().__init__()
        width, features = config.transformer_width, config.widths[-1]
        self.places = nn.Linear(2, config.embedding)
        self.entry = nn.Linear(config.embedding + features, width)
        self.blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.blocks))
        self.exit = nn.Linear(width, features)

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) -> the same shape, each side of two pixels at least."""
        batch, _, height, width = x.shape
        rows, columns = (torch.arange(side, device=x.device) * 2 / (side - 1) - 1 for side in (height, width))
        grid = torch.stack((rows[:, None].expand(height, width), columns[None, :].expand(height, width)), dim=-1)
        places = self.places(grid.flatten(0, 1)).sin().expand(batch, -1, -1)
        tokens = self.entry(torch.cat((places, x.flatten(2).transpose(1, 2)), dim=-1))
        for block in self.blocks:
            tokens = block(tokens)
        return self.exit(tokens).transpose(1, 2).unflatten(2, (height, width))  # type: ignore[no-any-return]


class TransformerBlock(nn.Module):
    """Self-attention and a feed-forward layer, both scaled by one number that begins at 0."""

    def __init__(self, config: UNetViTConfig) -> None:
        super().__init__()
        width = config.transformer_width
        self.scale = nn.Parameter(torch.zeros(1))
        self.norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, config.heads)
        self.norm_after = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(nn.Linear(width, config.hidden), nn.GELU(), nn.Linear(config.hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, tokens, width) -> the same shape."""
        x = x + self.scale * self.attention(self.norm(x))
        return x + self.scale * self.feed_forward(self.norm_after(x))  # type: ignore[no-any-return]


class SelfAttention(nn.Module):
    """Attention among all tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3 * width, width)))
        self.bias = nn.Parameter(torch.zeros(3 * width))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, tokens, width) -> the same shape."""
        parts = F.linear(x, self.to_qkv, self.bias).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]
