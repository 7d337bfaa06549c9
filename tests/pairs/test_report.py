from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from nirgen.pairs.checking import check_pairs
from nirgen.pairs.report import Row, worst_first, write_report

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
