"""A small detector that learns street scenes in seconds: a network of convolutions that finds centres of objects.

After "Objects as Points" (Zhou et al., arXiv 1904.07850), at a sixth of its parts: at every fourth pixel it gives, for
each class, the share that an object's centre is there, and the object's width and height.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from street import CLASSES
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


Boxes = "Sequence[tuple[str, tuple[float, float, float, float]]]"
_STRIDE, _BATCH, _MOST = 4, 16, 20


class StreetNet:
    """A network, trained and asked on a CPU."""

    def __init__(self, seed: int) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self.random = np.random.default_rng(seed)
        wide, block = 32, []
        for before, after, stride in ((1, 16, 2), (16, wide, 2), (wide, wide, 1), (wide, wide, 2), (wide, wide, 1)):
            block += [nn.Conv2d(before, after, 3, stride, 1), nn.GroupNorm(4, after), nn.ReLU()]
        self.fine, self.coarse = nn.Sequential(*block[:9]), nn.Sequential(*block[9:])
        self.head = nn.Sequential(
            nn.Conv2d(2 * wide, wide, 3, padding=1), nn.ReLU(), nn.Conv2d(wide, len(CLASSES) + 4, 1)
        )
        nn.init.constant_(self.head[-1].bias[: len(CLASSES)], -4.0)
        self.net = nn.ModuleList([self.fine, self.coarse, self.head])

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return (N, classes + 4, H / 4, W / 4) of (N, 1, H, W): logits of centres, log sizes in pixels, offsets."""
        fine = self.fine(pixels)
        coarse = F.interpolate(self.coarse(fine), scale_factor=2.0, mode="bilinear")
        return self.head(torch.cat([fine, coarse], dim=1))

    def fit(self, examples: Sequence[tuple[NDArray[np.uint8], Boxes]], steps: int, rate: float = 3e-3) -> None:
        """Train on grey images, (H, W) uint8, with boxes, (class, COCO xywh); half of the views are mirrored."""
        optimizer = torch.optim.AdamW(self.net.parameters(), rate, weight_decay=1e-3)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1, (step + 1) / 20) * 0.5 * (1 + np.cos(np.pi * step / steps))
            chosen = self.random.integers(0, len(examples), _BATCH)
            views = [_view(*examples[place], mirrored=self.random.random() < 0.5) for place in chosen]
            pixels, heat, sizes, there = (torch.from_numpy(np.stack(part)) for part in zip(*views, strict=True))
            given = self(pixels)
            optimizer.zero_grad()
            _loss(given, heat, sizes, there).backward()
            nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
            optimizer.step()

    @torch.inference_mode()
    def detect(self, pixels: NDArray[np.uint8]) -> list[tuple[int, tuple[float, float, float, float], float]]:
        """Return (class, COCO xywh, score) of the best peaks."""
        given = self(torch.from_numpy(_normal(pixels))[None, None])[0]
        heat = given[: len(CLASSES)].sigmoid()
        heat = heat * (F.max_pool2d(heat[None], 3, 1, 1)[0] == heat)
        scores, places = heat.flatten().topk(_MOST)
        rows, columns = heat.shape[1:]
        found = []
        for score, place in zip(scores.tolist(), places.tolist(), strict=True):
            category, at = divmod(place, rows * columns)
            row, column = divmod(at, columns)
            width, height, x, y = given[len(CLASSES) :, row, column].tolist()
            width, height = float(np.exp(min(width, 5))), float(np.exp(min(height, 5)))
            box = ((column + x) * _STRIDE - width / 2, (row + y) * _STRIDE - height / 2, width, height)
            found.append((category, box, score))
        return found


def _normal(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return pixels.astype(np.float32) / 127.5 - 1


def _view(pixels: NDArray[np.uint8], boxes: Boxes, *, mirrored: bool) -> tuple[NDArray[np.float32], ...]:
    """Return pixels, and as targets: heat of centres, sizes and offsets, and where these are known."""
    height, width = pixels.shape
    heat = np.zeros((len(CLASSES), height // _STRIDE, width // _STRIDE), np.float32)
    sizes, there = np.zeros((4, *heat.shape[1:]), np.float32), np.zeros((1, *heat.shape[1:]), np.float32)
    rows, columns = np.mgrid[: heat.shape[1], : heat.shape[2]]
    for name, (x, y, wide, high) in boxes:
        left = width - x - wide if mirrored else x
        column, row = (left + wide / 2) / _STRIDE, (y + high / 2) / _STRIDE
        at = min(int(row), heat.shape[1] - 1), min(int(column), heat.shape[2] - 1)
        spread = max(0.8, min(wide, high) / _STRIDE / 5)
        peak = np.exp(-((rows - at[0]) ** 2 + (columns - at[1]) ** 2) / (2 * spread**2))
        category = CLASSES.index(name)
        heat[category] = np.maximum(heat[category], peak)
        sizes[:, at[0], at[1]] = np.log(wide), np.log(high), column - at[1], row - at[0]
        there[:, at[0], at[1]] = 1
    shown = pixels[:, ::-1] if mirrored else pixels
    return _normal(shown)[None], heat, sizes, there


def _loss(given: torch.Tensor, heat: torch.Tensor, sizes: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """Return the focal loss of centres and the absolute error of sizes."""
    share = given[:, : len(CLASSES)].sigmoid().clamp(1e-4, 1 - 1e-4)
    peaks = heat >= 0.999
    found = -((1 - share) ** 2 * share.log())[peaks].sum()
    false = -((1 - heat) ** 4 * share**2 * (1 - share).log())[~peaks].sum()
    apart = ((given[:, len(CLASSES) :] - sizes).abs() * there).sum()
    return (found + false + apart) / max(1.0, float(there.sum()))
