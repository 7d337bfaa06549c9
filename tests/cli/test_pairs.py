from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from nirgen.pairs import PairList
from nirgen.pairs.layouts import LAYOUTS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def listing(pairs: PairList) -> Path:
    pairs.write(pairs.root / "pairs.csv")
    return pairs.root / "pairs.csv"


def test_list_may_be_left_out(nirgen, pairs: PairList, tmp_path: Path) -> None:
    for words in (("pairs",), ("pairs", "list")):
        out = tmp_path / "list.csv"
        note = f"note: paths are relative to {pairs.root}; give that folder with --root\n"
        assert nirgen(*words, pairs.root, "-o", out) == (0, f"{out}: 4 train, 2 val; layout splits\n", note)
        assert nirgen(*words, "-o", out, pairs.root)[0] == 0


def test_the_next_command_names_the_folder_of_the_images(run_nirgen, pairs: PairList, tmp_path: Path) -> None:
    out = tmp_path / "list.csv"
    for place, root in ((pairs.root / "list.csv", ""), (out, f" --root {pairs.root}")):
        _, _, error = run_nirgen("pairs", pairs.root, "-o", place)
        assert error.splitlines()[-1] == f"next: nirgen pairs check {place}{root}"
    words = run_nirgen("pairs", "check", out, "--root", pairs.root, "--workers", 1)[2].splitlines()[-1]
    assert words == f"next: nirgen train compact RUN --pairs {tmp_path}/list.clean.csv --root {pairs.root}"


def test_bad_pairs_are_left_out_and_copies_across_splits_are_named(nirgen, pairs: PairList, tmp_path: Path) -> None:
    for kind in ("rgb", "nir"):
        folder = pairs.root / "train" / kind
        first, second, *_ = sorted(folder.iterdir())
        (pairs.root / "val" / kind / f"copy{first.suffix}").write_bytes(first.read_bytes())
        if kind == "rgb":
            second.write_bytes(b"no image")
    out = tmp_path / "list.csv"
    code, text, error = nirgen("pairs", pairs.root, "-o", out, "--skip-bad")
    assert (code, text) == (0, f"{out}: 3 train, 3 val; layout splits; 1 left out\n")
    lines = error.splitlines()
    assert lines[0].startswith("left out: ")
    assert lines[1] == "warning: val/copy has the bytes of train/a; 'nirgen train' refuses such a list"
    assert lines[2:] == [f"note: paths are relative to {pairs.root}; give that folder with --root"]
    for words in ((), ("--dry-run",)):
        code, _, error = nirgen("train", "linear", tmp_path / "run", "--pairs", out, "--root", pairs.root, *words)
        assert (code, (tmp_path / "run").exists()) == (1, False)
        assert error.splitlines()[-1] == ("error: val/copy has the bytes of train/a; remove one of each from the list")


def test_help_lists_both_commands(nirgen) -> None:
    code, out, _ = nirgen("pairs", "--help")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[-2:]] == ["list", "check"]


def test_help_names_every_layout(nirgen) -> None:
    _, out, _ = nirgen("pairs", "list", "--help")
    assert [name for name in ("auto", *LAYOUTS) if name not in out] == []


def test_a_thermal_data_set_is_said_to_be_one(nirgen, tmp_path: Path, save) -> None:
    for kind in ("RGB", "PreviewData"):
        save(tmp_path / "JPEGImages" / f"FLIR_00001_{kind}.jpeg")
    (tmp_path / "align_train.txt").write_text("FLIR_00001_PreviewData\n")
    (tmp_path / "align_validation.txt").touch()
    code, out, error = nirgen("pairs", tmp_path, "-o", tmp_path / "l.csv")
    assert (code, out) == (0, f"{tmp_path}/l.csv: 1 train; layout flir\n")
    assert error.startswith("note: FLIR's second image is thermal (LWIR) and not NIR")


