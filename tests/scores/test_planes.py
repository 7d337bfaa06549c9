from __future__ import annotations

import numpy as np
import pytest

from nirgen.scores.planes import Planes, tile_means


def ramp(step: int, height: int = 64, width: int = 96) -> np.ndarray:
    return np.broadcast_to((np.arange(width) * step).astype(np.uint8), (height, width)).copy()


def test_the_gradient_of_a_ramp_is_its_slope() -> None:
    plane = Planes.of(ramp(2), None).nir
    assert np.allclose(plane.fine[4:-4, 4:-4], 4)
    assert np.allclose(plane.coarse[4:-4, 4:-4], 16)  # at half the size, twice the slope
    assert plane.fine.shape == plane.coarse.shape == plane.halved.shape == (32, 48)


def test_edges_that_run_against_each_other_are_aligned_but_not_along() -> None:
    rising, falling = ramp(2), ramp(2)[:, ::-1].copy()
    planes = Planes.of(falling, np.repeat(rising[..., None], 3, axis=2))
    assert np.allclose(planes.along[4:-4, 4:-4], -4)
    assert np.allclose(planes.aligned[4:-4, 4:-4], 4, atol=0.01)


def test_edges_across_each_other_are_neither() -> None:
    square = ramp(2, 96, 96)
    planes = Planes.of(square.T.copy(), np.repeat(square[..., None], 3, axis=2))
    assert np.allclose(planes.along[4:-4, 4:-4], 0)
    assert np.allclose(planes.aligned[4:-4, 4:-4], -4, atol=0.01)


@pytest.mark.parametrize("deviation", [2.0, 6.0])
def test_noise_is_found_in_flat_places(deviation: float) -> None:
    image = np.random.default_rng(0).normal(120, deviation, (200, 300)).round().astype(np.uint8)
    image[:, 150:] = np.where(np.indices((200, 150)).sum(axis=0) % 2, 250, 10)  # a place full of edges
    assert Planes.of(image, None).nir.noise == pytest.approx(deviation, rel=0.15)


def test_large_images_are_reduced_and_boxes_with_them() -> None:
    planes = Planes.of(np.zeros((100, 4100), np.uint8), None)
    assert planes.nir.levels.shape == (33, 1366)
    assert planes.window((1200, 30, 600, 60)) == (slice(5, 15), slice(200, 300))


def test_a_window_ends_at_the_border_of_the_image() -> None:
    planes = Planes.of(np.zeros((64, 96), np.uint8), None)
    assert planes.window((80, 50, 40, 40), margin=4) == (slice(23, 32), slice(38, 48))
    assert planes.window((200, 200, 10, 10)) == (slice(32, 32), slice(48, 48))


def test_an_rgb_image_of_another_size_is_brought_to_the_nir_image_s() -> None:
    planes = Planes.of(ramp(2), np.zeros((128, 192, 3), np.uint8))
    assert planes.rgb.levels.shape == (64, 96)


def test_what_does_not_fill_a_square_is_left_out() -> None:
    assert tile_means(np.arange(15, dtype=np.float32).reshape(3, 5), 2).tolist() == [[3.0, 5.0]]
