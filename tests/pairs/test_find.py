from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from nirgen import images
from nirgen.errors import ConfigError, ImageError, NirgenError
from nirgen.pairs import find_pairs
from nirgen.pairs.find import Division, divide, parse_shares

SHARED_PAIRS = Path(__file__).parents[3] / "shared" / "data" / "rgb_nir"


def index(root: Path, *rows: str) -> Path:
    path = root / "index.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_pairs_are_matched_by_stem_and_sorted(root: Path) -> None:
    found = find_pairs(root)
    assert [(pair.split, pair.name, pair.rgb, pair.nir) for pair in found.pairs] == [
        ("train", "a", "train/rgb/a.jpg", "train/nir/a.jpg"),
        ("train", "b", "train/rgb/b.jpg", "train/nir/b.png"),
        ("val", "c", "val/rgb/c.PNG", "val/nir/c.tif"),
    ]
    assert (found.pairs[1].rgb_sha256, found.pairs[1].nir_sha256) == (
        sha256(root / "train/rgb/b.jpg"),
        sha256(root / "train/nir/b.png"),
    )
    assert [(pair.sequence, pair.category) for pair in found.pairs] == [
        ("train/a", ""),
        ("train/b", ""),
        ("val/c", ""),
    ]


def test_splits_that_number_their_pairs_alike_are_different_scenes_where_no_index_says_otherwise(root: Path) -> None:
    for name in ("val/rgb/a.jpg", "val/nir/a.jpg"):
        shutil.copy(root / "train/rgb/a.jpg", root / name)
    found = find_pairs(root)
    assert [(pair.sequence, pair.name) for pair in found.pairs if pair.name == "a"] == [
        ("train/a", "a"),
        ("val/a", "a"),
    ]
    with pytest.raises(NirgenError, match="sequence 's1' lies in both"):
        find_pairs(root, index(root, "name,sequence", "a,s1", "b,s2", "c,s3"))


@pytest.mark.parametrize("suffix", sorted(images.SUFFIXES - {".jxl"}))  # which Pillow doesn't write
def test_pairs_are_of_every_kind_of_image_that_can_be_read(root: Path, save, suffix: str) -> None:
    for kind in ("rgb", "nir"):
        save(root / "train" / kind / f"z{suffix}")
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


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"title,sequence\na,s1\n", "no column 'name' in the index"),
        (b"\xff\xfe\x00", "can't be read as CSV"),
        (None, "can't be read as CSV"),
    ],
)
def test_what_is_no_index_is_refused(root: Path, content: bytes | None, problem: str) -> None:
    if content is not None:
        (root / "index.csv").write_bytes(content)
    with pytest.raises(NirgenError, match=rf"index\.csv: {problem}.*; give a CSV with the columns name and sequence"):
        find_pairs(root, root / "index.csv")


@pytest.mark.parametrize(
    ("lost", "there"), [("train/nir/a.jpg", "train/rgb/a.jpg"), ("val/rgb/c.PNG", "val/nir/c.tif")]
)
def test_an_image_without_its_partner_is_named(root: Path, lost: str, there: str) -> None:
    (root / lost).unlink()
    kind = "NIR" if "rgb" in there else "RGB"
    with pytest.raises(NirgenError, match=f"{there}: no {kind} partner of the same stem in .*; add or remove it"):
        find_pairs(root)


def test_two_images_of_one_stem_are_refused(root: Path) -> None:
    (root / "train/rgb/a.png").touch()
    with pytest.raises(NirgenError, match=r"a\.png: a\.jpg has the same stem"):
        find_pairs(root)


@pytest.mark.parametrize(("right", "below"), [(4, 0), (0, -2)])
def test_images_of_unequal_sizes_are_named_with_both(root: Path, save, right: int, below: int) -> None:
    save(root / "train/nir/b.png", 8 + below, 12 + right)
    message = rf"train/nir/b\.png: {12 + right}x{8 + below}, but its RGB partner is 12x8; align and crop them"
    with pytest.raises(NirgenError, match=message):
        find_pairs(root)


def test_sizes_are_compared_upright(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 12)).save(root / "train/rgb/a.jpg", exif=exif)
    assert find_pairs(root).pairs[0].name == "a"


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n and no more"])
def test_what_is_no_image_is_one_line(root: Path, content: bytes) -> None:
    (root / "val/rgb/c.PNG").write_bytes(content)
    with pytest.raises(ImageError, match=r"val/rgb/c\.PNG' is (empty|no JPEG|damaged).*; (copy|convert)") as caught:
        find_pairs(root)
    assert "\n" not in str(caught.value)


def test_one_pair_is_a_list(tmp_path: Path, save) -> None:
    for kind in ("rgb", "nir"):
        save(tmp_path / "train" / kind / "a.png")
    assert [pair.name for pair in find_pairs(tmp_path).pairs] == ["a"]