def test_two_folders_and_a_division(nirgen, pairs: PairList, tmp_path: Path) -> None:
    folders = ("--rgb", pairs.root / "train/rgb", "--nir", pairs.root / "train/nir")
    code, _, error = nirgen("pairs", *folders, "-o", tmp_path / "l.csv", "--split", "train=0.5,val=0.5")
    assert (code, error.count("\n")) == (1, 1)
    assert "--split-by frame" in error
    code, out, error = nirgen(
        "pairs", *folders, "-o", tmp_path / "l.csv", "--split", "train=0.5,val=0.5", "--split-by", "frame"
    )
    assert (code, out) == (0, f"{tmp_path}/l.csv: 2 train, 2 val; two folders\n")
    assert error == f"note: paths are relative to {pairs.root / 'train'}; give that folder with --root\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pairs", "-o", "l.csv"), "name ROOT, or two folders with --rgb and --nir"),
        (("pairs", "-o", "l.csv", "--rgb", "a"), "--rgb and --nir go together"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(nirgen, words: tuple[str, ...], message: str) -> None:
    code, _, error = nirgen(*words)
    assert code == 2
    assert message in error


def test_a_check_writes_report_sheet_and_clean_list(nirgen, listing: Path) -> None:
    sheet = listing.with_name("worst.png")
    code, out, error = nirgen("pairs", "check", listing, "--sheet", sheet, "--drop-worse-than", 2, "--workers", 1)
    assert (code, error) == (0, "")
    assert out == (
        "6 pairs, 6 not suspect\n"
        f"report: {listing.with_suffix('.check.parquet')}\n"
        f"the 6 worst: {sheet}\n"
        f"{listing.with_suffix('.clean.csv')}: 4 train, 2 val; 0 left out\n"
    )
    assert PairList.read(listing.with_suffix(".clean.csv")) == PairList.read(listing)
    assert listing.with_suffix(".check.parquet").stat().st_size > 0


def test_a_clean_list_lacks_copies_and_can_be_trained_on(nirgen, listing: Path) -> None:
    from nirgen.pairs.duplicates import refuse_copies

    for split, name in (("train", "a_twin"), ("val", "a_leak")):
        for kind in ("rgb", "nir"):
            shutil.copy(listing.parent / "train" / kind / "a.png", listing.parent / split / kind / f"{name}.png")
    assert nirgen("pairs", listing.parent, "-o", listing)[0] == 0
    code, out, _ = nirgen("pairs", "check", listing, "--workers", 1)
    assert code == 0
    assert out.splitlines()[-1] == f"{listing.with_suffix('.clean.csv')}: 3 train, 3 val; 2 left out"
    clean = PairList.read(listing.with_suffix(".clean.csv"))
    assert {pair.name for pair in clean.pairs} & {"a", "a_twin", "a_leak"} == {"a_leak"}
    refuse_copies(clean.pairs)


def test_a_list_of_which_nothing_would_be_left_gives_no_clean_list(nirgen, listing: Path) -> None:
    for path in (listing.parent / "val/nir").iterdir():
        path.write_bytes(b"")
    for path in (listing.parent / "train/nir").iterdir():
        path.unlink()
    code, _, error = nirgen("pairs", "check", listing, "--workers", 1)
    assert code == 3
    assert f"{listing.with_suffix('.clean.csv')} was not written: no pair would be left of 6" in error
    assert not listing.with_suffix(".clean.csv").exists()
    code, _, error = nirgen("pairs", "check", listing, "--workers", 1, "--drop-worse-than", 3)
    assert code == 1
    assert "no pair would be left of 6" in error


def test_a_pair_that_can_not_be_read_is_reported_and_left_out(nirgen, listing: Path) -> None:
    (listing.parent / "train/nir/b.png").unlink()
    code, out, error = nirgen("pairs", "check", listing, "--drop-worse-than", 2, "--workers", 1)
    assert code == 3
    assert "      1 damaged\ntrain/b: damaged\n" in out
    assert "3 train, 2 val; 1 left out" in out
    assert "nir/b.png: can't be read" in error


@pytest.mark.parametrize("option", ["--out", "--sheet"])
def test_the_list_is_never_overwritten(nirgen, listing: Path, option: str) -> None:
    before = listing.read_bytes()
    code, _, error = nirgen("pairs", "check", listing, option, listing)
    assert (code, error) == (1, f"error: {listing}: is the list itself; name another file\n")
    assert listing.read_bytes() == before
