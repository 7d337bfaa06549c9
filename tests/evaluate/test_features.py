from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from nirgen.errors import ModelError
from nirgen.evaluate.features import Backbone, Features, features_distance, kid_features
from nirgen.models.checkpoint import build, save

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.models.config import GeneratorConfig

PHOTO = load_sample_images().images[0][100:196, 200:328]
RED, GREEN = np.ascontiguousarray(PHOTO[..., 0]), np.ascontiguousarray(PHOTO[..., 1])


@pytest.fixture
def backbone(model_with_backbone: Callable[..., Path]) -> Backbone:
    return Backbone.read(model_with_backbone())


def features(*maps: list[list[list[float]]]) -> Features:
    """Features of maps (C, h, w)."""
    return Features([torch.tensor(each) for each in maps], np.zeros(1))


def test_the_distance_is_that_of_unit_vectors_averaged_over_positions_and_maps() -> None:
    # Two positions of two channels: (3, 4) and (4, 3), of length 1 (0.6, 0.8) and (0.8, 0.6), differ by 0.04 + 0.04;
    # (1, 0) and (5, 0) don't. The second map's are opposite.
    ours = features([[[3.0, 1.0]], [[4.0, 0.0]]], [[[2.0]]])
    theirs = features([[[4.0, 5.0]], [[3.0, 0.0]]], [[[-0.5]]])
    assert features_distance(ours, theirs) == pytest.approx((0.04 + 4) / 2)


def test_an_image_has_no_distance_from_itself_and_another_one_the_same_both_ways(backbone: Backbone) -> None:
    red, green = backbone.features(RED), backbone.features(GREEN)
    assert features_distance(red, red) == 0
    assert features_distance(red, green) == features_distance(green, red) > 1e-5


def test_a_worse_picture_is_farther(backbone: Backbone) -> None:
    real = backbone.features(RED)
    noise = np.random.default_rng(0).normal(size=RED.shape)
    distances = [
        features_distance(backbone.features((RED + level * noise).clip(0, 255).astype(np.uint8)), real)
        for level in (2, 10, 50)
    ]
    assert distances == sorted(distances)
    assert distances[0] > 0


def test_the_maps_are_those_of_all_strides(backbone: Backbone) -> None:
    sizes = [tuple(each.shape[1:]) for each in backbone.features(RED).maps]
    assert sizes == [(48, 64), (24, 32), (12, 16), (6, 8), (3, 4)]


def test_the_pooled_features_are_means_of_the_deepest_map(backbone: Backbone) -> None:
    found = backbone.features(RED)
    assert found.pooled == pytest.approx(found.maps[-1].mean(dim=(1, 2)).numpy())


def test_the_backbone_sees_the_range_of_its_training(backbone: Backbone) -> None:
    found = backbone.features(RED)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    batch = (torch.from_numpy(RED).float().expand(3, -1, -1) / 255 - mean) / std
    with torch.inference_mode():
        expected = backbone._network(batch[None])[-1][0]
    torch.testing.assert_close(found.maps[-1], expected)


def test_the_id_is_that_of_the_backbone_and_not_of_the_rest_of_the_file(
    model_with_backbone: Callable[..., Path],
) -> None:
    ids = [Backbone.read(model_with_backbone(**seeds)).id for seeds in ({}, {"rest": 1}, {"seed": 1})]
    assert ids[0] == ids[1] != ids[2]
    assert Backbone.read(model_with_backbone()).about == f"test_efficientnet of model, sha256 {ids[0][:12]}"


def test_a_model_without_a_pretrained_backbone_is_refused(tmp_path: Path, small_config: GeneratorConfig) -> None:
    save(tmp_path / "model.safetensors", build(small_config).state_dict(), small_config)
    with pytest.raises(
        ModelError, match=r"model\.safetensors: no backbone of timm to measure with; install nirgen again"
    ):
        Backbone.read(tmp_path / "model.safetensors")


def test_the_embedded_model_has_a_backbone_of_five_maps() -> None:
    found = Backbone.read().features(RED)
    assert len(found.maps) == 5
    assert features_distance(found, found) == 0


def test_kid_of_two_paired_values() -> None:
    # k(x, y) = (x y + 1)^3: k(1, 2) = 27 within, k(0, 1) = 1 within; across the pairs k(1, 1) = 8 and k(2, 0) = 1
    found = kid_features(np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]]), ["a", "b"], resamples=100)
    assert found.value == 27 + 1 - 8 - 1


def test_equal_images_have_a_kid_of_0_and_other_ones_an_interval_around_theirs() -> None:
    random = np.random.default_rng(0)
    real = random.normal(size=(40, 8))
    groups = [str(number) for number in range(40)]
    same = kid_features(real, real, groups, resamples=200)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    shifted = kid_features(real + 1, real, groups, resamples=200)
    assert shifted.low is not None
    assert shifted.high is not None
    assert 0 < shifted.low < shifted.value < shifted.high


def test_an_image_drawn_twice_is_not_compared_with_itself() -> None:
    # Two groups: a draw of one of them twice has no pair of different images, and gives no number.
    found = kid_features(np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]]), ["a", "b"], resamples=100)
    assert (found.low, found.high) == (19, 19)


def test_of_very_many_images_as_many_as_are_wanted_are_taken_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nirgen.evaluate.features.MOST", 3)
    real = np.zeros((5, 1))
    # of 1, sqrt(2)... the first, third and fifth: k(x, y) = (x y + 1)^3, against zeros 1
    generated = np.array([[1.0], [9.0], [sqrt(2)], [9.0], [2.0]])
    within = ((sqrt(2) + 1) ** 3 + 3**3 + (2 * sqrt(2) + 1) ** 3) / 3
    found = kid_features(generated, real, list("abcde"), resamples=100)
    assert found.value == pytest.approx(within + 1 - 2)
