from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from nirgen.losses import (
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
    gradient_loss,
    rmse_loss,
    ssim,
    structure_loss,
    warmup_cosine,
)


def image_and_noisy(size: tuple[int, int] = (40, 56)) -> tuple[np.ndarray, np.ndarray]:
    """Two float64 images in [0, 255] that are alike in places."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[: size[0], : size[1]]
    image = 128 + 100 * np.sin(x / 5) * np.cos(y / 7)
    return image, np.clip(image * 0.8 + random.normal(0, 20, size), 0, 255)


def batch(*arrays: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays))[:, None]


def scores(*values: float) -> list[torch.Tensor]:
    """One map for each scale, here of one score each."""
    return [torch.tensor([[[[float(value)]]]]) for value in values]


def test_ssim_is_that_of_scikit_image() -> None:
    image, noisy = image_and_noisy()
    _, maps = structural_similarity(
        image, noisy, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    assert 0.2 < maps[5:-5, 5:-5].mean() < 0.9
    found = ssim(batch(noisy), batch(image), data_range=255)
    assert found.item() == pytest.approx(maps[5:-5, 5:-5].mean(), abs=1e-4)


def test_ssim_is_that_of_torchmetrics_for_each_image_of_a_batch() -> None:
    image, noisy = image_and_noisy()
    generated, real = batch(noisy, image) / 127.5 - 1, batch(image, image) / 127.5 - 1
    _, maps = structural_similarity_index_measure(
        generated, real, data_range=2.0, reduction="none", return_full_image=True
    )
    expected = maps[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))  # torchmetrics reflects the border
    torch.testing.assert_close(ssim(generated, real, data_range=2), expected, atol=1e-4, rtol=0)


def test_ssim_of_float32_is_near_that_of_float64() -> None:
    image, noisy = image_and_noisy()
    generated, real = batch(noisy) / 127.5 - 1, batch(image) / 127.5 - 1
    torch.testing.assert_close(
        ssim(generated.float(), real.float(), data_range=2).double(),
        ssim(generated, real, data_range=2),
        atol=1e-5,
        rtol=0,
    )


def test_equal_images_have_ssim_1_and_its_gradient_leads_there() -> None:
    image, noisy = (batch(array) / 255 for array in image_and_noisy((11, 11)))
    assert ssim(image, image, data_range=1).tolist() == [pytest.approx(1)]
    noisy.requires_grad_()
    before = ssim(noisy, image, data_range=1)
    (gradient,) = torch.autograd.grad(before.sum(), noisy)
    assert ssim(noisy + 1e-3 * gradient / gradient.norm(), image, data_range=1) > before


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # scores: real 2 and 0, generated -1 and 0.5, on two scales
        ("lsgan", (1 + 1) / 2 + (1 + 0.25) / 2),
        ("hinge", (0 + 0) / 2 + (1 + 1.5) / 2),
        ("vanilla", (0.126928 + 0.313262) / 2 + (0.693147 + 0.974077) / 2),
    ],
)
def test_the_discriminators_loss_is_halved_and_summed_over_scales(kind, expected) -> None:
    assert discriminator_loss(scores(2, 0), scores(-1, 0.5), kind).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("lsgan", 4 + 0.25), ("hinge", 1 - 0.5), ("vanilla", 1.313262 + 0.474077)],
)
def test_the_generators_loss_is_summed_over_scales(kind, expected) -> None:
    assert generator_loss(scores(-1, 0.5), kind).item() == pytest.approx(expected, abs=1e-6)


def test_scales_that_do_not_pair_are_a_bug() -> None:
    with pytest.raises(ValueError, match="zip"):
        discriminator_loss(scores(1, 2), scores(1), "lsgan")


def test_feature_matching_is_summed_over_layers_and_scales_and_teaches_only_the_generator() -> None:
    real, fake = torch.tensor([1.0, 3.0], requires_grad=True), torch.tensor([2.0, 0.0], requires_grad=True)
    loss = feature_matching_loss([[real, real], [real]], [[fake, real.detach()], [fake]])
    assert loss.item() == pytest.approx(2 + 0 + 2)
    loss.backward()
    assert real.grad is None
    assert fake.grad.tolist() == pytest.approx([1, -1])


def test_rmse_counts_each_image_alike() -> None:
    real = torch.zeros(2, 1, 2, 2)
    generated = torch.stack((torch.full((1, 2, 2), 3.0), torch.full((1, 2, 2), 1.0)))
    assert rmse_loss(generated, real).item() == pytest.approx(2, abs=1e-5)


def test_rmse_of_equal_images_has_a_finite_gradient() -> None:
    image = torch.zeros(1, 1, 2, 2, requires_grad=True)
    rmse_loss(image, torch.zeros(1, 1, 2, 2)).backward()
    assert image.grad.tolist() == [[[[0, 0], [0, 0]]]]


def test_the_rate_rises_linearly_and_falls_as_half_a_cosine() -> None:
    found = [warmup_cosine(progress, warmup=0.2) for progress in (0, 0.1, 0.2, 0.4, 0.6, 1.0, 1.5)]
    assert found == pytest.approx([0, 0.5, 1, (1 + math.sqrt(0.5)) / 2, 0.5, 0, 0])
    assert warmup_cosine(0, warmup=0) == 1


def test_structure_forgives_an_offset_and_nothing_else() -> None:
    real = torch.tensor([[[[0.0, 0.2], [0.4, 0.6]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    assert structure_loss(real + torch.tensor([0.3, -0.1]).view(2, 1, 1, 1), real).item() == pytest.approx(0, abs=1e-7)
    # errors 0, 0, 0, 0.4 around their mean of 0.1: 0.1, 0.1, 0.1, 0.3
    wrong = real[:1] + torch.tensor([[0.0, 0.0], [0.0, 0.4]])
    assert structure_loss(wrong, real[:1]).item() == pytest.approx(0.15)


def test_the_gradient_loss_is_the_mean_difference_along_both_axes() -> None:
    real = torch.zeros(1, 1, 2, 3)
    generated = torch.tensor([[[[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]]])
    # rows: 1, 0, 0, 0 over four pairs; columns: 0, 1, 1 over three pairs
    assert gradient_loss(generated, real).item() == pytest.approx(1 / 4 + 2 / 3)
    assert gradient_loss(generated + 0.5, generated).item() == 0
