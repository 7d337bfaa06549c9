from __future__ import annotations

import numpy as np
import pytest

from nirgen import images


def test_quantising_rounds_and_clamps():
    values = np.array([-0.1, 0.0, 0.499 / 255, 0.501 / 255, 1.0, 1.1], np.float32)
    assert images.to_pixels(values).tolist() == [0, 0, 0, 1, 255, 255]
    assert images.to_pixels(values, 16).tolist() == [0, 0, 128, 129, 65535, 65535]


def test_three_channels_become_one_by_their_mean():
    values = np.array([0.0, 0.3, 0.6], np.float32).reshape(3, 1, 1)
    assert images.to_channels(values, 1) == pytest.approx(np.array([[0.3]]))


def test_one_channel_becomes_three_equal_ones():
    assert images.to_channels(np.full((1, 2, 2), 0.5, np.float32), 3).tolist() == [[[0.5] * 3] * 2] * 2


def test_padding_reflects_at_the_bottom_and_right():
    row = np.array([[1, 2, 3]], np.uint8)[..., np.newaxis].repeat(3, axis=2)
    assert images.pad_to_stride(row, 5)[..., 0].tolist() == [[1, 2, 3, 2, 1]] * 5


@pytest.mark.parametrize(("size", "padded"), [((1, 1), (32, 32)), ((3, 2000), (32, 2016)), ((720, 1280), (736, 1280))])
def test_any_size_can_be_padded(size, padded):
    assert images.pad_to_stride(np.zeros((*size, 3), np.uint8), 32).shape == (*padded, 3)


def test_resizing_takes_height_before_width(photo):
    assert images.resize(photo(20, 30), (7, 11)).shape == (7, 11, 3)


def test_a_bilinear_filter_averages_and_never_overshoots_as_lanczos_does():
    edge = np.repeat(np.uint8([[0, 0, 0, 0, 200, 200, 200, 200]]), 3, axis=0)[..., np.newaxis].repeat(3, axis=2)
    assert images.resize(edge, (3, 4), resample="bilinear")[0, :, 0].tolist() == [0, 25, 175, 200]
    assert images.resize(edge, (3, 16)).max() > 200
    assert images.resize(edge, (3, 16), resample="bilinear").max() == 200


def test_equal_channels_become_one_unchanged_and_others_their_luma() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 256)
    assert np.array_equal(images.to_grey(np.repeat(levels[..., np.newaxis], 3, axis=2)), levels)
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert images.to_grey(colours).tolist() == [[76, 150, 29]]


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_levels_are_those_of_rounding_in_double_precision(bit_depth):
    """Many values beside the borders of two levels, more than are rounded at once."""
    levels = 2**bit_depth - 1
    borders = ((np.arange(levels) + 0.5) / levels).astype(np.float32)
    values = np.concatenate([borders, np.nextafter(borders, np.float32(0)), np.nextafter(borders, np.float32(1))])
    assert np.array_equal(images.to_pixels(values, bit_depth), np.rint(values.astype(np.float64) * levels))


@pytest.mark.parametrize("size", [(20, 30), (33, 64), (32, 65), (1, 1), (40, 5), (63, 31)])
def test_padding_is_the_reflection_of_numpy(photo, size):
    below, right = -size[0] % 32, -size[1] % 32
    expected = np.pad(photo(*size), ((0, below), (0, right), (0, 0)), mode="reflect")
    assert np.array_equal(images.pad_to_stride(photo(*size), 32), expected)


def test_white_balance_gives_the_channels_one_mean_and_passes_over_clipped_pixels():
    rgb = np.array([[[200, 100, 60], [100, 50, 30], [255, 255, 255], [2, 1, 0]]], np.uint8)
    # means of the two pixels that count are 150, 75, 45; their own mean is 90, so the gains are 0.6, 1.2, 2
    assert images.balance_white(rgb).tolist() == [[[120, 120, 120], [60, 60, 60], [153, 255, 255], [1, 1, 0]]]
    for nothing in (np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)):
        assert images.balance_white(nothing) is nothing


def test_gains_of_white_balance_are_limited():
    rgb = np.full((1, 1, 3), (200, 0, 100), np.uint8)  # means 200, 1, 100: gains 0.5, 2 instead of 100, 1
    assert images.balance_white(rgb).tolist() == [[[100, 0, 100]]]
