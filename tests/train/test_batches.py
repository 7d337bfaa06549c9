from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from nirgen.errors import ConfigError, ImageError
from nirgen.pairs import PairList, find_pairs
from nirgen.train.batches import Batches, Draws, Order, Photo, draw_crop, read_photo
from nirgen.train.config import CropConfig, DataConfig

if TYPE_CHECKING:
    from torch import Tensor


CROPS = CropConfig(kind="resized", gamma=0.1, night=0.2)


def draws(pairs: PairList, **data: object) -> Draws:
    return Draws(pairs.split("train"), DataConfig(**data), CROPS, seed=3)


def test_each_pair_comes_once_an_epoch_in_another_order() -> None:
    order = Order(None, 5, seed=0)
    epochs = [[order[epoch * 5 + position] for position in range(5)] for epoch in range(4)]
    assert [sorted(epoch) for epoch in epochs] == [[0, 1, 2, 3, 4]] * 4
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert [Order(None, 5, seed=0)[draw] for draw in (19, 3)] == [epochs[3][4], epochs[0][3]]


def test_weighted_pairs_are_drawn_by_their_weights() -> None:
    drawn = Counter(Order([3.0, 0.0, 1.0], 3, seed=0)[draw] for draw in range(400))
    assert 260 < drawn[0] < 340
    assert drawn[0] + drawn[2] == 400


def test_weights_that_leave_no_pair_are_refused(pairs: PairList) -> None:
    with pytest.raises(ConfigError, match="category_weights of 0 leave no pair"):
        draws(pairs, category_weights={"": 0.0})


def test_a_batch_begins_where_the_one_before_ended(pairs: PairList) -> None:
    whole = Batches(draws(pairs)).next(4, 32)[0]
    batches = Batches(draws(pairs))
    assert torch.equal(torch.cat([batches.next(2, 32)[0], batches.next(2, 32)[0]]), whole)
    assert batches.position == 4
    assert torch.equal(Batches(draws(pairs), position=2).next(2, 32)[0], whole[2:])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_change_of_size_goes_on_with_the_next_draw(pairs: PairList, workers: int) -> None:
    with Batches(draws(pairs, workers=workers)) as batches:
        batches.next(3, 32)
        larger = batches.next(1, 64)[0]
    assert torch.equal(larger, Batches(draws(pairs), position=3).next(1, 64)[0])


def test_two_processes_see_together_what_one_sees(pairs: PairList) -> None:
    one = Batches(draws(pairs))
    two = [Batches(draws(pairs), 0, (rank, 2)) for rank in range(2)]
    for _ in range(2):
        parts = [process.next(2, 32)[0] for process in two]
        assert torch.equal(torch.cat(parts), one.next(4, 32)[0])
    assert [process.position for process in two] == [8, 8]


def test_workers_and_memory_change_nothing(pairs: PairList) -> None:
    expected = Batches(draws(pairs)).next(6, 32)
    for data in ({"workers": 3}, {"cache_gigabytes": 0.0}):
        with Batches(draws(pairs, **data)) as batches:
            parts = [batches.next(2, 32)[:2] for _ in range(3)]
        rgb, nir = (torch.cat(part) for part in zip(*parts, strict=True))
        assert torch.equal(rgb, expected[0])
        assert torch.equal(nir, expected[1])


@pytest.fixture
def damaged(pairs: PairList) -> PairList:
    """The pairs, with one NIR image cut off after its header."""
    path = pairs.root / "train/nir/b.png"
    path.write_bytes(path.read_bytes()[:200])
    return find_pairs(pairs.root)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_in_the_middle_of_an_epoch_stops_the_run_by_name(damaged: PairList, workers: int) -> None:
    with (
        pytest.raises(ImageError, match=r"train/nir/b\.png' is damaged .*; copy it again or remove it$") as caught,
        Batches(draws(damaged, workers=workers)) as batches,
    ):
        batches.next(4, 32)
    assert "\n" not in str(caught.value)


