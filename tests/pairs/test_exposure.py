from __future__ import annotations

import numpy as np
import pytest

from nirgen.pairs.exposure import clipped_shares, mutual_information


def test_independent_images_share_nothing() -> None:
    random = np.random.default_rng(0)
    rgb, nir = random.integers(0, 256, (512, 512, 3), np.uint8), random.integers(0, 256, (512, 512), np.uint8)
    bits, share = mutual_information(rgb, nir)
    assert (bits, share) == (pytest.approx(0, abs=0.01), pytest.approx(0, abs=0.01))


def test_two_equal_halves_share_one_bit() -> None:
    nir = np.zeros((8, 8), np.uint8)
    nir[:, 4:] = 255
    rgb = np.repeat(nir[..., np.newaxis], 3, axis=2)
    assert mutual_information(rgb, nir) == (1.0, 1.0)


def test_images_without_contrast_share_nothing() -> None:
    assert mutual_information(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)) == (0.0, 0.0)


def test_shares_of_clipped_samples_are_of_all_channels() -> None:
    rgb = np.full((2, 2, 3), 128, np.uint8)
    rgb[0, 0] = (0, 255, 255)
    assert clipped_shares(rgb) == (1 / 12, 2 / 12)
