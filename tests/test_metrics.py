from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from nirgen import metrics


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    real = random.integers(0, 256, (32, 48), dtype=np.uint8)
    real = np.sort(real, axis=1)
    return np.clip(real + random.normal(0, 12, real.shape), 0, 255).astype(np.uint8), real


def test_psnr_is_that_of_scikit_image(images) -> None:
    generated, real = images
    assert metrics.psnr(generated, real) == pytest.approx(peak_signal_noise_ratio(real, generated), abs=1e-9)


def test_ssim_is_that_of_scikit_image_inside_the_border(images) -> None:
    generated, real = images
    _, maps = structural_similarity(
        real, generated, data_range=255, gaussian_weights=True, use_sample_covariance=False, full=True
    )
    assert metrics.ssim(generated, real) == pytest.approx(maps[5:-5, 5:-5].mean(), abs=1e-4)


def test_differences_do_not_wrap_around_8_bits() -> None:
    black, white = np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8)
    assert metrics.rmse(black, white) == metrics.rmse(white, black) == 255
    assert metrics.psnr(black, white) == 0


def test_an_rmse_of_23_is_a_psnr_of_20_9() -> None:
    assert metrics.psnr(np.full((2, 2), 123, np.uint8), np.full((2, 2), 100, np.uint8)) == pytest.approx(
        20.896, abs=1e-3
    )


def test_equal_images_are_perfect(images) -> None:
    _, real = images
    assert metrics.rmse(real, real) == 0
    assert metrics.psnr(real, real) == math.inf
    assert metrics.ssim(real, real) == pytest.approx(1)
