from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nirgen.pairs import PairList, find_pairs
from nirgen.pairs.check import check_pairs, clean_pairs, clipped_shares, mutual_information

if TYPE_CHECKING:
    from pathlib import Path


def store(root: Path, name: str, rgb: np.ndarray, nir: np.ndarray) -> None:
    split, stem = name.split("/")
    for kind, pixels in (("rgb", rgb), ("nir", nir)):
        (root / split / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / split / kind / f"{stem}.png")


@pytest.fixture
def faulty(tmp_path: Path, scene) -> PairList:
    """One pair of each fault, and two good ones."""
    for seed, name in enumerate(("train/good", "val/good_too")):
        store(tmp_path, name, *scene(seed=seed))
    store(tmp_path, "train/shifted", *scene(seed=2, right=6))
    store(tmp_path, "train/swapped_1", scene(seed=3)[0], scene(seed=4)[1])
    store(tmp_path, "train/swapped_2", scene(seed=4)[0], scene(seed=3)[1])
    store(tmp_path, "train/elsewhere", scene(seed=5)[0], scene(seed=6)[1])
    store(tmp_path, "train/leaking", *scene(seed=7))
    store(tmp_path, "val/leak", scene(seed=7)[0], scene(seed=8)[1])
    store(tmp_path, "train/twin", *scene(seed=0))
    rgb, nir = scene(seed=9)
    nir[:48] = 255
    store(tmp_path, "train/overexposed", rgb, nir)
    store(tmp_path, "train/flat", np.full((64, 64, 3), 90, np.uint8), np.full((64, 64), 60, np.uint8))
    store(tmp_path, "train/broken", *scene(seed=10))
    found = find_pairs(tmp_path)
    (tmp_path / "train/nir/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return found


def test_every_fault_is_named_and_nothing_else(faulty: PairList) -> None:
    rows = check_pairs(faulty, workers=1)
    assert {row.name: row.suspect for row in rows} == {
        "broken": ("damaged",),
        "elsewhere": ("unrelated",),
        "flat": ("unmeasured",),
        "good": (),
        "good_too": (),
        "leak": ("unrelated", "duplicate", "leak"),
        "leaking": ("leak",),
        "overexposed": ("clipped",),
        "shifted": ("misaligned",),
        "swapped_1": ("swapped", "unrelated"),
        "swapped_2": ("swapped", "unrelated"),
        "twin": ("duplicate",),
    }
    by_name = {row.name: row for row in rows}
    assert by_name["swapped_1"].fits_nir_of == "train/swapped_2"
    assert (by_name["leak"].leak_of, by_name["leak"].leak_distance) == ("train/leaking", 0)
    assert by_name["twin"].duplicate_of == "train/good"
    assert by_name["shifted"].shift_x == pytest.approx(6, abs=0.5)
    assert by_name["broken"].error == "train/nir/broken.png: changed since it was listed; run 'nirgen pairs' again"


def test_rows_are_sorted_and_every_pair_has_one(faulty: PairList) -> None:
    backwards = PairList(faulty.root, faulty.pairs[::-1])
    assert [(row.split, row.name) for row in check_pairs(backwards, workers=1)] == sorted(
        (pair.split, pair.name) for pair in faulty.pairs
    )


def test_the_tolerance_decides_what_is_misaligned(faulty: PairList) -> None:
    rows = check_pairs(faulty, tolerance=7, workers=1)
    assert [row.name for row in rows if "misaligned" in row.suspect] == []


def test_a_clean_list_lacks_what_is_too_far_apart_or_can_not_be_compared(faulty: PairList) -> None:
    rows = check_pairs(faulty, workers=1)
    clean = clean_pairs(faulty, rows, 3)
    assert {pair.name for pair in faulty.pairs} - {pair.name for pair in clean.pairs} == {
        "broken",
        "elsewhere",
        "leak",
        "leaking",
        "shifted",
        "swapped_1",
        "swapped_2",
        "twin",
    }
    assert "shifted" in {pair.name for pair in clean_pairs(faulty, rows, 7).pairs}


def test_unequal_sizes_and_colour_are_errors_of_their_row(tmp_path: Path, scene, monkeypatch) -> None:
    rgb, nir = scene()
    store(tmp_path, "train/small", rgb, nir[:90])
    store(tmp_path, "train/coloured", rgb, rgb)
    monkeypatch.setattr("nirgen.pairs.find._size_problem", lambda *_: "")  # as if listed before it was changed
    coloured, small = check_pairs(find_pairs(tmp_path), workers=1)
    assert "a NIR image in colour" in str(coloured.error)
    assert small.error == "train/nir/small.png: 128x90, but its RGB partner is 128x96; align and crop them alike"


def test_one_pair_can_be_checked(pairs: PairList) -> None:
    (row,) = check_pairs(PairList(pairs.root, pairs.pairs[:1]))
    assert row.suspect == ()
    assert row.shift == pytest.approx(0, abs=0.2)


def test_processes_find_what_one_finds(pairs: PairList) -> None:
    done: list[tuple[str, int, int | None]] = []
    several = check_pairs(pairs, workers=2, progress=lambda *numbers: done.append(numbers))
    assert several == check_pairs(pairs, workers=1)
    assert done == [("check", number, 6) for number in range(1, 7)]


def test_independent_images_share_nothing() -> None:
    random = np.random.default_rng(0)
    rgb, nir = random.integers(0, 256, (512, 512, 3), np.uint8), random.integers(0, 256, (512, 512), np.uint8)
    bits, share = mutual_information(rgb, nir)
    assert (bits, share) == (pytest.approx(0, abs=0.01), pytest.approx(0, abs=0.01))


def test_two_equal_halves_share_one_bit() -> None:
    nir = np.zeros((8, 8), np.uint8)
    nir[:, 4:] = 255
    rgb = np.repeat(nir[..., np.newaxis], 3, axis=2)
    assert mutual_information(rgb, nir) == (1.0, 1.0)


def test_images_without_contrast_share_nothing() -> None:
    assert mutual_information(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)) == (0.0, 0.0)


def test_shares_of_clipped_samples_are_of_all_channels() -> None:
    rgb = np.full((2, 2, 3), 128, np.uint8)
    rgb[0, 0] = (0, 255, 255)
    assert clipped_shares(rgb) == (1 / 12, 2 / 12)
