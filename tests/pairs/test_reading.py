from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nirgen.errors import ImageError
from nirgen.pairs import PairList, find_pairs, read_pair
from nirgen.pairs.matching import Rules

if TYPE_CHECKING:
    from pathlib import Path


def test_a_pair_is_colour_and_intensity(pairs: PairList) -> None:
    rgb, nir = read_pair(pairs, pairs.pairs[0])
    assert (rgb.shape, nir.shape) == ((48, 64, 3), (48, 64))
    assert np.array_equal(nir, rgb[..., 0])


def test_nir_in_colour_is_refused(pairs: PairList) -> None:
    (pairs.root / "train/nir/b.png").write_bytes((pairs.root / "train/rgb/b.png").read_bytes())
    swapped = find_pairs(pairs.root)
    with pytest.raises(ImageError, match=r"train/nir/b\.png: a NIR image in colour .*; save its intensity") as caught:
        read_pair(swapped, swapped.pairs[1])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("difference", "refused"), [(0, False), (8, False), (9, True)])
def test_grey_nir_of_three_channels_may_differ_as_a_jpeg_does(pairs: PairList, difference: int, refused: bool) -> None:
    pixels = np.full((48, 64, 3), 100, np.uint8)
    pixels[5, 5, 1] += difference
    Image.fromarray(pixels).save(pairs.root / "train/nir/a.png")
    changed = find_pairs(pairs.root)
    with pytest.raises(ImageError) if refused else nullcontext():
        assert (read_pair(changed, changed.pairs[0])[1] == 100).all()


@pytest.mark.parametrize("name", ["train/rgb/a.png", "train/nir/a.png"])
def test_a_file_that_changed_since_it_was_listed_is_refused(pairs: PairList, save, name: str) -> None:
    save(pairs.root / name, 48, 64, seed=99)
    with pytest.raises(ImageError, match=f"{name}: changed since it was listed; run 'nirgen pairs' again"):
        read_pair(pairs, pairs.pairs[0])


def test_nir_of_16_bits_is_scaled_and_not_clipped(pairs: PairList) -> None:
    Image.fromarray(np.full((48, 64), 40 * 257, np.uint16)).save(pairs.root / "train/nir/a.png")
    changed = find_pairs(pairs.root)
    assert (read_pair(changed, changed.pairs[0])[1] == 40).all()


@pytest.mark.parametrize(("rgb", "nir"), [("#left", "#right"), ("#right", "#left")])
def test_halves_of_one_file_are_a_pair(tmp_path: Path, rgb: str, nir: str) -> None:
    pixels = np.full((10, 40, 3), 200, np.uint8)
    pixels[:, :20] = (10, 20, 30) if rgb == "#left" else 200
    pixels[:, 20:] = 200 if rgb == "#left" else (10, 20, 30)
    (tmp_path / "train").mkdir()
    Image.fromarray(pixels).save(tmp_path / "train/a.png")
    found = find_pairs(tmp_path, layout="side-by-side", rules=Rules(rgb_first=rgb == "#left"))
    assert (found.pairs[0].rgb, found.pairs[0].nir) == (f"train/a.png{rgb}", f"train/a.png{nir}")
    in_colour, grey = read_pair(found, found.pairs[0])
    assert (in_colour.shape, grey.shape) == ((10, 20, 3), (10, 20))
    assert in_colour[0, 0].tolist() == [10, 20, 30]
    assert (grey == 200).all()


def test_colour_that_jpeg_spreads_over_the_seam_does_not_make_nir_coloured(tmp_path: Path) -> None:
    pixels = np.full((64, 88, 3), 90, np.uint8)
    pixels[:, :44] = (250, 10, 10)
    (tmp_path / "train").mkdir()
    Image.fromarray(pixels).save(tmp_path / "train/a.jpg", quality=90)  # its blocks of 16 columns straddle column 44
    found = find_pairs(tmp_path)
    with Image.open(tmp_path / "train/a.jpg") as image:
        stored = np.asarray(image)[:, 44:]
    assert int((stored.max(axis=2) - stored.min(axis=2)).max()) > 8
    _, nir = read_pair(found, found.pairs[0])
    assert np.abs(nir[:, 8:].astype(int) - 90).max() <= 8
