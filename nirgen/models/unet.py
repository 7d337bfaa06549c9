"""The U-Net of Pix2pix (Isola et al., CVPR 2017).

Written from facts about the network (docs/reproduction.md); the order of the tensors is that of its checkpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nirgen.models.network import BatchNorm, Dropout, Generator

if TYPE_CHECKING:
    from nirgen.models.config import UNetConfig


class UNet(Generator):
    """Strided convolutions down to 1/256 of the resolution, transposed ones up, and skips between them."""

    config: UNetConfig

    def __init__(self, config: UNetConfig) -> None:
        super().__init__(config, config.stride)
        own = config.evaluation == "as_training"
        widths = [min(2**level, 8) * config.filters for level in range(config.levels)]
        inner: Level | None = None
        for level in range(config.levels - 1, 0, -1):
            drops = inner is not None and widths[level - 1] == widths[level] == 8 * config.filters
            inner = Level(widths[level - 1], widths[level], inner, own=own, dropout=config.dropout if drops else 0.0)
        self.down = nn.Conv2d(3, config.filters, 4, stride=2, padding=1, bias=False)
        self.inner = inner
        self.up = nn.ConvTranspose2d(2 * config.filters, config.output_channels, 4, stride=2, padding=1)

    def forward(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, output_channels, H, W) in [-1, 1]."""
        self.check(rgb)
        assert self.inner is not None
        return self.up(F.relu(self.inner(self.down(rgb)))).tanh()  # type: ignore[no-any-return]


class Level(nn.Module):
    """A level below the first, with all levels below it: halves the resolution, and doubles it again."""

    def __init__(self, outer: int, width: int, inner: Level | None, *, own: bool, dropout: float) -> None:
        super().__init__()
        self.down = nn.Conv2d(outer, width, 4, stride=2, padding=1, bias=False)
        self.down_norm = BatchNorm(width, own=own) if inner is not None else nn.Identity()
        self.inner = inner if inner is not None else nn.Identity()
        self.up = nn.ConvTranspose2d(2 * width if inner else width, outer, 4, stride=2, padding=1, bias=False)
        self.up_norm = BatchNorm(outer, own=own)
        self.dropout = Dropout(dropout, fixed=own)

    def forward(self, x: Tensor) -> Tensor:
        """(N, outer, H, W) -> (N, 2 * outer, H, W); the skip is the activated input."""
        x = F.leaky_relu(x, 0.2)
        h = self.inner(self.down_norm(self.down(x)))
        h = self.dropout(self.up_norm(self.up(F.relu(h))))
        return torch.cat((x, h), dim=1)
