from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
import torch

from nirgen.crops import Photo, Sampler, read_photos

if TYPE_CHECKING:
    from nirgen.pairs import PairList


def sampler(photos: list[Photo], weights: list[float] | None = None, darkened: float = 0.0) -> Sampler:
    return Sampler(photos, weights or [1.0] * len(photos), smallest_crop=0.2, darkened=darkened, seed=0)


class TestSampler:
    @pytest.fixture
    def photos(self, pairs: PairList) -> list[Photo]:
        return read_photos(pairs)

    def test_crops_are_alike_in_both_spectra(self, photos: list[Photo], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Sampler, "_expose", lambda self, rgb: rgb)
        rgb, nir = sampler(photos).batch(16, 32)
        assert (rgb.shape, nir.shape) == ((16, 3, 32, 32), (16, 1, 32, 32))
        torch.testing.assert_close(nir[:, 0], rgb[:, 0])  # the photos' NIR is their red
        assert len({image.tobytes() for image in nir.numpy()}) == 16

    def test_exposure_changes_rgb_alone_and_mildly(self, photos: list[Photo]) -> None:
        rgb, nir = sampler(photos).batch(32, 32)
        difference = (rgb[:, :1] - nir).abs().mean(dim=(1, 2, 3))
        assert difference.min() > 0
        assert difference.mean() < 0.15
        assert rgb.abs().max() <= 1

    def test_night_takes_the_same_light_from_both(self, photos: list[Photo], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Sampler, "_expose", lambda self, rgb: rgb)
        rgb, nir = sampler(photos, darkened=1.0).batch(32, 32)
        assert (rgb[:, 0] - nir[:, 0]).abs().mean() < 0.03  # the sensor's noise
        brightest = (nir.amax(dim=(1, 2, 3)) + 1) / 2
        assert 0.04 < brightest.min() < 0.2
        assert brightest.max() < 0.8

    def test_pairs_are_drawn_by_their_weights(self) -> None:
        photos = [Photo(torch.full((3, 8, 8), level), torch.full((1, 8, 8), level)) for level in (0, 255)]
        photos = [Photo(photo.rgb.byte(), photo.nir.byte()) for photo in photos]
        _, nir = sampler(photos, [3.0, 1.0]).batch(400, 16)
        drawn = Counter(nir[:, 0, 0, 0].tolist())
        assert 260 < drawn[-1.0] < 340
        assert drawn[-1.0] + drawn[1.0] == 400
