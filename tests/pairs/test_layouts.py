from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nirgen import images
from nirgen.errors import NirgenError
from nirgen.pairs.layouts import LAYOUTS, find_matches, recognise
from nirgen.pairs.matching import Rules

if TYPE_CHECKING:
    from pathlib import Path


FILES: dict[str, tuple[str, ...]] = {
    "splits": ("train/rgb/a.png", "train/nir/a.png", "val/rgb/b.png", "val/nir/b.png"),
    "folders": ("rgb/a.png", "nir/a.png"),
    "pix2pix": ("train_A/01_0001_rgb.png", "train_B/01_0001_nir.png", "test_A/02_0357.png", "test_B/02_0357.png"),
    "side-by-side": ("train/a.jpg", "val/b.jpg"),
    "ranus": ("RGB/01/7_rgb.png", "NIR/01/7_nir.png", "RGB/50/7_rgb.png", "NIR/50/7_nir.png", "GT/01/7_gt.png"),
    "idd-aw": (
        "train/FOG/rgb/12/1_rgb.png",
        "train/FOG/nir/12/1_nir.png",
        "train/FOG/gtSeg/12/1_mask.json",
        "val/SNOW/rgb/12/1_rgb.png",
        "val/SNOW/nir/12/1_nir.png",
    ),
    "flir": (
        "JPEGImages/FLIR_00001_RGB.jpg",
        "JPEGImages/FLIR_00001_PreviewData.jpeg",
        "JPEGImages/FLIR_00002_RGB.jpg",
        "JPEGImages/FLIR_00002_PreviewData.jpeg",
        "JPEGImages/FLIR_00003_RGB.jpg",
        "Annotations/FLIR_00001_PreviewData.xml",
    ),
}
# key, split, sequence, category, file name of RGB and of NIR, halves
FOUND: dict[str, list[tuple[str, str | None, str | None, str, str, str]]] = {
    "splits": [("a", "train", None, "", "a.png", "a.png"), ("b", "val", None, "", "b.png", "b.png")],
    "folders": [("a", None, None, "", "a.png", "a.png")],
    "pix2pix": [
        ("02_0357", "test", "02", "", "02_0357.png", "02_0357.png"),
        ("01_0001", "train", "01", "", "01_0001_rgb.png", "01_0001_nir.png"),
    ],
    "side-by-side": [("a", "train", None, "", "a.jpg", "a.jpg"), ("b", "val", None, "", "b.jpg", "b.jpg")],
    "ranus": [("01/7", None, "01", "", "7_rgb.png", "7_nir.png"), ("50/7", None, "50", "", "7_rgb.png", "7_nir.png")],
    "idd-aw": [
        ("FOG/12/1", "train", "train/FOG/12", "FOG", "1_rgb.png", "1_nir.png"),
        ("SNOW/12/1", "val", "val/SNOW/12", "SNOW", "1_rgb.png", "1_nir.png"),
    ],
    "flir": [
        ("FLIR_00001", "train", None, "", "FLIR_00001_RGB.jpg", "FLIR_00001_PreviewData.jpeg"),
        ("FLIR_00002", "val", None, "", "FLIR_00002_RGB.jpg", "FLIR_00002_PreviewData.jpeg"),
    ],
}


def halves() -> np.ndarray:
    """Red beside grey."""
    pixels = np.full((32, 64, 3), 90, np.uint8)
    pixels[:, :32] = (200, 30, 40)
    return pixels


def lay_out(root: Path, name: str) -> Path:
    for file in FILES[name]:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        if name == "side-by-side":
            path.write_bytes(images.encode(halves(), "jpg"))
    if name == "flir":
        (root / "align_train.txt").write_text("FLIR_00001_PreviewData\n")
        (root / "align_validation.txt").write_text("FLIR_00002_PreviewData\n\n")
    return root


def test_every_layout_has_an_example() -> None:
    assert set(LAYOUTS) - {"csv"} == set(FILES) == set(FOUND)


@pytest.mark.parametrize("name", FILES)
def test_a_layout_is_recognised_by_what_is_there(tmp_path: Path, name: str) -> None:
    assert recognise(lay_out(tmp_path, name)) == name


@pytest.mark.parametrize("name", FILES)
def test_a_layout_gives_its_pairs_with_what_it_knows_of_them(tmp_path: Path, name: str) -> None:
    matches = find_matches(lay_out(tmp_path, name), "auto", Rules())
    assert [
        (match.key, match.split, match.sequence, match.category, match.rgb.name, match.nir.name) for match in matches
    ] == FOUND[name]