def test_two_folders_anywhere_are_pairs_of_one_split(tmp_path: Path, save) -> None:
    for name in ("colour/s1/a_rgb.png", "colour/s2/a_rgb.png", "infrared/s1/a_nir.tif", "infrared/s2/a_nir.tif"):
        save(tmp_path / name)
    found = find_pairs(None, folders=(tmp_path / "colour", tmp_path / "infrared"))
    assert found.root == tmp_path
    assert [(pair.name, pair.rgb, pair.nir, pair.sequence, pair.split) for pair in found.pairs] == [
        ("s1/a", "colour/s1/a_rgb.png", "infrared/s1/a_nir.tif", "s1", "train"),
        ("s2/a", "colour/s2/a_rgb.png", "infrared/s2/a_nir.tif", "s2", "train"),
    ]


def test_a_csv_may_name_what_lies_outside_of_its_folder_only_if_the_list_can(root: Path) -> None:
    (root / "lists").mkdir()
    path = root / "lists/mine.csv"
    path.write_text("rgb,nir\n../train/rgb/a.jpg,../train/nir/a.jpg\n")
    (pair,) = find_pairs(path).pairs
    assert (pair.name, pair.rgb, pair.split) == ("a", "../train/rgb/a.jpg", "train")
    path.write_text(f"rgb,nir\n{root}/train/rgb/a.jpg,{root}/train/nir/a.jpg\n")
    with pytest.raises(NirgenError, match=r"train/rgb/a\.jpg: not inside .*lists; give a ROOT that holds all images"):
        find_pairs(path)


def test_empty_folders_are_refused(tmp_path: Path) -> None:
    for name in ("rgb", "nir"):
        (tmp_path / name).mkdir()
    with pytest.raises(NirgenError, match="no pairs; give folders of images"):
        find_pairs(tmp_path)
    with pytest.raises(NirgenError, match="elsewhere: no folder; give the folder of the images"):
        find_pairs(None, folders=(tmp_path / "rgb", tmp_path / "elsewhere"))


class TestDivision:
    @pytest.fixture
    def sessions(self, tmp_path: Path, save) -> Path:
        for number in range(10):
            for frame in range(2):
                for kind in ("rgb", "nir"):
                    save(tmp_path / kind / f"s{number}" / f"{frame}.png", 8, 8)
        return tmp_path

    def test_whole_sequences_are_divided_as_asked(self, sessions: Path) -> None:
        found = find_pairs(sessions, division=Division({"train": 0.7, "val": 0.2, "test": 0.1}))
        assert [len(found.split(name).pairs) for name in ("train", "val", "test")] == [14, 4, 2]
        assert len({(pair.sequence, pair.split) for pair in found.pairs}) == 10

    def test_frames_are_divided_only_if_that_is_asked_for(self, sessions: Path) -> None:
        found = find_pairs(sessions, division=Division({"train": 0.75, "val": 0.25}, "frame"))
        assert [len(found.split(name).pairs) for name in ("train", "val")] == [15, 5]
        assert len({(pair.sequence, pair.split) for pair in found.pairs}) > 10

    def test_pairs_of_unknown_sequences_are_not_divided_by_them(self, root: Path) -> None:
        shares = {"train": 0.5, "val": 0.5}
        with pytest.raises(NirgenError, match=r"a\.jpg: its sequence is unknown.*--index.*--split-by frame"):
            find_pairs(root, division=Division(shares))
        known = index(root, "name,sequence", "a,s1", "b,s1", "c,s2")
        found = find_pairs(root, known, division=Division(shares))
        assert {pair.sequence: pair.split for pair in found.pairs}.keys() == {"s1", "s2"}
        assert {pair.split for pair in found.pairs} == {"train", "val"}

    def test_equal_names_of_the_former_splits_stay_apart(self, root: Path) -> None:
        for kind in ("rgb", "nir"):
            shutil.copy(root / "train" / kind / "a.jpg", root / "val" / kind / "a.jpg")
        found = find_pairs(root, division=Division({"all": 1.0}, "frame"))
        assert [pair.name for pair in found.pairs] == ["train/a", "train/b", "val/a", "val/c"]


@pytest.mark.skipif(not SHARED_PAIRS.is_dir(), reason="the real pairs lie beside the repository only")
def test_the_real_pairs_are_found() -> None:
    found = find_pairs(SHARED_PAIRS, SHARED_PAIRS / "index.csv")
    assert (len(found.split("train").pairs), len(found.split("val").pairs)) == (503, 54)


