from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nirgen.errors import NirgenError
from nirgen.pairs import Pair, PairList, find_pairs

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


def test_a_list_may_lack_some_images_where_that_is_asked_for_but_not_all(root: Path) -> None:
    find_pairs(root).write(root / "pairs.csv")
    (root / "train/rgb/a.jpg").unlink()
    with pytest.raises(NirgenError, match=r"'train/rgb/a\.jpg' isn't in"):
        PairList.read(root / "pairs.csv")
    assert len(PairList.read(root / "pairs.csv", missing_ok=True).pairs) == 3
    with pytest.raises(NirgenError, match="name its folder with --root"):
        PairList.read(root / "pairs.csv", root / "train", missing_ok=True)
