"""How the images of pairs are read: the same choices, and what is said of them, for checking, training and judging."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nirgen import images
from nirgen.errors import DamagedError
from nirgen.evaluate import methods
from nirgen.pairs import PairList, check_pairs, find_pairs, read_pair
from nirgen.train.config import DataConfig

if TYPE_CHECKING:
    from pathlib import Path

LEVELS = np.array([[0, 1024, 2048, 4095]], np.uint16).repeat(4, axis=0)


@pytest.fixture
def deep(tmp_path: Path) -> PairList:
    """A pair of which RGB has 8 bits and NIR 12 bits in 16."""
    for kind in ("rgb", "nir"):
        (tmp_path / "pairs" / kind).mkdir(parents=True)
    Image.new("RGB", (4, 4), (9, 8, 7)).save(tmp_path / "pairs/rgb/a.png")
    Image.fromarray(LEVELS).save(tmp_path / "pairs/nir/a.png")
    return find_pairs(tmp_path / "pairs", layout="folders")


def test_the_white_level_of_nir_is_that_of_nir_alone(deep: PairList) -> None:
    rgb, nir = read_pair(deep, deep.pairs[0])
    assert nir[0].tolist() == [0, 4, 8, 16]
    assert deep.remarks.lines() == [images.DARK_NOTE]
    settings = DataConfig.model_validate({"white_level_nir": 4095})
    deep = replace(deep, readings=settings.readings, remarks=images.Remarks())
    rgb, nir = read_pair(deep, deep.pairs[0])
    assert nir[0].tolist() == [0, 64, 128, 255]
    assert rgb[0, 0].tolist() == [9, 8, 7]
    assert deep.remarks.lines() == []


def test_folders_that_are_judged_are_read_likewise(deep: PairList) -> None:
    remarks = images.Remarks()
    readings = images.Readings.of(white_levels=(None, 4095))
    (case,) = methods.from_folders(deep.root / "nir", deep.root / "rgb", readings, remarks)
    assert case.read()[1][0].tolist() == [0, 64, 128, 255]
    assert remarks.lines() == []
    (case,) = methods.from_folders(deep.root / "nir", remarks=remarks)
    assert case.read()[1][0].tolist() == [0, 4, 8, 16]
    assert remarks.lines() == [images.DARK_NOTE]


@pytest.fixture
def damaged(tmp_path: Path, scene) -> PairList:
    """A pair whose photo has lost a piece, and one whose NIR image lacks its end marker."""
    for number in range(2):
        rgb, nir = scene(seed=number)
        for kind, pixels in (("rgb", rgb), ("nir", nir)):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "JPEG")
            data = file.getvalue()
            if (number, kind) == (0, "rgb"):
                data = data[:2000] + data[2300:]
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / kind / f"{number}.jpg").write_bytes(data[:-2] if (number, kind) == (1, "nir") else data)
    return find_pairs(tmp_path, layout="folders")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_check_refuses_damaged_images_or_notes_them(damaged: PairList, workers: int) -> None:
    with pytest.raises(DamagedError, match=r"0\.jpg' is damaged \(Corrupt JPEG data: premature end of data segment\)"):
        read_pair(damaged, damaged.pairs[0])
    first, second = check_pairs(damaged, workers=workers)
    assert first.suspect == ("damaged",)
    assert "is damaged (Corrupt JPEG data: premature end of data segment)" in (first.error or "")
    assert (second.error, second.note) == (None, "1 image: its end marker is missing")
    kept = replace(damaged, readings=images.Readings.of("keep"))
    first, second = check_pairs(kept, workers=workers)
    assert (first.error, first.note) == (None, "1 image: its data are corrupt, and were kept")
