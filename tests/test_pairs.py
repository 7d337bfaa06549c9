from __future__ import annotations

import hashlib
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nirgen import images
from nirgen.errors import ImageError, NirgenError
from nirgen.pairs import Pair, PairList, find_pairs, read_pair

SHARED_PAIRS = Path(__file__).parents[2] / "shared" / "data" / "rgb_nir"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two pairs to train on and one to judge by; their content is their own path, for nothing decodes it here."""
    for name in (
        "train/rgb/b.jpg",
        "train/nir/b.png",
        "train/rgb/a.jpg",
        "train/nir/a.jpg",
        "val/rgb/c.PNG",
        "val/nir/c.tif",
    ):
        path = tmp_path / "pairs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "pairs"


def index(root: Path, *rows: str) -> Path:
    path = root / "index.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_pairs_are_matched_by_stem_and_sorted(root: Path) -> None:
    found = find_pairs(root)
    assert [(pair.split, pair.name, pair.rgb, pair.nir) for pair in found.pairs] == [
        ("train", "a", "train/rgb/a.jpg", "train/nir/a.jpg"),
        ("train", "b", "train/rgb/b.jpg", "train/nir/b.png"),
        ("val", "c", "val/rgb/c.PNG", "val/nir/c.tif"),
    ]
    assert (found.pairs[1].rgb_sha256, found.pairs[1].nir_sha256) == (
        sha256("train/rgb/b.jpg"),
        sha256("train/nir/b.png"),
    )
    assert [(pair.sequence, pair.category) for pair in found.pairs] == [
        ("train/a", ""),
        ("train/b", ""),
        ("val/c", ""),
    ]


def test_splits_that_number_their_pairs_alike_are_different_scenes_where_no_index_says_otherwise(root: Path) -> None:
    for name in ("val/rgb/a.jpg", "val/nir/a.jpg"):
        (root / name).write_text(name)
    found = find_pairs(root)
    assert [(pair.sequence, pair.name) for pair in found.pairs if pair.name == "a"] == [
        ("train/a", "a"),
        ("val/a", "a"),
    ]
    with pytest.raises(NirgenError, match="sequence 's1' lies in both"):
        find_pairs(root, index(root, "name,sequence", "a,s1", "b,s2", "c,s3"))


@pytest.mark.parametrize("suffix", sorted(images.SUFFIXES))
def test_pairs_are_of_every_kind_of_image_that_can_be_read(root: Path, suffix: str) -> None:
    for kind in ("rgb", "nir"):
        (root / "train" / kind / f"z{suffix}").touch()
    assert "z" in [pair.name for pair in find_pairs(root).pairs]


def test_other_files_and_folders_are_left_aside(root: Path) -> None:
    (root / "train/rgb/Thumbs.db").touch()
    (root / "notes").mkdir()
    assert len(find_pairs(root).pairs) == 3


@pytest.mark.parametrize("column", ["scene_group", "sequence"])
def test_the_index_gives_sequences_and_categories(root: Path, column: str) -> None:
    path = index(root, f"name,{column},category", "a,s1,street", "b,s1,", "c,s2,field")
    assert [(pair.name, pair.sequence, pair.category) for pair in find_pairs(root, path).pairs] == [
        ("a", "s1", "street"),
        ("b", "s1", ""),
        ("c", "s2", "field"),
    ]


def test_a_sequence_in_two_splits_is_refused(root: Path) -> None:
    path = index(root, "name,sequence", "a,s1", "b,s2", "c,s1")
    with pytest.raises(
        NirgenError, match=r"sequence 's1' lies in both 'train' and 'val' \(c\); move it into one split"
    ):
        find_pairs(root, path)


def test_a_pair_that_the_index_lacks_is_refused(root: Path) -> None:
    with pytest.raises(NirgenError, match=r"index\.csv: no row for 'b'"):
        find_pairs(root, index(root, "name,sequence", "a,s1", "c,s2"))


@pytest.mark.parametrize("content", [b"title,sequence\na,s1\n", b"\xff\xfe\x00", None])
def test_what_is_no_index_is_refused(root: Path, content: bytes | None) -> None:
    if content is not None:
        (root / "index.csv").write_bytes(content)
    with pytest.raises(NirgenError, match=r"index\.csv: not an index with a column 'name'"):
        find_pairs(root, root / "index.csv")


@pytest.mark.parametrize(
    ("lost", "there"), [("train/nir/a.jpg", "train/rgb/a.jpg"), ("val/rgb/c.PNG", "val/nir/c.tif")]
)
def test_an_image_without_its_partner_is_named(root: Path, lost: str, there: str) -> None:
    (root / lost).unlink()
    partner = "nir" if "rgb" in there else "rgb"
    with pytest.raises(NirgenError, match=f"{there}: no partner of the same stem in '{partner}/'; add or remove it"):
        find_pairs(root)


def test_two_images_of_one_stem_are_refused(root: Path) -> None:
    (root / "train/rgb/a.png").touch()
    with pytest.raises(NirgenError, match=r"a\.png: a\.jpg has the same stem"):
        find_pairs(root)


def test_a_folder_without_pairs_is_told_the_layout(tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match="no pairs; expected <split>/rgb/"):
        find_pairs(tmp_path)


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
            "'train/rgb/x.jpg' isn't in .*; name its folder with --root",
        ),
    ],
)
def test_a_list_that_can_not_be_used_is_refused(root: Path, lines: list[str], message: str) -> None:
    (root / "pairs.csv").write_text("\n".join(lines))
    with pytest.raises(NirgenError, match=rf"pairs\.csv.* {message}"):
        PairList.read(root / "pairs.csv")


def test_a_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match=r"pairs\.csv: can't be read .*; 'nirgen pairs' writes such a list"):
        PairList.read(tmp_path / "pairs.csv")


def test_a_pair_can_not_be_changed() -> None:
    pair = Pair("a", "a.jpg", "a.png", "a", "train", "", "0", "0")
    with pytest.raises(AttributeError):
        pair.split = "val"


@pytest.mark.skipif(not SHARED_PAIRS.is_dir(), reason="the real pairs lie beside the repository only")
def test_the_real_pairs_are_found() -> None:
    found = find_pairs(SHARED_PAIRS, SHARED_PAIRS / "index.csv")
    assert (len(found.split("train").pairs), len(found.split("val").pairs)) == (503, 54)


class TestReadPair:
    def test_a_pair_is_colour_and_intensity(self, pairs: PairList) -> None:
        rgb, nir = read_pair(pairs, pairs.pairs[0])
        assert (rgb.shape, nir.shape) == ((48, 64, 3), (48, 64))
        assert np.array_equal(nir, rgb[..., 0])

    def test_nir_in_colour_is_refused(self, pairs: PairList) -> None:
        (pairs.root / "train/nir/b.png").write_bytes((pairs.root / "train/rgb/b.png").read_bytes())
        swapped = find_pairs(pairs.root)
        with pytest.raises(
            ImageError, match=r"train/nir/b\.png: a NIR image in colour .*; save its intensity"
        ) as caught:
            read_pair(swapped, swapped.pairs[1])
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(("difference", "refused"), [(0, False), (8, False), (9, True)])
    def test_grey_nir_of_three_channels_may_differ_as_a_jpeg_does(
        self, pairs: PairList, difference: int, refused: bool
    ) -> None:
        pixels = np.full((48, 64, 3), 100, np.uint8)
        pixels[5, 5, 1] += difference
        Image.fromarray(pixels).save(pairs.root / "train/nir/a.png")
        changed = find_pairs(pairs.root)
        with pytest.raises(ImageError) if refused else nullcontext():
            assert (read_pair(changed, changed.pairs[0])[1] == 100).all()

    @pytest.mark.parametrize("name", ["train/rgb/a.png", "train/nir/a.png"])
    def test_a_file_that_changed_since_it_was_listed_is_refused(self, pairs: PairList, save, name: str) -> None:
        save(pairs.root / name, 48, 64, seed=99)
        with pytest.raises(ImageError, match=f"{name}: changed since it was listed; run 'nirgen pairs' again"):
            read_pair(pairs, pairs.pairs[0])
