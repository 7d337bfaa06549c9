from __future__ import annotations

import numpy as np
import pytest

from nirgen.images import conditions

SIZE = (24, 32)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def flat(*rgb: float) -> np.ndarray:
    return np.full((*SIZE, 3), rgb, np.float32)


@pytest.mark.parametrize("name", [*conditions.SHIFTS, "blur", "saturation"])
def test_a_condition_stays_in_range_repeats_with_its_seed_and_leaves_its_input(name: str) -> None:
    change = getattr(conditions, name)
    photo = random().random((*SIZE, 3), np.float32)
    before = photo.copy()
    first, again, other = (change(photo, random(seed)) for seed in (1, 1, 2))
    assert (first.shape, first.dtype) == (photo.shape, np.float32)
    assert 0 <= first.min() < first.max() <= 1
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, photo)
    assert np.array_equal(photo, before)


def test_a_cast_multiplies_each_channel() -> None:
    factors = conditions.cast(flat(0.1, 0.2, 0.3), random(), 0.15)[0, 0] / (0.1, 0.2, 0.3)
    assert factors == pytest.approx(np.exp(random().normal(0, 0.15, 3)), rel=1e-6)


def test_haze_hides_contrast_and_more_of_it_further_up() -> None:
    stripes = np.tile(np.array([0.0, 1.0], np.float32)[None, :, None], (SIZE[0], SIZE[1] // 2, 3))
    hazy = [conditions.haze(stripes, random(seed)) for seed in range(20)]
    contrast = np.stack([np.abs(np.diff(image[..., 1], axis=1)).mean(axis=1) for image in hazy])  # (20, rows)
    assert contrast.max() < 1
    assert contrast[:, :4].mean() < 0.8 * contrast[:, -4:].mean()


def test_overexposure_reaches_white_and_darkness_does_not() -> None:
    photo = flat(0.9, 0.9, 0.9)
    assert (conditions.clip(photo, random()) == 1).all()
    assert conditions.dark(photo, random()).mean() < 0.9 / 1.6 + 0.01


def test_saturation_keeps_luma() -> None:
    changed = conditions.saturation(flat(0.5, 0.4, 0.45), random(3))[0, 0]
    assert changed @ (0.299, 0.587, 0.114) == pytest.approx(0.5 * 0.299 + 0.4 * 0.587 + 0.45 * 0.114, abs=1e-4)
    assert abs(changed[0] - changed[1]) != pytest.approx(0.1, abs=1e-3)


def test_night_is_dark_and_its_lamps_are_bright_in_both() -> None:
    photo, nir = flat(0.5, 0.5, 0.5), np.full(SIZE, 0.5, np.float32)
    lit = 0
    for seed in range(20):
        rgb, dark = conditions.night(photo, nir, random(seed))
        assert np.median(dark) < 0.5
        lamps = dark > 0.95
        lit += lamps.any()
        assert rgb.max(axis=2)[lamps].min(initial=1) > 0.75
    assert lit > 5
    assert nir.min() == 0.5
