"""Base of all generators, and layers that act in evaluation as in training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nirgen.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from nirgen.models.config import AnyGeneratorConfig
    from nirgen.models.extractors import Extractor


class Generator(nn.Module):
    """A network that maps RGB, (N, 3, H, W) in [-1, 1], to NIR, (N, 1 or 3, H, W) in [-1, 1].

    In evaluation mode it computes each image of a batch as if it were alone.

    Args:
        config: Sizes of the network.
        stride: Heights and widths of inputs are multiples of this.
        extractor: A feature extractor, if the network has one.
    """

    def __init__(self, config: AnyGeneratorConfig, stride: int, extractor: Extractor | None = None) -> None:
        super().__init__()
        self.config = config
        self.stride = stride
        self.extractor = extractor
        self.pyramid: dict[int, int] = dict(extractor.pyramid) if extractor is not None else {}

    def checkpoint_gradients(self) -> None:
        """Compute each block twice in training, to use less memory; ConfigError if the network can't."""
        raise ConfigError(f"compute.gradient_checkpointing: a generator of the kind '{self.config.kind}' lacks it")

    def once(self, rgb: Tensor) -> Tensor:
        """Run the network a single time on a batch as `forward` takes it, to see if it can run."""
        return self(rgb)  # type: ignore[no-any-return]

    def check(self, rgb: Tensor) -> None:
        """Raise a ShapeError for a batch whose height or width isn't a multiple of the stride, or is too small."""
        height, width = rgb.shape[-2:]
        least = self.config.least_side
        if height % self.stride or width % self.stride or min(height, width) < least:
            up = [max(-(-size // self.stride) * self.stride, least) for size in (height, width)]
            at_least = f" and at least {least}" if least > self.stride else ""
            raise ShapeError(
                f"an image of {height}x{width} (height x width) can't be translated: both must be divisible by "
                f"{self.stride}{at_least}; pad it to {up[0]}x{up[1]}"
            )


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that, with `own`, takes each image's own statistics in evaluation too.

    That is what published test scripts compute that leave a network in training mode and give it one image at a time.
    """

    def __init__(self, channels: int, *, own: bool) -> None:
        super().__init__(channels)
        self.own = own

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same shape."""
        if self.training or not self.own:
            return super().forward(x)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, use_input_stats=True, eps=self.eps)


class Dropout(nn.Module):
    """Dropout that, with `fixed`, acts in evaluation too: there a value's place decides, so it is always the same.

    Args:
        share: Share of the values that become 0.
        fixed: Drop values in evaluation too.
        seed: Another number drops other places.
    """

    def __init__(self, share: float, *, fixed: bool, seed: int = 0) -> None:
        super().__init__()
        self.share, self.fixed, self.seed = share, fixed, seed

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        if self.training:
            return F.dropout(x, self.share)
        return x * self._kept(x) / (1 - self.share) if self.fixed and self.share else x

    def _kept(self, x: Tensor) -> Tensor:
        """Return the places that stay, (C, H, W); whole numbers alone, so that all devices agree."""
        channels, rows, columns = (torch.arange(side, device=x.device, dtype=torch.int32) for side in x.shape[1:])
        place = _scattered(rows[:, None] * 211 + columns[None, :] * 7 + self.seed * 1009)
        place = _scattered(place[None] + _scattered(channels * 31 + 17)[:, None, None])
        return place >= int(self.share * _PRIME)


def fixed_normals(images: Tensor, count: int) -> Tensor:
    """Return normal numbers, (N, count), that the 8-bit levels of images (N, 3, H, W) in [-1, 1] decide."""
    levels = ((images.float() + 1) * 127.5).round().long().sum(dim=(2, 3)) % _PRIME
    shares = []
    for red, green, blue in (levels.unbind(1), levels.flip(1).unbind(1)):
        seed = _scattered(blue + _scattered(green + _scattered(red)))
        numbers = 31 * torch.arange(count, device=images.device) + 17
        shares.append((_scattered(_scattered(seed[:, None] + numbers)).float() + 0.5) / _PRIME)
    length, turn = shares
    return (-2 * length.log()).sqrt() * (2 * torch.pi * turn).cos()  # as Box and Muller


_PRIME = 46_337  # the largest whose numbers have squares in 31 bits


def _scattered(numbers: Tensor) -> Tensor:
    """Map whole numbers to such below `_PRIME` that look random."""
    for shift in (12_345, 6_789, 31_337):
        numbers = (numbers + shift) % _PRIME
        numbers = (numbers * numbers % _PRIME + numbers * 3) % _PRIME
    return numbers
