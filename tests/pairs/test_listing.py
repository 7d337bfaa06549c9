from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nirgen import images
from nirgen.errors import ImageError, NirgenError
from nirgen.pairs import Pair, PairList, find_pairs, read_pair
from nirgen.pairs.listing import is_in_colour
from nirgen.pairs.matching import Rules

if TYPE_CHECKING:
    from pathlib import Path


def test_a_list_comes_back_as_it_was_written(root: Path, tmp_path: Path) -> None:
    found = find_pairs(root)
    found.write(tmp_path / "lists/pairs.csv")
    assert PairList.read(tmp_path / "lists/pairs.csv", root) == found
    first = (tmp_path / "lists/pairs.csv").read_bytes()
    PairList(root, found.pairs[::-1]).write(tmp_path / "lists/pairs.csv")
    assert (tmp_path / "lists/pairs.csv").read_bytes() == first
    assert first.splitlines()[0] == b"name,rgb,nir,sequence,split,category,rgb_sha256,nir_sha256"


def test_images_are_sought_beside_the_list_by_default(root: Path) -> None:
    find_pairs(root).write(root / "pairs.csv")
    assert PairList.read(root / "pairs.csv").root == root


def test_a_split_is_a_list_of_its_own(root: Path) -> None:
    assert [pair.name for pair in find_pairs(root).split("val").pairs] == ["c"]
    with pytest.raises(NirgenError, match="no pairs in split 'test'; the list has: train, val"):
        find_pairs(root).split("test")


HEADER = "name,rgb,nir,sequence,split,category,rgb_sha256,nir_sha256"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no rows"),
        ([HEADER], "no rows"),
        ([HEADER.replace(",split", ""), "a,a,a,a,,0,0"], "no column 'split'"),
        ([HEADER, "a,train/rgb/a.jpg,train/nir/a.jpg,a"], "line 2: too few columns"),
        (
            [HEADER, "x,train/rgb/x.jpg,train/nir/x.jpg,x,train,,0,0"],
            "'train/rgb/x.jpg' isn't in .*; give its folder with --root",
        ),
    ],
)
def test_a_list_that_can_not_be_used_is_refused(root: Path, lines: list[str], message: str) -> None:
    (root / "pairs.csv").write_text("\n".join(lines))
    with pytest.raises(NirgenError, match=rf"pairs\.csv.* {message}"):
        PairList.read(root / "pairs.csv")


def test_a_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match=r"pairs\.csv: can't be read as CSV .*; write the list with 'nirgen pairs'"):
        PairList.read(tmp_path / "pairs.csv")


def test_a_pair_can_not_be_changed() -> None:
    pair = Pair("a", "a.jpg", "a.png", "a", "train", "", "0", "0")
    with pytest.raises(AttributeError):
        pair.split = "val"


def test_a_list_may_lack_some_images_where_that_is_asked_for_but_not_all(root: Path) -> None:
    find_pairs(root).write(root / "pairs.csv")
    (root / "train/rgb/a.jpg").unlink()
    with pytest.raises(NirgenError, match=r"'train/rgb/a\.jpg' isn't in"):
        PairList.read(root / "pairs.csv")
    assert len(PairList.read(root / "pairs.csv", missing_ok=True).pairs) == 3
    with pytest.raises(NirgenError, match="give its folder with --root"):
        PairList.read(root / "pairs.csv", root / "train", missing_ok=True)


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


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("photo", True),
        ("grey", False),
        ("grey jpeg", False),
        ("captioned", False),
        ("tinted", True),
        ("dull photo", True),
    ],
)
def test_colour_is_told_from_what_lossy_compression_leaves(tmp_path: Path, photo, kind: str, expected: bool) -> None:
    colour = photo(200, 300)
    grey = np.repeat(colour[..., :1], 3, axis=2)
    pixels = {
        "photo": colour,
        "captioned": np.concatenate([np.concatenate([colour[:15, :60], grey[:15, 60:]], axis=1), grey[15:]]),
        "tinted": grey // 2 + np.array([40, 0, 60], np.uint8),
        "dull photo": (grey.astype(int) * 9 // 10 + colour // 10).astype(np.uint8),
    }.get(kind, grey)
    path = tmp_path / ("a.jpg" if kind == "grey jpeg" else "a.png")
    Image.fromarray(pixels).save(path, **({"quality": 40} if kind == "grey jpeg" else {}))
    assert is_in_colour(images.read(path)) is expected
