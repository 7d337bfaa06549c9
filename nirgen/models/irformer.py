"""IRFormer (Chen et al., 2024): a regression network of 39,611 parameters.

Written from facts about the network (docs/reproduction.md); the order of the tensors is that of its checkpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nirgen.models.network import Generator

if TYPE_CHECKING:
    from nirgen.models.config import IRFormerConfig


class IRFormer(Generator):
    """Colour mixing, pooled context, gated convolutions and attention along rows and columns, at full resolution."""

    config: IRFormerConfig

    def __init__(self, config: IRFormerConfig) -> None:
        super().__init__(config, config.stride)
        width = config.width
        self.entry = _pointwise(3, width)
        self.colours = ColourMixing(width)
        self.context = PooledContext(width)
        self.join = Join(3 * width, width)
        self.detail = GatedDetail(width)
        self.colours_after = ColourMixing(width)
        self.transformer = nn.Sequential(*(AxialBlock(width, config.expansion) for _ in range(config.blocks)))
        self.exit = _pointwise(width, config.output_channels)

    def forward(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, output_channels, H, W) in [-1, 1]; no gradient where it was clamped."""
        self.check(rgb)
        return self.unclamped((rgb + 1) / 2).clamp(0, 1) * 2 - 1

    def unclamped(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, output_channels, H, W), about [0, 1]."""
        x = self.entry(rgb)
        x = self.join(torch.cat((x, self.colours(x), self.context(x)), dim=1))
        x = self.detail(self.colours_after(x))
        return self.exit(self.transformer(x))  # type: ignore[no-any-return]


def _pointwise(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.PReLU())


class ColourMixing(nn.Module):
    """Three quarters of the channels through a widened, normalised map each; the last quarter takes their sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        part = width // 4
        self.widen = nn.ModuleList(nn.Conv2d(part, width, 1, bias=False) for _ in range(3))
        self.norms = nn.ModuleList(nn.InstanceNorm2d(width, affine=True) for _ in range(3))
        self.narrow = nn.ModuleList(nn.Conv2d(width, part, 1, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> the same shape, in [0, 1]."""
        *parts, rest = x.chunk(4, dim=1)
        mixed = [
            narrow(norm(widen(part)))
            for part, widen, norm, narrow in zip(parts, self.widen, self.norms, self.narrow, strict=True)
        ]
        return torch.cat((*mixed, mixed[0] + mixed[1] + mixed[2] + rest), dim=1).sigmoid()


_POOLS = (128, 64, 32)  # sides of the windows, in pixels


class PooledContext(nn.Module):
    """A convolution beside its means over large windows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.refine = nn.Conv2d(width, width, 3, padding=1)
        self.pooled = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in _POOLS)
        self.out = nn.Conv2d(width + len(_POOLS), width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> the same shape, in [-1, 1]; sides of 128 pixels at least."""
        x = F.relu(self.refine(x))
        maps = [
            F.interpolate(F.relu(conv(F.avg_pool2d(x, side))), size=x.shape[-2:])
            for conv, side in zip(self.pooled, _POOLS, strict=True)
        ]
        return self.out(torch.cat((*maps, x), dim=1)).tanh()  # type: ignore[no-any-return]


class Join(nn.Module):
    """Triplet attention, then a convolution to fewer channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.gates = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2, 1, 7, padding=3, bias=False), nn.BatchNorm2d(1, momentum=0.01)) for _ in range(3)
        )
        self.conv = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(inputs, outputs, 3), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H, W)."""
        gated = []
        for axis, gate in zip((2, 3, 1), self.gates, strict=True):
            turned = x.transpose(1, axis)  # the pooled axis stands where channels do
            pooled = torch.stack((turned.amax(dim=1), turned.mean(dim=1)), dim=1)
            gated.append((turned * gate(pooled).sigmoid()).transpose(1, axis))
        return self.conv((gated[0] + gated[1] + gated[2]) / 3)  # type: ignore[no-any-return]


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of each pixel."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> the same shape."""
        rows = x.permute(0, 2, 3, 1)
        return F.layer_norm(rows, self.weight.shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


class GatedBlock(nn.Module):
    """A block of NAFNet (Chen et al., ECCV 2022), whose two branches begin at a weight of 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.widen = nn.Conv2d(width, 2 * width, 1)
        self.depthwise = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.narrow = nn.Conv2d(width, width, 1)
        self.channels = nn.Conv2d(width, width, 1)
        self.widen_after = nn.Conv2d(width, 2 * width, 1)
        self.narrow_after = nn.Conv2d(width, width, 1)
        self.norm, self.norm_after = ChannelNorm(width, 1e-6), ChannelNorm(width, 1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> the same shape."""
        a, b = self.depthwise(self.widen(self.norm(x))).chunk(2, dim=1)
        h = a * b
        h = h * self.channels(h.mean(dim=(2, 3), keepdim=True))
        x = x + self.narrow(h) * self.beta
        a, b = self.widen_after(self.norm_after(x)).chunk(2, dim=1)
        return x + self.narrow_after(a * b) * self.gamma  # type: ignore[no-any-return]


class GatedDetail(nn.Module):
    """Two gated blocks with attention over channels, then over pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = GatedBlock(width), GatedBlock(width)
        part = width // 8
        self.channels = nn.Sequential(nn.Conv2d(width, part, 1), nn.ReLU(), nn.Conv2d(part, width, 1), nn.Sigmoid())
        self.pixels = nn.Sequential(nn.Conv2d(width, part, 1), nn.ReLU(), nn.Conv2d(part, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> the same shape."""
        h = self.second(F.relu(self.first(x)) + x)
        h = h * self.channels(h.mean(dim=(2, 3), keepdim=True))
        return h * self.pixels(h) + x  # type: ignore[no-any-return]


class RowAttention(nn.Module):
    """Attention of one head among the pixels of each row, by the cosine of their vectors."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(1))
        self.to_qkv = nn.Sequential(
            nn.Conv2d(width, 3 * width, 1),
            nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width),
            nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width),
        )
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> the same shape."""
        # (N, H, W, width) each, rows as heads; only contiguous ones are attended without a W x W matrix a row
        q, k, v = (part.contiguous() for part in self.to_qkv(x).permute(0, 2, 3, 1).chunk(3, dim=-1))
        q, k = F.normalize(q, dim=-1) * self.factor, F.normalize(k, dim=-1)
        mixed = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, scale=1.0)
        return self.out(mixed.permute(0, 3, 1, 2))  # type: ignore[no-any-return]


class GatedFeedForward(nn.Module):
    """Two halves that gate each other."""

    def __init__(self, width: int, expansion: float) -> None:
        super().__init__()
        hidden = int(width * expansion)
        self.widen = nn.Conv2d(width, 2 * hidden, 1)
        self.depthwise = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden)
        self.narrow = nn.Conv2d(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> the same shape."""
        a, b = self.depthwise(self.widen(x)).chunk(2, dim=1)
        return self.narrow(F.gelu(b) * a + F.gelu(a) * b)  # type: ignore[no-any-return]


class AxialBlock(nn.Module):
    """Attention along rows, then columns, and a gated feed-forward layer; the result passes a sigmoid."""

    def __init__(self, width: int, expansion: float) -> None:
        super().__init__()
        self.norm = ChannelNorm(width, 1e-5)
        self.rows, self.columns = RowAttention(width), RowAttention(width)
        self.norm_after = ChannelNorm(width, 1e-5)
        self.feed_forward = GatedFeedForward(width, expansion)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> the same shape, in [0, 1]."""
        attended = self.rows(self.norm(x)).transpose(2, 3)
        x = x + self.columns(attended).transpose(2, 3)
        x = x + self.feed_forward(self.norm_after(x))
        return x.sigmoid()
