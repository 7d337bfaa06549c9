"""BBDM (Li et al., CVPR 2023): a Brownian bridge from the RGB image to the NIR image, undone step by step.

Written from facts about the method (docs/reproduction.md). The network is the U-Net of Dhariwal and Nichol (NeurIPS
2021); the order of the tensors is that of its checkpoints. Here it works on pixels, without an autoencoder.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nirgen.models.network import Generator

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.models.config import BBDMConfig


TIMES = 1000  # of the bridge: 0 is near the NIR image, the last near the RGB image


class BBDM(Generator):
    """A U-Net that tells how far a point of the bridge is from the NIR image, and the walk along the bridge.

    In evaluation mode, the hash of an image's levels seeds its noise, so that the same image gives the same result.
    """

    config: BBDMConfig

    def __init__(self, config: BBDMConfig) -> None:
        super().__init__(config, config.stride)
        self.network = DiffusionUNet(config)

    def checkpoint_gradients(self) -> None:
        """Compute each block twice in training, to use less memory."""
        self.network.checkpointing = True

    def forward(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, 3, H, W) in [-1, 1], by `config.steps` runs of the network."""
        self.check(rgb)
        seeds = _seeds(rgb)
        return self.sample(rgb, lambda number: _noise(seeds, number, rgb))

    def once(self, rgb: Tensor) -> Tensor:
        """Run the network a single time, at the bridge's end, to see if it can run."""
        return self.predict(rgb, rgb, torch.full((len(rgb),), TIMES - 1, device=rgb.device))

    def predict(self, x: Tensor, rgb: Tensor, times: Tensor) -> Tensor:
        """Return the network's guess of `x` minus NIR.

        Args:
            x: Points of the bridge, (N, 3, H, W).
            rgb: The images at its end, of the same shape.
            times: Their places on it, (N,) whole numbers from 0 to `TIMES - 1`.
        """
        return self.network(torch.cat((x, rgb), dim=1) if self.config.conditioned else x, times)  # type: ignore[no-any-return]

    @torch.no_grad()
    def sample(self, rgb: Tensor, noise: Callable[[int], Tensor], *, eta: float = 1.0) -> Tensor:
        """Walk from RGB, (N, 3, H, W) in [-1, 1], to NIR of the same shape and range.

        Args:
            rgb: The images.
            noise: Returns the normal noise of a step by its number, from 1.
            eta: Share of the noise that is added.
        """
        x = rgb
        times = sampled_times(self.config.steps)
        for number, (time, following) in enumerate(zip(times, [*times[1:], -1], strict=True), start=1):
            at = torch.full((len(rgb),), time, device=rgb.device)
            nir = (x - self.predict(x, rgb, at).float()).clamp(-1, 1)
            if following < 0:
                break
            m, variance = bridge(time)
            m_next, variance_next = bridge(following)
            added = (variance - variance_next * ((1 - m) / (1 - m_next)) ** 2) * variance_next / variance
            rest = math.sqrt((variance_next - added) / variance)
            x = (1 - m_next) * nir + m_next * rgb + rest * (x - (1 - m) * nir - m * rgb)
            if eta:
                x = x + eta * math.sqrt(max(added, 0.0)) * noise(number)
        return nir


def bridge(time: int) -> tuple[float, float]:
    """Return RGB's share m at a place of the bridge, and the variance of the noise there, 2 (m - m^2)."""
    m = 0.001 + 0.998 * time / (TIMES - 1)
    return m, 2 * (m - m * m)


