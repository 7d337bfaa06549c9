from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from nirgen.scores.image_measures import STATISTICS, measure_image
from nirgen.scores.planes import Planes


def measured(nir: np.ndarray, rgb: np.ndarray | None):
    return measure_image(Planes.of(np.clip(nir, 0, 255).round().astype(np.uint8), rgb))


def test_a_sound_image_has_structure_and_is_as_sharp_as_rgb(scene, near_infrared) -> None:
    found = measured(near_infrared, scene)
    assert found.structure > 0.8
    assert found.sharpness == pytest.approx(1, abs=0.1)
    assert found.contrast == pytest.approx(0.75, abs=0.1)
    assert found.clipping < 0.01
    assert found.noise < 0.5
    assert found.banding < 0.5
    assert len(found.statistics) == len(STATISTICS)


def test_each_fault_is_in_its_score(scene, near_infrared) -> None:
    sound = measured(near_infrared, scene)
    nir, rng = near_infrared.astype(float), np.random.default_rng(0)
    assert measured(ndimage.gaussian_filter(nir, 2), scene).sharpness < 0.8 * sound.sharpness
    assert measured(nir.mean() + 0.3 * (nir - nir.mean()), scene).contrast < 0.5 * sound.contrast
    assert measured(np.roll(nir, 12, axis=1), scene).structure < sound.structure - 0.4
    assert measured(3 * (nir - nir.mean()) + nir.mean(), scene).clipping > 0.05
    assert measured(nir + rng.normal(0, 6, nir.shape), scene).noise == pytest.approx(sound.noise + 6, abs=2)
    rows = np.repeat(rng.normal(0, 5, 54), 8)[:426, None]
    assert measured(nir + rows, scene).banding > sound.banding + 0.4
    columns = np.repeat(rng.normal(0, 5, 80), 8)[None]
    assert measured(nir + columns, scene).banding > sound.banding + 0.25


def test_grey_levels_that_are_left_out_are_banding() -> None:
    ramp = np.linspace(0, 250, 512) + np.random.default_rng(0).uniform(0, 4, (128, 512))
    assert measured(ramp, None).banding == pytest.approx(0, abs=0.3)
    assert measured(ramp // 16 * 16, None).banding == pytest.approx(15, abs=1.5)


def test_black_and_white_are_clipped_only_where_rgb_is_neither() -> None:
    nir = np.full((64, 64), 120)
    nir[:32], nir[32:48] = 0, 255
    rgb = np.full((64, 64, 3), 120, np.uint8)
    assert measured(nir, rgb).clipping == pytest.approx(0.75)
    rgb[:32], rgb[32:48] = 10, 250
    assert measured(nir, rgb).clipping == 0
    assert measured(nir, None).clipping == pytest.approx(0.75)


def test_without_rgb_there_is_no_structure_and_an_ordinary_photograph_is_the_measure(near_infrared) -> None:
    found = measured(near_infrared, None)
    assert found.structure is None
    assert 0.6 < found.sharpness < 1.6
    assert measured(ndimage.gaussian_filter(near_infrared.astype(float), 2), None).sharpness < 0.8 * found.sharpness


def test_where_rgb_shows_nothing_nothing_is_said_of_structure(near_infrared) -> None:
    found = measured(near_infrared, np.full((426, 640, 3), 3, np.uint8))
    assert (found.structure, found.sharpness, found.contrast) == (None, None, None)


def test_noise_that_rgb_has_as_well_is_not_the_generator_s(scene, near_infrared) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 8, scene.shape[:2])
    rgb = np.clip(scene + noise[..., None], 0, 255).round().astype(np.uint8)
    assert measured(near_infrared + 0.7 * noise, rgb).noise < 1.5


def test_a_flat_image_has_no_gaps_and_no_error() -> None:
    found = measured(np.full((64, 64), 128), None)
    assert (found.banding, found.clipping, found.noise) == (0, 0, 0)
