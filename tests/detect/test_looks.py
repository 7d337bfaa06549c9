from __future__ import annotations

import numpy as np

from nirgen.detect.looks import nir_like, show

GREEN, BLUE, GREY = (60, 140, 50), (120, 160, 230), (110, 110, 110)


def landscape() -> np.ndarray:
    """Sky above vegetation, with a grey road."""
    rgb = np.empty((20, 30, 3), np.uint8)
    rgb[:10], rgb[10:], rgb[10:, 10:20] = BLUE, GREEN, GREY
    return rgb


def test_colour_is_the_image_and_grey_its_luma() -> None:
    rgb = landscape()
    assert show(rgb, "colour", "a") is rgb
    grey = show(rgb, "grey", "a")
    assert grey.shape == (20, 30, 3)
    assert grey[15, 0].tolist() == [round(0.299 * 60 + 0.587 * 140 + 0.114 * 50)] * 3


def test_tones_like_those_of_nir_brighten_vegetation_and_darken_the_sky_beside_what_is_grey() -> None:
    rgb = landscape()
    plain = show(rgb, "grey", "a")[..., 0].astype(float)
    for seed in range(20):
        tones = nir_like(rgb, np.random.default_rng(seed)).astype(float)
        changes = tones / plain
        assert changes[15, 0] > 1.1 * changes[15, 15]
        assert changes[2, 0] < 0.9 * changes[15, 15]


def test_tones_are_the_same_for_an_image_and_others_for_another_one() -> None:
    rgb = landscape()
    assert np.array_equal(show(rgb, "nir-like", "a"), show(rgb, "nir-like", "a"))
    assert not np.array_equal(show(rgb, "nir-like", "a"), show(rgb, "nir-like", "b"))