def point(nir: Tensor, rgb: Tensor, times: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return points of the bridge, and what the network is to guess of them: their difference from NIR.

    Images and noise are (N, 3, H, W), times (N,).
    """
    m = (0.001 + 0.998 * times.double() / (TIMES - 1)).float().view(-1, 1, 1, 1)
    apart = m * (rgb - nir) + (2 * (m - m * m)).sqrt() * noise
    return nir + apart, apart


def sampled_times(steps: int) -> list[int]:
    """Return the places at which a walk of so many steps runs the network, evenly spread, from the last to 0."""
    return [*(int(TIMES - 1 - (TIMES - 1) * number / (steps - 2)) for number in range(steps - 2)), 1, 0]


def _seeds(rgb: Tensor) -> list[int]:
    """Return a seed an image, by the hash of its levels of 8 bits."""
    levels = ((rgb.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu().contiguous()
    return [int.from_bytes(hashlib.sha256(image.numpy().tobytes()).digest()[:8]) for image in levels]


def _noise(seeds: list[int], number: int, like: Tensor) -> Tensor:
    """Return normal noise of a shape, drawn on the CPU, so that it is the same for all devices and batches."""
    shape = like.shape[1:]
    drawn = [np.random.default_rng((seed, number)).standard_normal(shape, dtype=np.float32) for seed in seeds]
    return torch.from_numpy(np.stack(drawn)).to(like.device)


class DiffusionUNet(nn.Module):
    """Residual blocks that know the time, at resolutions that halve and double again, with skips between them."""

    checkpointing = False  # recompute each block in the backward pass, to use less memory

    def __init__(self, config: BBDMConfig) -> None:
        super().__init__()
        self.base, embedded = config.filters, 4 * config.filters
        self.time = nn.Sequential(nn.Linear(config.filters, embedded), nn.SiLU(), nn.Linear(embedded, embedded))
        widths = [config.filters * factor for factor in config.multipliers]
        channels = config.filters
        self.first = nn.Conv2d(6 if config.conditioned else 3, channels, 3, padding=1)
        self.down = nn.ModuleList()
        skips = [channels]
        for level, width in enumerate(widths):
            for _ in range(config.blocks):
                self.down += [TimedBlock(channels, width, embedded)]
                channels = width
                skips += [channels]
            if level < len(widths) - 1:
                self.down += [TimedBlock(channels, channels, embedded, "down")]
                skips += [channels]
        self.middle = nn.ModuleList(
            (
                TimedBlock(channels, channels, embedded),
                PixelAttention(channels, config.head_channels),
                TimedBlock(channels, channels, embedded),
            )
        )
        self.up = nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            for position in range(config.blocks + 1):
                group = [TimedBlock(channels + skips.pop(), width, embedded)]
                channels = width
                if level and position == config.blocks:
                    group += [TimedBlock(channels, channels, embedded, "up")]
                self.up += [nn.ModuleList(group)]
        self.last = nn.Sequential(nn.GroupNorm(_GROUPS, channels), nn.SiLU(), nn.Conv2d(channels, 3, 3, padding=1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.02)

    def forward(self, x: Tensor, times: Tensor) -> Tensor:
        """(N, 3 or 6, H, W), H and W divisible by the stride, and times (N,) -> (N, 3, H, W)."""
        time = self.time(embed_times(times, self.base))
        x = self.first(x)
        skips = [x]
        for block in self.down:
            x = self._run(block, x, time)
            skips.append(x)
        for block in self.middle:
            x = self._run(block, x, time)
        for group in self.up:
            x = torch.cat((x, skips.pop()), dim=1)
            for block in group.children():
                x = self._run(block, x, time)
        return self.last(x)  # type: ignore[no-any-return]

    def _run(self, block: nn.Module, x: Tensor, time: Tensor) -> Tensor:
        inputs = (x, time) if isinstance(block, TimedBlock) else (x,)
        if self.checkpointing and self.training:
            return checkpoint(block, *inputs, use_reentrant=False)  # type: ignore[no-any-return]
        return block(*inputs)  # type: ignore[no-any-return]


_GROUPS = 32


def embed_times(times: Tensor, width: int) -> Tensor:
    """(N,) -> (N, width): cosines, then sines, of wavelengths from 2 pi to 20,000 pi."""
    half = width // 2
    rates = torch.exp(torch.arange(half, dtype=torch.float32, device=times.device) * (-math.log(10_000) / half))
    angles = times[:, None].float() * rates
    return torch.cat((angles.cos(), angles.sin()), dim=1)


class TimedBlock(nn.Module):
    """Two convolutions behind group norms beside a shortcut; the time scales and shifts the second norm.

    `change`: `down` or `up` halves or doubles the resolution before the first convolution and in the shortcut.
    """

    def __init__(self, channels_in: int, channels_out: int, embedded: int, change: str | None = None) -> None:
        super().__init__()
        self.change = change
        self.norm = nn.GroupNorm(_GROUPS, channels_in)
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.time = nn.Linear(embedded, 2 * channels_out)
        self.norm_after = nn.GroupNorm(_GROUPS, channels_out)
        self.conv_after = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(N, channels_in, H, W) and (N, embedded) -> (N, channels_out, H, W), or of half or twice the sides."""
        h = F.silu(self.norm(x))
        if self.change == "down":
            x, h = F.avg_pool2d(x, 2), F.avg_pool2d(h, 2)
        elif self.change == "up":
            x, h = (F.interpolate(each, scale_factor=2, mode="nearest") for each in (x, h))
        h = self.norm_after(self.conv(h))
        scale, shift = self.time(F.silu(time))[:, :, None, None].chunk(2, dim=1)
        h = self.conv_after(F.silu(h * (1 + scale) + shift))
        return self.shortcut(x) + h  # type: ignore[no-any-return]


class PixelAttention(nn.Module):
    """Attention among all pixels, added to the input; each head's query, key and value lie together."""

    def __init__(self, channels: int, head_channels: int) -> None:
        super().__init__()
        self.heads = channels // head_channels
        self.norm = nn.GroupNorm(_GROUPS, channels)
        self.to_qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.out = nn.Conv1d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        tokens = self.norm(x).flatten(2)  # (N, C, L)
        parts = self.to_qkv(tokens).unflatten(1, (self.heads, 3, -1)).transpose(-1, -2)  # (N, heads, 3, L, d)
        query, key, value = (part.contiguous() for part in parts.unbind(2))
        attended = F.scaled_dot_product_attention(query, key, value).transpose(-1, -2).flatten(1, 2)
        return x + self.out(attended).view(x.shape)  # type: ignore[no-any-return]