def test_a_damaged_image_is_skipped_by_name_if_so_configured(damaged: PairList) -> None:
    rgb, _, skipped = Batches(draws(damaged, bad_images="skip")).next(4, 32)
    assert rgb.shape == (4, 3, 32, 32)
    assert [line.split("'")[1].rpartition("/")[2] for line in skipped] == ["b.png"]


def test_mixup_blends_two_pairs_alike_in_both_spectra(pairs: PairList) -> None:
    mixed = Draws(pairs.split("train"), DataConfig(), CropConfig(mixup=1.0), seed=0)
    rgb, nir, _ = Batches(mixed).next(8, 48)
    torch.testing.assert_close(nir[:, 0], rgb[:, 0])  # the photos' NIR is their red
    plain = Draws(pairs.split("train"), DataConfig(), CropConfig(), seed=0)
    assert rgb.std() < 0.97 * Batches(plain).next(8, 48)[0].std()  # blended noise is weaker


def test_a_list_of_damaged_images_ends_the_run_nevertheless(pairs: PairList) -> None:
    for path in (pairs.root / "train/nir").iterdir():
        path.write_bytes(path.read_bytes()[:200])
    batches = Batches(draws(find_pairs(pairs.root), bad_images="skip"))
    with pytest.raises(ImageError, match=r"20 pairs in a row can't be used, the last because: .* is damaged"):
        batches.next(1, 32)


def test_16_bit_nir_is_scaled_and_not_clipped(pairs: PairList) -> None:
    path = pairs.root / "train/nir/a.png"
    with Image.open(path) as image:
        samples = np.array(image).astype(np.uint16) * 257
    Image.fromarray(samples).save(path)
    listed = PairList(pairs.root, find_pairs(pairs.root).split("train").pairs[:1])
    made = Draws(listed, DataConfig(), CropConfig(flip=False), seed=0)
    rgb, nir, _ = Batches(made).next(1, 48)
    torch.testing.assert_close(nir[0, 0], rgb[0, 0])


def test_without_pairs_both_kinds_have_an_order_and_crops_of_their_own(pairs: PairList) -> None:
    both = Draws(pairs.split("train"), DataConfig(), CropConfig(flip=False), seed=0)
    apart = Draws(pairs.split("train"), DataConfig(), CropConfig(flip=False), seed=0, unpaired=True)
    (rgb, nir, _), (same, other, _) = (Batches(each).next(16, 32) for each in (both, apart))
    assert torch.equal(rgb, same)
    assert not torch.equal(nir, other)
    flat = [images.flatten(1).tolist() for images in (nir, other)]
    assert {tuple(image) for image in flat[0]} == {tuple(image) for image in flat[1]}  # each image once an epoch
    assert torch.equal(Batches(apart, position=8).next(8, 32)[1], other[8:])


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


def test_night_takes_light_from_both_images(decoded: Photo) -> None:
    day, dark = crops(decoded, CropConfig()), crops(decoded, CropConfig(night=1.0))
    for part in (0, 1):
        means = [torch.stack([(pair[part].mean() + 1) / 2 for pair in pairs]).mean() for pairs in (day, dark)]
        assert means[1] < 0.6 * means[0]


@pytest.mark.parametrize("condition", ["haze", "casts", "clipped", "blurred", "jpeg", "saturation"])
def test_other_conditions_change_rgb_alone_and_only_their_share(decoded: Photo, condition: str) -> None:
    coloured = Photo(torch.randint(256, decoded.rgb.shape, dtype=torch.uint8), decoded.nir)
    plain = crops(coloured, CropConfig(flip=False))
    changed = crops(coloured, CropConfig.model_validate({"flip": False, condition: 0.5}))
    differing = [not torch.equal(a, b) for (a, _), (b, _) in zip(plain, changed, strict=True)]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(plain, changed, strict=True))
    assert sum(differing) > 0
    assert condition == "saturation" or sum(differing) < len(differing)


def _sha256(path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
