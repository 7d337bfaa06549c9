from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from nirgen.scores.measuring import measure
from nirgen.scores.names import IMAGE_SCORES
from nirgen.scores.table import empty_rows, finish, measured_rows, read_table, to_rows, write_scores

ROOF = (240.0, 200.0, 120.0, 80.0)


@pytest.fixture
def rows(make_item, scene, near_infrared):
    items = [
        make_item(near_infrared, scene, ROOF, (0, 0, 5, 5), key="bdd/b.jpg"),
        make_item(near_infrared, None, key="bdd/a.jpg"),
    ]
    return to_rows([(item, measure(item)) for item in items])


def test_scores_are_sorted_by_key_with_all_names(rows) -> None:
    table = finish(rows)
    assert table["key"].to_pylist() == ["bdd/a.jpg", "bdd/b.jpg"]
    assert set(IMAGE_SCORES) < set(table.column_names)
    assert table["structure"].to_pylist()[0] is None
    box, small = table["boxes"].to_pylist()[1]
    assert (box["key"], box["tags"]) == ("bdd/b.jpg#0", [])
    assert 0 <= box["trouble"] < 0.3
    assert (small["trouble"], small["fidelity"], small["tags"]) == (None, None, [])


def test_what_was_measured_comes_back_from_the_file(rows, tmp_path) -> None:
    write_scores(tmp_path, finish(rows))
    assert measured_rows(read_table(tmp_path)).sort_by("key").equals(rows.sort_by("key").combine_chunks())


def test_finishing_again_changes_nothing(rows) -> None:
    table = finish(rows)
    assert finish(measured_rows(table)).equals(table)


def test_no_rows_have_scores_as_well() -> None:
    assert finish(empty_rows()).num_rows == 0


def test_a_file_that_is_damaged_or_of_another_schema_is_as_if_it_were_not_there(rows, tmp_path) -> None:
    assert read_table(tmp_path) is None
    (tmp_path / "scores.parquet").write_bytes(b"PAR1 no")
    assert read_table(tmp_path) is None
    pq.write_table(finish(rows).replace_schema_metadata({"nirgen.schema": "99"}), tmp_path / "scores.parquet")
    assert read_table(tmp_path) is None
