from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from nirgen.errors import NirgenError
from nirgen.explain import explain

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("99", "no annotation or image 99; ids count from 1"),
        ("bdd/seq/a.jpgg", "nothing is called 'bdd/seq/a.jpgg'; near it are 'bdd/seq/a.jpg'"),
        ("b.png", "near it are 'ranus/b.png'"),
        ("bdd/seq/a.jpg#77", "near it are 'bdd/seq/a.jpg#7', 'bdd/seq/a.jpg#8', 'bdd/seq/a.jpg#9'"),
        ("zzz", "nothing is called 'zzz'; name an id, a key or an image file"),
    ],
)
def test_what_is_not_there_is_one_line_with_the_nearest_keys(dataset: Path, wanted: str, message: str) -> None:
    with pytest.raises(NirgenError) as error:
        explain(dataset, wanted)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_row_group_that_can_not_have_the_answer_is_not_read(dataset: Path, tmp_path: Path, monkeypatch) -> None:
    for path in ("dataset.json", "provenance.parquet"):
        (tmp_path / path).write_bytes((dataset / path).read_bytes())
    table = pq.read_table(dataset / "provenance.parquet", partitioning=None)
    pq.write_table(table, tmp_path / "provenance.parquet", row_group_size=1)
    read: list[int] = []
    group = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda *args, **keys: (read.append(args[1]), group(*args, **keys))[1]
    )
    explain(tmp_path, "ranus/b.png")
    assert set(read) == {4}


def test_provenance_that_is_damaged_is_one_line(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_bytes((dataset / "dataset.json").read_bytes())
    (tmp_path / "provenance.parquet").write_bytes(b"PAR1")
    with pytest.raises(NirgenError, match=r"can't be read .*; build the dataset again"):
        explain(tmp_path, "1")
