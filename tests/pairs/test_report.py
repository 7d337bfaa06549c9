from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nirgen.errors import OutputError
from nirgen.pairs.check import check_pairs
from nirgen.pairs.report import Row, overlay, worst_first, write_report, write_sheet

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.pairs import PairList


def row(name: str, suspect: tuple[str, ...] = (), shift: float | None = None) -> Row:
    values = dict.fromkeys(field.name for field in fields(Row))
    return Row(**values | {"split": "train", "name": name, "suspect": suspect, "shift": shift})


def test_a_report_has_a_row_a_pair_and_the_same_bytes_each_time(pairs: PairList, tmp_path: Path) -> None:
    rows = check_pairs(pairs, workers=1)
    for name in ("one.parquet", "two.parquet"):
        write_report(tmp_path / name, rows)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    table = pq.read_table(tmp_path / "one.parquet")
    assert table.column_names == [field.name for field in fields(Row)]
    assert table["name"].to_pylist() == ["a", "b", "c", "d", "e", "f"]
    assert table["suspect"].to_pylist() == [[]] * 6
    assert table.schema.metadata[b"nirgen.schema"] == b"1"
    assert table["shift"].to_pylist() == pytest.approx([each.shift for each in rows], abs=1e-5)


def test_the_worst_come_first() -> None:
    rows = [
        row("near", shift=0.1),
        row("far", ("misaligned",), 9.0),
        row("swapped", ("swapped", "unrelated"), 2.0),
        row("unrelated", ("unrelated",), 3.0),
        row("damaged", ("damaged",)),
    ]
    assert [each.name for each in worst_first(rows)] == ["damaged", "swapped", "unrelated", "far", "near"]


def test_the_sheet_has_a_row_for_each_of_the_worst(pairs: PairList, tmp_path: Path) -> None:
    rows = check_pairs(pairs, workers=1)
    (pairs.root / "train/rgb/a.png").unlink()
    assert write_sheet(tmp_path / "worst.png", pairs, rows, count=2)[0] == 2
    assert write_sheet(tmp_path / "all.jpg", pairs, rows)[0] == 5
    with Image.open(tmp_path / "worst.png") as worst, Image.open(tmp_path / "all.jpg") as every:
        assert worst.size == (12 + 3 * 400 + 2 * 6 + 12, 12 + 24 + 2 * (300 + 24) + 6)  # headings, and captions below
        assert (every.format, every.height) == ("JPEG", 12 + 24 + 5 * (300 + 24) + 6)


def test_edges_of_rgb_are_red_and_those_of_nir_cyan() -> None:
    rgb, nir = np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.uint8)
    rgb[:, 10:] = 200
    nir[:, 30:] = 200
    drawn = overlay(rgb, nir)
    assert drawn[20, 10].tolist() == [255, 0, 0]
    assert drawn[20, 30].tolist() == [0, 255, 255]
    assert drawn[20, 20].tolist() == [0, 0, 0]


def test_nothing_is_written_where_nothing_can_be_shown(pairs: PairList, tmp_path: Path) -> None:
    rows = check_pairs(pairs, workers=1)
    for path in pairs.root.glob("*/nir/*"):
        path.unlink()
    assert write_sheet(tmp_path / "sheet.png", pairs, rows) == (0, None)
    assert not (tmp_path / "sheet.png").exists()


def test_a_sheet_is_a_picture(pairs: PairList, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"sheet\.pdf: the sheet is an image; give it a name that ends in \.png"):
        write_sheet(tmp_path / "sheet.pdf", pairs, [])