def test_forty_of_fifty_equal_sessions_are_four_fifths() -> None:
    sequences = [f"{number:02}" for number in range(1, 51) for _ in range(80)]
    splits = divide(sequences, {"train": 0.8, "test": 0.2})
    assert Counter(splits) == {"train": 3200, "test": 800}
    assert len(set(zip(sequences, splits, strict=True))) == 50


def test_unequal_sequences_come_as_near_as_they_can() -> None:
    sequences = ["a"] * 60 + ["b"] * 20 + ["c"] * 10 + ["d"] * 10
    splits = divide(sequences, {"train": 0.8, "val": 0.1, "test": 0.1})
    assert Counter(splits) == {"train": 80, "val": 10, "test": 10}


def test_no_split_is_left_empty() -> None:
    splits = divide(["a", "b", "c"], {"train": 0.8, "val": 0.1, "test": 0.1})
    assert set(splits) == {"train", "val", "test"}


def test_the_seed_alone_decides() -> None:
    sequences = [str(number) for number in range(40)]
    shares = {"train": 0.5, "val": 0.5}
    assert divide(sequences, shares, seed=3) == divide(sequences, shares, seed=3)
    assert divide(sequences, shares, seed=3) != divide(sequences, shares, seed=4)
    backwards = divide(sequences[::-1], shares, seed=3)
    assert backwards[::-1] == divide(sequences, shares, seed=3)


def test_fewer_sequences_than_splits_are_refused() -> None:
    with pytest.raises(NirgenError, match=r"2 sequence\(s\) of 5 pair\(s\) can't fill the 3 splits train, val, test"):
        divide(["a"] * 3 + ["b"] * 2, {"train": 0.8, "val": 0.1, "test": 0.1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train", "'train' is no share"),
        ("train=half", "'train=half' is no share"),
        ("train=0.5,train=0.5", "'train=0.5' needs a unique name"),
        ("train=1.5", "'train=1.5' needs a unique name and a share over 0"),
        ("train=0.5,val=0.4", "add up to 0.9 and not to 1"),
        ("", "'' is no share"),
    ],
)
def test_shares_that_can_not_be_used_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"{message}.*write it as train=0.8,val=0.1,test=0.1"):
        parse_shares(text)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("rgb,nir,split\r\na.png,b.png,val\r\n", "utf-8-sig"),
        ("RGB;Nir; Split\n\na.png;b.png;val\n;;\n", "utf-8"),
        ("rgb\tnir\tsplit\na.png\tb.png\tval\n", "utf-8"),
        ("rgb,nir,split\n{root}/a.png,{root}/b.png,val\n", "utf-8"),
    ],
    ids=["byte order mark", "semicolons and capitals", "tabs", "absolute paths"],
)
def test_lists_are_read_as_spreadsheets_save_them(
    tmp_path: Path, save, monkeypatch: pytest.MonkeyPatch, text: str, encoding: str
) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / name)
    (tmp_path / "list.csv").write_text(text.replace("{root}", str(tmp_path)), encoding=encoding)
    monkeypatch.chdir(tmp_path)
    (pair,) = find_pairs(Path("list.csv")).pairs
    assert (pair.rgb, pair.nir, pair.split) == ("a.png", "b.png", "val")


def test_an_index_may_have_a_byte_order_mark(root: Path) -> None:
    (root / "index.csv").write_text("name,sequence\na,s1\nb,s2\nc,s3\n", encoding="utf-8-sig")
    assert [pair.sequence for pair in find_pairs(root, root / "index.csv").pairs] == ["s1", "s2", "s3"]


def test_a_line_of_a_list_is_named_as_an_editor_counts_it(tmp_path: Path, save) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "list.csv").write_text("rgb,nir\n\n,\na.png,none.png\n")
    with pytest.raises(NirgenError, match=r"list\.csv, line 4: 'none\.png' isn't in"):
        find_pairs(tmp_path / "list.csv")


def test_all_bad_pairs_are_named_at_once_or_left_out(root: Path, save) -> None:
    (root / "train/rgb/a.jpg").write_bytes(b"no image")
    save(root / "val/nir/c.tif", 10, 15)
    with pytest.raises(ImageError) as caught:
        find_pairs(root)
    first, *lines = str(caught.value).splitlines()
    assert first == "2 of 3 pairs can't be used; mend them, or --skip-bad:"
    assert len(lines) == 2
    assert "train/rgb/a.jpg" in lines[0]
    assert lines[1].endswith("val/nir/c.tif: 15x10, but its RGB partner is 12x8; align and crop them alike")
    left_out: list[str] = []
    assert [pair.name for pair in find_pairs(root, leave_out=left_out.append).pairs] == ["b"]
    assert [f"  {fault}" for fault in left_out] == lines
    (root / "train/nir/b.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match="3 of 3 pairs can't be used"):  # none would be left
        find_pairs(root, leave_out=left_out.append)
