from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import piq
import pytest
import torch
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from sklearn.datasets import load_sample_images
from torchmetrics.functional import image as torchmetrics

from nirgen import images as nirgen_images
from nirgen import metrics

SHARED_PAIRS = Path(__file__).parents[2] / "shared" / "data" / "rgb_nir" / "val"


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


def test_psnr_after_the_best_gain_and_offset_of_four_pixels() -> None:
    generated, real = np.array([[0, 1], [1, 2]], np.uint8), np.array([[10, 20], [30, 40]], np.uint8)
    # Deviations -1, 0, 0, 1 and -15, -5, 5, 15: the gain is 15, the offset 10, and the errors left are 0, 5, -5, 0.
    assert metrics.affine_fit(generated, real) == (15, 10)
    assert metrics.psnr_affine(generated, real) == pytest.approx(10 * math.log10(255**2 / 12.5))


def test_gain_and_offset_of_the_camera_do_not_count(images) -> None:
    _, real = images
    darker = real // 2 * 2 // 4 + 30
    brighter = (darker - 30) * 3 + 50
    assert metrics.psnr(darker, real) < 15
    assert metrics.psnr_affine(darker, real) == pytest.approx(metrics.psnr_affine(brighter.astype(np.uint8), real))
    assert metrics.ssim_affine(darker, real) == pytest.approx(metrics.ssim_affine(brighter.astype(np.uint8), real))


def test_an_affine_map_of_the_real_image_is_perfect_without_rounding(images) -> None:
    real = images[1] // 3
    assert metrics.psnr_affine(real * 2 + 1, real) == math.inf
    assert metrics.ssim_affine(real * 2 + 1, real) == pytest.approx(1, abs=1e-12)
    assert metrics.ssim(real * 2 + 1, real) < 0.9


def test_the_fit_is_that_of_least_squares_on_a_large_image() -> None:
    random = np.random.default_rng(0)
    real = random.integers(0, 256, (1500, 2000), dtype=np.uint8)
    generated = np.clip(real * 0.5 + random.normal(60, 20, real.shape), 0, 255).astype(np.uint8)
    gain, offset = np.polyfit(generated.reshape(-1).astype(float), real.reshape(-1).astype(float), 1)
    assert metrics.affine_fit(generated, real) == pytest.approx((gain, offset))
    left = np.mean((generated * gain + offset - real) ** 2)
    assert metrics.psnr_affine(generated, real) == pytest.approx(10 * math.log10(255**2 / left))


def test_a_constant_image_is_fitted_by_an_offset_alone() -> None:
    constant, real = np.full((2, 2), 90, np.uint8), np.array([[10, 20], [30, 40]], np.uint8)
    assert metrics.affine_fit(constant, real) == (0, 25)
    assert metrics.psnr_affine(constant, real) == pytest.approx(10 * math.log10(255**2 / 125))
    assert metrics.psnr_affine(real, constant) == math.inf  # of a constant real image nothing is left to predict


def test_a_negative_is_no_better_than_a_constant() -> None:
    real = np.zeros((11, 11), np.uint8)
    real[5, 5] = 121
    assert metrics.affine_fit(255 - real, real) == (0, 1)
    assert metrics.psnr_affine(255 - real, real) == pytest.approx(10 * math.log10(255**2 / 120))
    # One window: the centre weighs 0.070761, so the real mean is 8.562 and its variance 962.7, against 1 and 0:
    # (2 * 8.562 + 6.5025) / (1 + 8.562**2 + 6.5025) * 58.5225 / (962.7 + 58.5225)
    assert metrics.ssim_affine(255 - real, real) == pytest.approx(0.01675, abs=1e-5)


def test_the_published_ssim_of_one_window() -> None:
    generated, real = np.zeros((7, 7), np.uint8), np.zeros((7, 7), np.uint8)
    generated[0, 0] = real[6, 6] = 49
    # Means 1 and 1, sample variances (2401 - 49) / 48 = 49, covariance -49 / 48; c1 = 6.5025, c2 = 58.5225.
    assert metrics.ssim_uniform7(generated, real) == pytest.approx((58.5225 - 49 / 24) / (98 + 58.5225))


def test_the_published_ssim_is_scikit_images_default(real_pair) -> None:
    generated, real = real_pair
    expected = structural_similarity(real, generated, data_range=255)
    assert metrics.ssim_uniform7(generated, real) == pytest.approx(expected, abs=1e-9)
    assert abs(metrics.ssim_uniform7(generated, real) - metrics.ssim(generated, real)) > 1e-4


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


