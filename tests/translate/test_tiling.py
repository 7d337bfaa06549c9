from __future__ import annotations

from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from nirgen.errors import ConfigError
from nirgen.translate.tiling import TilePlan, plan_tiles, seam_meter, translate_tiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


STRIDE = 8


class MovingExposure:
    """Adds to the red channel a brightness that depends on what stands at the tile's corner, as statistics do."""

    id = "0" * 64
    stride = STRIDE
    header: Mapping[str, Any] = MappingProxyType({})

    def translate(self, rgb: torch.Tensor, sizes: Sequence[tuple[int, int]]) -> torch.Tensor:
        return (rgb[:, :1].float() / 255 + rgb[:, 2:, :1, :1].float() / 255).clamp(0, 1)


@pytest.mark.parametrize("size", [(5, 9), (64, 64), (64, 65), (65, 64), (100, 200), (129, 31)])
@pytest.mark.parametrize("overlap", [0, 16, 48])
def test_a_translator_without_context_gives_exactly_the_whole_frame(red, photo, size, overlap) -> None:
    rgb = photo(*size)
    tiled = translate_tiles(red, rgb, tile=64, overlap=overlap)
    expected = torch.from_numpy(rgb[None, ..., 0]).float() / 255
    assert np.array_equal(tiled.nir, expected.numpy())
    assert tiled.nir.dtype == np.float32


def test_an_image_smaller_than_a_tile_is_one_tile_of_its_own_size(red, photo) -> None:
    tiled = translate_tiles(red, photo(20, 30), tile=64, overlap=16)
    assert (tiled.tiles, tiled.seam) == (1, 1.0)
    assert red.batches == [(1, 24, 32)]


def test_no_tile_is_larger_than_a_tile(red, photo) -> None:
    tiled = translate_tiles(red, photo(150, 200), tile=64, overlap=16)
    assert red.batches == [(1, 64, 64)] * tiled.tiles


def test_tiles_that_differ_fade_into_each_other() -> None:
    rgb = np.zeros((64, 112, 3), np.uint8)
    rgb[0, 48, 2] = 255  # the second tile, which begins there, is white, the first is black
    nir = translate_tiles(MovingExposure(), rgb, tile=64, overlap=16).nir[0, 32]
    fading = (1 - np.cos(np.pi * (np.arange(16) + 0.5) / 16)) / 2
    assert nir == pytest.approx(np.concatenate([np.zeros(48), fading, np.ones(48)]), abs=1e-6)


def test_one_pixel_more_than_a_tile_is_two_tiles() -> None:
    assert plan_tiles(65, 64, 64, 16, stride=STRIDE) == TilePlan((0, 8), (0,), 64, 64)


def test_twelve_megapixels_are_planned_without_a_gap() -> None:
    plan = plan_tiles(3000, 4000, 1024, 256)
    assert (len(plan.tops), len(plan.lefts)) == (4, 5)
    for starts, length in ((plan.tops, 3008), (plan.lefts, 4000)):
        assert starts[0] == 0
        assert starts[-1] + 1024 == length
        assert all(start % 32 == 0 for start in starts)
        assert all(before + 1024 - after >= 256 for before, after in pairwise(starts))


@pytest.mark.parametrize(
    ("tile", "overlap", "message"),
    [
        (500, 128, "tile is 500 pixels; the model takes multiples of 32, such as 512"),
        (0, 0, "tile is 0 pixels; the model takes multiples of 32, such as 32"),
        (512, 100, "overlap is 100 pixels; the model takes multiples of 32, such as 128"),
        (256, 256, "overlap is 256 pixels, the tile 256; give a tile larger than the overlap"),
    ],
)
def test_tiles_of_no_use_are_refused(tile: int, overlap: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_tiles(720, 1280, tile, overlap)


@pytest.mark.parametrize("seed", range(3))
def test_the_seam_meter_is_1_where_nothing_is_to_be_seen(red, photo, seed: int) -> None:
    smooth = np.broadcast_to(np.linspace(0, 255, 300, dtype=np.uint8)[:, None], (200, 300, 3))
    assert translate_tiles(red, photo(200, 300, seed), tile=64, overlap=16).seam == pytest.approx(1, abs=0.05)
    assert translate_tiles(red, smooth, tile=64, overlap=16).seam == pytest.approx(1, abs=0.05)


def test_an_edge_of_the_scene_on_a_line_is_no_seam(red) -> None:
    rgb = np.full((128, 128, 3), 50, np.uint8)
    rgb[:64] = 200
    assert translate_tiles(red, rgb, tile=64, overlap=0).seam == pytest.approx(1)


@pytest.mark.parametrize("overlap", [0, 16])
def test_the_seam_meter_is_clearly_above_1_where_tiles_differ_in_brightness(overlap: int) -> None:
    rgb = np.full((200, 300, 3), 50, np.uint8)
    rgb[..., 2] = np.random.default_rng(0).integers(0, 60, (200, 300))
    seam, wide = (translate_tiles(MovingExposure(), rgb, tile=64, overlap=px).seam for px in (overlap, 32))
    assert seam > 1.3
    assert wide < seam  # the wider the overlap, the less of a step is left to be seen


def test_the_seam_meter_reads_a_step_as_its_formula_says() -> None:
    nir = np.zeros((1, 16, 32), np.float32)
    nir[..., 16:] = 4 / 255
    flat = np.zeros((16, 32, 3), np.uint8)
    # 31 differences between columns and 15 between rows; the one on the line is of 4 levels, the others of none
    assert seam_meter(nir, flat, TilePlan((0,), (0, 16), 16, 16)) == pytest.approx((4 + 0.25) / 0.25)