@pytest.mark.parametrize("sides", ["train_A train_B", "trainA trainB", "A/train B/train"])
def test_pix2pix_folders_are_named_in_three_ways(tmp_path: Path, sides: str) -> None:
    for folder in sides.split():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "x.png").touch()
    matches = find_matches(tmp_path, "auto", Rules())
    assert [(match.split, match.rgb.parent) for match in matches] == [("train", tmp_path / sides.split(maxsplit=1)[0])]
    matches = find_matches(tmp_path, "auto", Rules(rgb_first=False))
    assert [(match.split, match.rgb.parent) for match in matches] == [("train", tmp_path / sides.split()[1])]


def test_a_pix2pix_folder_without_its_other_side_is_named(tmp_path: Path) -> None:
    (tmp_path / "train_A").mkdir()
    (tmp_path / "train_A/x.png").touch()
    with pytest.raises(NirgenError, match=r"train_A/x\.png: no NIR partner of the same stem in .*train_B"):
        find_matches(tmp_path, "auto", Rules())


def test_plain_photographs_are_no_pairs_side_by_side(tmp_path: Path, save) -> None:
    save(tmp_path / "train/a.png")
    with pytest.raises(NirgenError, match="no pairs; expected one of these layouts"):
        recognise(tmp_path)


def test_no_layout_is_refused_with_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match=r"no pairs; expected one of .*splits: <split>/rgb/NAME.*ranus: RGB/<01") as e:
        recognise(tmp_path)
    assert "\n" not in str(e.value)


def test_two_layouts_are_refused_until_one_is_chosen(tmp_path: Path) -> None:
    lay_out(lay_out(tmp_path, "splits"), "pix2pix")
    with pytest.raises(NirgenError, match=r"fits several layouts \(splits, pix2pix\); choose one with --layout"):
        find_matches(tmp_path, "auto", Rules())
    assert {match.rgb.parent.name for match in find_matches(tmp_path, "pix2pix", Rules())} == {"train_A", "test_A"}


def test_an_unknown_layout_and_one_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match="no layout 'ranos'; did you mean 'ranus'"):
        find_matches(tmp_path, "ranos", Rules())
    with pytest.raises(NirgenError, match=r"no pairs; expected RGB/<01\.\.50>.*, for layout 'ranus'"):
        find_matches(lay_out(tmp_path, "pix2pix"), "ranus", Rules())
    with pytest.raises(NirgenError, match="elsewhere: doesn't exist; give the folder of the pairs"):
        find_matches(tmp_path / "elsewhere", "auto", Rules())


def test_a_flir_list_that_names_a_missing_image_is_refused(tmp_path: Path) -> None:
    lay_out(tmp_path, "flir")
    (tmp_path / "JPEGImages/FLIR_00002_PreviewData.jpeg").unlink()
    with pytest.raises(NirgenError, match=r"align_validation\.txt: 'FLIR_00002_PreviewData' isn't in"):
        find_matches(tmp_path, "flir", Rules())


class TestCsv:
    def write(self, root: Path, *lines: str) -> Path:
        for name in ("a.png", "a_ir.png", "b.png", "b_ir.png"):
            (root / name).touch()
        (root / "mine.csv").write_text("\n".join(lines) + "\n")
        return root / "mine.csv"

    def test_a_csv_names_pairs_and_what_is_known_of_them(self, tmp_path: Path) -> None:
        path = self.write(
            tmp_path,
            "rgb,nir,split,scene_group,category,name",
            "a.png,a_ir.png,train,s1,street,first",
            "b.png,b_ir.png,,,,",
        )
        matches = find_matches(path, "auto", Rules())
        assert [(match.key, match.split, match.sequence, match.category) for match in matches] == [
            ("first", "train", "s1", "street"),
            ("b", None, None, ""),
        ]

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            (("left,right", "a.png,a_ir.png"), "has the columns left, right; it needs rgb and nir"),
            (("rgb,nir", "a.png,c.png"), r"line 2: 'c\.png' isn't in"),
            (("rgb,nir", "a.png,a_ir.png", "a.png,b_ir.png"), r"'a\.png' has two partners, a_ir\.png and b_ir\.png"),
            (("rgb,nir",), "no pairs; expected a CSV file"),
        ],
    )
    def test_a_csv_that_can_not_be_used_is_refused(self, tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
        with pytest.raises(NirgenError, match=message):
            find_matches(self.write(tmp_path, *lines), "csv", Rules())