def real_images() -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Two photos, green standing for generated and red for real NIR; and pairs of green and NIR, where they are."""
    photos = [
        (f"photo {number}", photo[..., 1], photo[..., 0]) for number, photo in enumerate(load_sample_images().images)
    ]
    pairs = sorted((SHARED_PAIRS / "nir").glob("*"))[::18]
    read = nirgen_images.read
    return photos + [(path.name, read(SHARED_PAIRS / "rgb" / path.name)[..., 1], read(path)[..., 0]) for path in pairs]


@pytest.fixture(params=real_images(), ids=lambda case: case[0])
def real_pair(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Generated and real, (H, W) uint8."""
    return np.ascontiguousarray(request.param[1]), np.ascontiguousarray(request.param[2])


def as_tensors(pair: tuple[np.ndarray, np.ndarray]) -> list[torch.Tensor]:
    return [torch.from_numpy(image)[None, None].double() for image in pair]


def test_on_real_images_psnr_is_that_of_scikit_image_piq_and_torchmetrics(real_pair) -> None:
    generated, real = real_pair
    found, tensors = metrics.psnr(generated, real), as_tensors(real_pair)
    assert 5 < found < 40
    assert found == pytest.approx(peak_signal_noise_ratio(real, generated), abs=1e-4)
    assert found == pytest.approx(float(piq.psnr(*tensors, data_range=255)), abs=1e-4)
    assert found == pytest.approx(float(torchmetrics.peak_signal_noise_ratio(*tensors, data_range=255.0)), abs=1e-4)


def test_on_real_images_ssim_is_that_of_scikit_image_piq_and_torchmetrics_inside_the_border(real_pair) -> None:
    generated, real = real_pair
    found, tensors = metrics.ssim(generated, real), as_tensors(real_pair)
    options = {"data_range": 255, "gaussian_weights": True, "use_sample_covariance": False}
    _, maps = structural_similarity(real, generated, full=True, **options)
    assert 0.1 < found < 0.99
    assert found == pytest.approx(maps[5:-5, 5:-5].mean(), abs=1e-4)
    assert found == pytest.approx(float(piq.ssim(*tensors, data_range=255, downsample=False)), abs=1e-4)
    # torchmetrics averages over the border too, where it reflects the image.
    _, whole = torchmetrics.structural_similarity_index_measure(*tensors, data_range=255.0, return_full_image=True)
    assert found == pytest.approx(float(whole[..., 5:-5, 5:-5].mean()), abs=1e-4)


def test_on_real_images_rmse_is_that_of_scikit_image(real_pair) -> None:
    generated, real = real_pair
    assert metrics.rmse(generated, real) == pytest.approx(mean_squared_error(real, generated) ** 0.5, abs=1e-4)


def test_on_real_images_rmse_is_made_of_deviation_and_bias(real_pair) -> None:
    parts = metrics.std_error(*real_pair) ** 2 + metrics.bias(*real_pair) ** 2
    assert metrics.rmse(*real_pair) ** 2 == pytest.approx(parts, abs=1e-6)


@pytest.mark.skipif(not SHARED_PAIRS.is_dir(), reason="the validation pairs may not be redistributed, and are not here")
def test_pairs_of_both_spectra_are_among_the_real_images() -> None:
    assert len(real_images()) == 5


def test_deviation_and_bias_of_four_pixels() -> None:
    generated, real = np.array([[12, 8], [22, 18]], np.uint8), np.array([[9, 9], [19, 19]], np.uint8)
    assert metrics.bias(generated, real) == 1  # errors 3, -1, 3, -1
    assert metrics.std_error(generated, real) == 2
    assert metrics.rmse(generated, real) == pytest.approx(5**0.5)


def test_the_sign_of_the_bias_is_that_of_generated_minus_real() -> None:
    assert metrics.bias(np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8)) == -255


@pytest.mark.parametrize(
    ("error", "wrapped"),
    [
        (0, 0),
        (15, 15),
        (16, 0),  # 256 mod 256
        (20, 12),  # 400 mod 256 is 144
        (-20, 12),  # 236 squared is 55696, and 144 mod 256
        (255, 1),  # 65025 mod 256
    ],
)
def test_the_published_rmse_wraps_its_difference_and_its_square(error: int, wrapped: float) -> None:
    real = np.full((4, 4), 0 if error >= 0 else 100, np.uint8)
    generated = np.full((4, 4), int(real[0, 0]) + error, np.uint8)
    assert metrics.rmse_uint8_wrapped(generated, real) == wrapped
