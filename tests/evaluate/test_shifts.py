from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nirgen import images
from nirgen.errors import NirgenError
from nirgen.evaluate.methods import BASELINE, Method, from_folders, from_pairs
from nirgen.evaluate.shifts import judge_shifted, shift
from nirgen.images.conditions import SHIFTS
from nirgen.metrics import PSNR_CEILING

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.evaluate.supplement import Supplement
    from nirgen.pairs import PairList

PHOTO = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
RED = Method("red", "model", lambda frame: frame.photo[..., 0])
GREY = Method(BASELINE, "floor", lambda frame: images.to_grey(frame.photo))


def values(supplement: Supplement) -> dict[str, dict[str, float]]:
    return {row.method: {kind: each.value for kind, each in row.estimates.items()} for row in supplement.rows}


def judge(folders: tuple[Path, Path, Path], *methods: Method) -> Supplement:
    _, gt, rgb = folders
    return judge_shifted(from_folders(gt, rgb), [*methods, GREY], list("abcd"), size=None, resamples=100)


def test_there_are_a_cast_haze_clipping_darkness_and_jpeg() -> None:
    assert list(SHIFTS) == ["cast", "haze", "clip", "dark", "jpeg"]


@pytest.mark.parametrize("kind", list(SHIFTS))
def test_a_photo_has_one_shift_of_a_kind_and_another_photo_another_one(kind: str) -> None:
    first = shift(PHOTO, kind, "source")
    assert (first.shape, first.dtype) == (PHOTO.shape, np.uint8)
    assert not np.array_equal(first, PHOTO)
    np.testing.assert_array_equal(first, shift(PHOTO, kind, "source"))
    assert not np.array_equal(first, shift(PHOTO, kind, "other"))


def test_a_shift_is_drawn_by_the_hash_of_file_and_kind() -> None:
    digest = hashlib.sha256(b"source cast").digest()
    drawn = SHIFTS["cast"](np.full((2, 2, 3), 100 / 255, np.float32), np.random.default_rng(int.from_bytes(digest[:8])))
    np.testing.assert_array_equal(shift(np.full((2, 2, 3), 100, np.uint8), "cast", "source"), np.rint(drawn * 255))


def test_the_columns_are_the_photos_as_they_are_and_each_shift(folders) -> None:
    found = judge(folders, RED)
    assert [column.name for column in found.columns] == ["none", "cast", "haze", "clip", "dark", "jpeg"]
    assert [(row.method, row.kind) for row in found.rows] == [
        ("red", "model"),
        ("grey", "floor"),
        ("red - grey", "reference"),
    ]


def test_the_numbers_are_of_the_shifted_photo_against_the_real_nir(folders) -> None:
    # NIR is the red channel; a cast scales it, which the affine fit takes back up to rounding.
    found = values(judge(folders, RED))
    assert found["red"]["none"] == PSNR_CEILING
    assert 50 < found["red"]["cast"] < PSNR_CEILING
    assert found["red"]["jpeg"] < 40
    assert found["red - grey"]["haze"] == pytest.approx(found["red"]["haze"] - found["grey"]["haze"])


def test_differences_from_grey_are_marked_better_or_worse(folders) -> None:
    flat = Method("flat", "model", lambda frame: np.zeros_like(frame.nir))
    rows = {row.method: row.marks for row in judge(folders, RED, flat).rows}
    assert rows["red - grey"]["none"] == "better"
    assert rows["flat - grey"]["none"] == "worse"
    assert rows["grey"] == {}


def test_folders_of_images_are_left_out(folders) -> None:
    folder = Method("theirs", "folder", lambda frame: frame.nir)
    assert [row.method for row in judge(folders, RED, folder).rows] == ["red", "grey", "red - grey"]


def test_without_photos_there_is_nothing_to_shift(folders) -> None:
    with pytest.raises(NirgenError, match="no photos to shift; name their folder with --rgb"):
        judge_shifted(from_folders(folders[1]), [RED, GREY], list("abcd"), size=None, resamples=100)


def test_the_same_photo_has_the_same_shift_in_a_list_and_in_a_folder(pairs: PairList, tmp_path: Path) -> None:
    for kind in ("rgb", "nir"):
        shutil.copytree(pairs.root / "val" / kind, tmp_path / "elsewhere" / kind)
    there = from_folders(tmp_path / "elsewhere/nir", tmp_path / "elsewhere/rgb")
    found = [
        judge_shifted(cases, [RED, GREY], ["e", "f"], size=32, resamples=100).as_dict()
        for cases in (from_pairs(pairs, "val"), there)
    ]
    assert found[0] == found[1]
    json.dumps(found[0], allow_nan=False)
