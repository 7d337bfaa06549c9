from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nirgen.errors import NirgenError
from nirgen.pairs.matching import Rules, match_folders

if TYPE_CHECKING:
    from pathlib import Path


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def matched(root: Path, rules: Rules | None = None) -> list[tuple[str, str, str]]:
    found = match_folders(root / "v", root / "n", rules or Rules())
    return [(key, rgb.name, nir.name) for key, rgb, nir in found]


@pytest.mark.parametrize(
    ("rgb", "nir"),
    [("a", "a"), ("a_rgb", "a_nir"), ("a-RGB", "a-ir"), ("a_vis", "a_IR"), ("a_RGB", "a_PreviewData"), ("a", "a_nir")],
)
def test_known_suffixes_are_taken_off(tmp_path: Path, rgb: str, nir: str) -> None:
    touch(tmp_path, f"v/{rgb}.jpg", f"n/{nir}.png")
    assert matched(tmp_path) == [("a", f"{rgb}.jpg", f"{nir}.png")]


def test_an_equal_stem_comes_before_a_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "v/x_vis.png", "n/x_vis.png")
    assert matched(tmp_path) == [("x_vis", "x_vis.png", "x_vis.png")]


def test_position_says_nothing(tmp_path: Path) -> None:
    touch(tmp_path, "v/1.png", "v/2.png", "n/2.png", "n/3.png")
    with pytest.raises(NirgenError, match=r"v/1\.png: no NIR partner of the same stem .* \(1 more without"):
        matched(tmp_path)


def test_partners_lie_in_the_same_subfolder(tmp_path: Path) -> None:
    touch(tmp_path, "v/s1/1.png", "v/s2/1.png", "n/s1/1.png", "n/s2/1.png")
    assert [key for key, _, _ in matched(tmp_path)] == ["s1/1", "s2/1"]
    (tmp_path / "n/s2/1.png").rename(tmp_path / "n/1.png")
    with pytest.raises(NirgenError, match=r"v/s2/1\.png: no NIR partner"):
        matched(tmp_path)


@pytest.mark.parametrize("other", ["a.jpg", "a_rgb.png", "a-rgb.png"])
def test_two_candidates_are_refused(tmp_path: Path, other: str) -> None:
    touch(tmp_path, "v/a.png", "n/a_nir.png", f"v/{other}")
    with pytest.raises(NirgenError, match="has the same stem, and a pair needs one image of each kind"):
        matched(tmp_path)


def test_given_suffixes_choose_the_files(tmp_path: Path) -> None:
    touch(tmp_path, "v/a_left.png", "v/a_right.png", "n/a_band8.tif", "n/a_band9.tif")
    rules = Rules(rgb_suffix="_left", nir_suffix="_band8")
    assert matched(tmp_path, rules) == [("a", "a_left.png", "a_band8.tif")]


def test_one_folder_may_hold_both_kinds(tmp_path: Path) -> None:
    touch(tmp_path, "a_rgb.png", "a_nir.png", "notes.png")
    found = match_folders(tmp_path, tmp_path, Rules())
    assert [(key, rgb.name, nir.name) for key, rgb, nir in found] == [("a", "a_rgb.png", "a_nir.png")]


def test_hidden_files_are_left_aside(tmp_path: Path) -> None:
    touch(tmp_path, "v/a.png", "n/a.png", "v/._a.png", "v/.cache/b.png")
    assert matched(tmp_path) == [("a", "a.png", "a.png")]
