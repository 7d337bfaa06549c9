"""Translation of an image in overlapping tiles, blended into bands, and these into the image.

Weights are raised cosines over the whole overlap: where two tiles agree, the result is exactly their value.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from nirgen import images
from nirgen.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nirgen.translate.items import Translator

# Measured on real frames, see docs/performance.md: the larger a tile, the nearer its values to the whole frame's.
DEFAULT_TILE = 1024
DEFAULT_OVERLAP = 256
# Added to each gradient energy of the seam meter, in grey levels: smaller differences are invisible.
_FAINT = 0.25


@dataclass(frozen=True, slots=True)
class TilePlan:
    """The tiles of an image, in pixels."""

    tops: tuple[int, ...]  # first row of each row of tiles
    lefts: tuple[int, ...]  # first column of each column of tiles
    height: int  # of each tile; less than requested where the image is lower
    width: int

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)


@dataclass(frozen=True, slots=True)
class Tiled:
    """A translation in tiles."""

    nir: NDArray[np.float32]  # (C, H, W) in [0, 1]
    tiles: int
    seam: float  # see `seam_meter`; 1.0 for a single tile


def plan_tiles(height: int, width: int, tile: int, overlap: int, *, stride: int = 32) -> TilePlan:
    """Cover an image with as few tiles as the overlap allows, evenly spread.

    All tiles have one size and begin at multiples of the stride, as the whole frame's features do. The last ones end
    with the image's padding to the stride. `tile`, their greatest side, and `overlap`, the least of neighbours, are
    multiples of the translator's stride.

    Example:
        >>> plan_tiles(720, 1280, 512, 128)
        TilePlan(tops=(0, 224), lefts=(0, 384, 768), height=512, width=512)
    """
    for name, value, least in (("tile", tile, stride), ("overlap", overlap, 0)):
        if value % stride or value < least:
            up = max(least, -(-value // stride) * stride)
            raise ConfigError(f"{name} is {value} pixels; the model takes multiples of {stride}, such as {up}")
    if overlap >= tile:
        raise ConfigError(f"overlap is {overlap} pixels, the tile {tile}; give a tile larger than the overlap")
    tops, tile_height = _spread(height, tile, overlap, stride)
    lefts, tile_width = _spread(width, tile, overlap, stride)
    return TilePlan(tops, lefts, tile_height, tile_width)


def _spread(length: int, tile: int, overlap: int, stride: int) -> tuple[tuple[int, ...], int]:
    """Starts and length of the tiles along one side."""
    padded = -(-length // stride) * stride
    if padded <= tile:
        return (0,), padded
    count = -(-(padded - overlap) // (tile - overlap))
    room = (padded - tile) // stride
    return tuple(position * room // (count - 1) * stride for position in range(count)), tile


def translate_tiles(translator: Translator, rgb: NDArray[np.uint8], *, tile: int, overlap: int) -> Tiled:
    """Translate an image, (H, W, 3) uint8 sRGB, tile by tile; see `plan_tiles`."""
    height, width = rgb.shape[:2]
    plan = plan_tiles(height, width, tile, overlap, stride=translator.stride)
    nir: NDArray[np.float32] | None = None
    end = 0
    for top in plan.tops:
        band = _translate_band(translator, rgb[top : top + plan.height], plan)
        nir = np.empty((len(band), height, width), np.float32) if nir is None else nir
        _blend(nir, band, top, end)
        end = top + band.shape[1]
    assert nir is not None
    return Tiled(nir, len(plan), seam_meter(nir, rgb, plan))


def _translate_band(translator: Translator, rgb: NDArray[np.uint8], plan: TilePlan) -> NDArray[np.float32]:
    """(C, h, W): one row of tiles, blended, of (h, W, 3)."""
    band: NDArray[np.float32] | None = None
    end = 0
    for left in plan.lefts:
        cut = rgb[:, left : left + plan.width]
        height, width = cut.shape[:2]
        padded = images.pad_to_stride(cut, translator.stride)[np.newaxis]
        given = torch.from_numpy(np.ascontiguousarray(padded.transpose(0, 3, 1, 2)))
        nir: NDArray[np.float32] = translator.translate(given, [(height, width)]).numpy()[0, :, :height, :width]
        band = np.empty((len(nir), height, rgb.shape[1]), np.float32) if band is None else band
        # Transposed, so that one function blends rows and columns.
        _blend(band.swapaxes(1, 2), nir.swapaxes(1, 2), left, end)
        end = left + width
    assert band is not None
    return band


def _blend(whole: NDArray[np.float32], part: NDArray[np.float32], start: int, end: int) -> None:
    """Lay a part over a whole from row `start` on; the existing rows up to `end` fade into it."""
    shared = end - start
    faded = whole[:, start:end]
    weights = _rising(shared)[:, None]
    faded += weights * (part[:, :shared] - faded)
    whole[:, end : start + part.shape[1]] = part[:, shared:]


def _rising(length: int) -> NDArray[np.float32]:
    """Weights of the second tile over an overlap: half a cosine from 0 to 1, at the pixels' centres."""
    positions = (np.arange(length) + 0.5) / max(length, 1)
    return ((1 - np.cos(np.pi * positions)) / 2).astype(np.float32)


def seam_meter(nir: NDArray[np.float32], rgb: NDArray[np.uint8], plan: TilePlan) -> float:
    """Return the gradient energy on the lines where tiles meet, divided by that elsewhere: 1 means no visible seam.

    The energy E is the mean absolute difference, in grey levels, of neighbours across a line. The lines of a pair of
    neighbouring tiles are the border of each, and the middle of their overlap. An edge of the scene on such a line
    must not count, so the ratio is divided by the source's own, Y being its luma:

        seam = (E_lines(nir) + f) / (E_elsewhere(nir) + f) * (E_elsewhere(Y) + f) / (E_lines(Y) + f),  f = 1/4

    It measures steps, not the drift of brightness over a wide overlap. `nir` is (C, H, W) float32 in [0, 1], of `rgb`.
    """
    if len(plan) == 1:
        return 1.0
    lines = (_lines(plan.tops, plan.height), _lines(plan.lefts, plan.width))
    return _contrast(nir.mean(axis=0) * 255, lines) / _contrast(images.to_grey(rgb).astype(np.float32), lines)


def _lines(starts: tuple[int, ...], length: int) -> list[int]:
    """Indices of the differences that lie on a tile's border or in the middle of an overlap."""
    meetings = ((before + length, after) for before, after in pairwise(starts))
    return sorted({line - 1 for end, start in meetings for line in (start, (start + end) // 2, end)})


def _contrast(grey: NDArray[np.float32], lines: tuple[list[int], list[int]]) -> float:
    on: list[float] = []
    elsewhere: list[float] = []
    for axis in range(2):
        energies = np.abs(np.diff(grey, axis=axis)).mean(axis=1 - axis)
        on_lines = np.isin(np.arange(len(energies)), lines[axis])
        on.extend(energies[on_lines])
        elsewhere.extend(energies[~on_lines])
    return float((np.mean(on) + _FAINT) / (np.mean(elsewhere or on) + _FAINT))
