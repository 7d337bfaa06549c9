from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from nirgen.scores.artefacts import blocks, blots, lift
from nirgen.scores.planes import Planes


def planes(nir: np.ndarray, rgb: np.ndarray | None = None) -> Planes:
    """Planes of an image and of a grey image as RGB."""
    colour = None if rgb is None else np.repeat(rgb[..., None].astype(np.uint8), 3, axis=2)
    return Planes.of(nir.astype(np.uint8), colour)


def test_a_blot_is_the_logarithm_of_its_darkness_relative_to_its_surroundings() -> None:
    flat = np.full((128, 256), 94)  # 512 squares, of which one counts
    nir = flat.copy()
    nir[64:72, 128:136] = 4  # 94 + 6 levels around, 4 + 6 in it: ln 10, of which itself is 1/81
    found = planes(nir, flat)
    assert blots(found.nir, found.rgb) == pytest.approx(np.log(10) * 80 / 81, rel=1e-3)
    alone = planes(nir)
    assert blots(alone.nir, None) == pytest.approx(np.log(10) * 80 / 81 - 0.3, rel=1e-3)


def test_what_is_dark_in_rgb_or_without_surroundings_is_no_blot() -> None:
    flat = np.full((128, 256), 94)
    dark = flat.copy()
    dark[64:72, 128:136] = 4
    for nir, rgb in (
        (dark, dark),
        (flat, dark),
        (flat, flat),
        (np.where(np.arange(256) < 128, 30, 200) + 0 * flat,) * 2,
    ):
        found = planes(nir, rgb)
        assert blots(found.nir, found.rgb) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("side", [6, 8, 16, 24, 40, 64])
def test_blocks_of_any_side_have_the_height_of_their_steps(side: int) -> None:
    squares = np.indices((320 // side + 1, 640 // side + 1)).sum(axis=0) % 2 * 10
    checkered = (100 + np.kron(squares, np.ones((side, side))))[:320, :640].astype(np.uint8)
    assert blocks(checkered, None, 1.0) == pytest.approx(10)
    assert blocks(checkered, checkered, 0.7) == pytest.approx(3)
    assert blocks(checkered, checkered, 1.0) == 0


def test_blocks_are_found_in_one_direction_and_at_any_offset() -> None:
    rows = np.repeat(np.arange(40) % 2 * 6, 8)[3:, None] + np.zeros((1, 400), int)
    assert blocks((100 + rows).astype(np.uint8), None, 1.0) == pytest.approx(6)
    assert blocks((100 + rows.T).astype(np.uint8), None, 1.0) == pytest.approx(6)


def test_edges_texture_and_noise_are_no_blocks(scene, near_infrared) -> None:
    grey = scene[..., 1].copy()
    noisy = np.clip(near_infrared + np.random.default_rng(0).normal(0, 8, near_infrared.shape), 0, 255)
    assert blocks(near_infrared, grey, 0.7) < 0.2
    assert blocks(noisy.astype(np.uint8), grey, 0.7) < 0.2
    poles = np.full((320, 640), 100, np.uint8)
    poles[:, 100:104] = poles[:, 371:379] = 200
    assert blocks(poles, None, 1.0) == 0


def test_the_lift_is_the_distance_of_the_black_points() -> None:
    luma = np.full((64, 64), 120, np.uint8)
    luma[:2] = 12  # 3 % of the pixels
    nir = np.maximum(luma, 47)
    assert lift(nir, luma) == 47 - 12
    assert lift(luma, nir) == 0
    assert lift(nir, None) == 47 - 29
    nir[:2, :2] = 0  # one pixel of 256 counted is too few
    assert lift(nir, luma) == 47 - 12


def test_a_dark_halo_around_a_lamp_is_a_blot(near_infrared) -> None:
    rows, columns = np.indices((256, 512))
    glow = 20 + 235 * np.exp(-((rows - 100) ** 2 + (columns - 300) ** 2) / (2 * 20**2))
    texture = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 20, glow.shape), 4)
    night = np.clip(glow + texture, 0, 255)
    halo = np.where(abs(np.hypot(rows - 100, columns - 300) - 24) < 8, 3, night)
    sound, haloed = planes(night, night), planes(halo, night)
    assert blots(sound.nir, sound.rgb) < 0.1
    assert blots(haloed.nir, haloed.rgb) > 1
