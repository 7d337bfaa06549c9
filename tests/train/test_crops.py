from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from nirgen.errors import ImageError
from nirgen.pairs import PairList, find_pairs
from nirgen.train.config import CropConfig
from nirgen.train.crops import Photo, draw_crop, read_photo

if TYPE_CHECKING:
    from torch import Tensor


@pytest.fixture
def decoded(pairs: PairList) -> Photo:
    """48x64 pixels; NIR is the red channel."""
    return read_photo(pairs, pairs.pairs[0])


def crops(photo: Photo, config: CropConfig, count: int = 24, size: int = 32) -> list[tuple[Tensor, Tensor]]:
    return [draw_crop(photo, size, config, np.random.default_rng(seed)) for seed in range(count)]


def test_a_photo_is_its_files_pixels(pairs: PairList, decoded: Photo) -> None:
    with Image.open(pairs.root / "train/rgb/a.png") as image:
        assert torch.equal(decoded.rgb.permute(1, 2, 0), torch.from_numpy(np.array(image)))
    assert torch.equal(decoded.nir[0], decoded.rgb[0])


def test_partners_of_two_sizes_are_refused(pairs: PairList) -> None:
    listed = find_pairs(pairs.root)
    wide = pairs.root / "train/nir/a.png"
    with Image.open(wide) as image:
        image.resize((128, 96)).save(wide)
    changed = listed.pairs[0].__class__(**{**vars(listed.pairs[0]), "nir_sha256": _sha256(wide)})
    with pytest.raises(ImageError, match=r"a\.png: 128x96, but its RGB partner is 64x48; align and crop them alike"):
        read_photo(listed, changed)


@pytest.mark.parametrize("kind", ["squash", "native", "resized"])
def test_crops_are_alike_in_both_spectra(decoded: Photo, kind: str) -> None:
    config = CropConfig(kind=kind, scale_jitter=0.3)
    for rgb, nir in crops(decoded, config):
        assert (rgb.shape, nir.shape) == ((3, 32, 32), (1, 32, 32))
        torch.testing.assert_close(nir[0], rgb[0])


def test_squashing_shows_the_whole_photo_or_its_mirror_image(decoded: Photo) -> None:
    whole = draw_crop(decoded, 32, CropConfig(flip=False), np.random.default_rng(0))[1]
    mirrored = [torch.equal(nir, whole.flip(-1)) for _, nir in crops(decoded, CropConfig())]
    straight = [torch.equal(nir, whole) for _, nir in crops(decoded, CropConfig())]
    assert [a != b for a, b in zip(mirrored, straight, strict=True)] == [True] * 24
    assert 5 < sum(mirrored) < 19


def test_native_crops_are_windows_of_the_photo_pixel_for_pixel(decoded: Photo) -> None:
    windows = decoded.nir.unfold(1, 32, 1).unfold(2, 32, 1)[0].float() / 127.5 - 1
    for _, nir in crops(decoded, CropConfig(kind="native", flip=False), count=6):
        assert (windows - nir).abs().amax(dim=(-1, -2)).min() < 1e-6


def test_a_photo_smaller_than_a_native_crop_is_enlarged(decoded: Photo) -> None:
    rgb, _ = draw_crop(decoded, 96, CropConfig(kind="native"), np.random.default_rng(0))
    assert rgb.shape == (3, 96, 96)


def test_scale_jitter_changes_how_much_a_native_crop_shows(decoded: Photo) -> None:
    plain = [nir.std() for _, nir in crops(decoded, CropConfig(kind="native"), size=24)]
    jittered = [nir.std() for _, nir in crops(decoded, CropConfig(kind="native", scale_jitter=0.5), size=24)]
    assert torch.stack(jittered).std() > 2 * torch.stack(plain).std()  # noise that is reduced loses contrast


def test_exposure_changes_rgb_alone_and_mildly(decoded: Photo) -> None:
    exposed = crops(decoded, CropConfig(gamma=0.12, gain=0.06, white_balance=0.025))
    difference = torch.stack([(rgb[0] - nir[0]).abs().mean() for rgb, nir in exposed])
    assert difference.min() > 0
    assert difference.mean() < 0.15
    assert max(rgb.abs().max() for rgb, _ in exposed) <= 1


def test_night_takes_the_same_light_from_both(decoded: Photo) -> None:
    dark = crops(decoded, CropConfig(darkened=1.0))
    assert max((rgb[0] - nir[0]).abs().mean() for rgb, nir in dark) < 0.03  # the sensor's noise
    brightest = torch.stack([(nir.max() + 1) / 2 for _, nir in dark])
    assert 0.04 < brightest.min() < 0.2
    assert brightest.max() < 0.8


def _sha256(path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
