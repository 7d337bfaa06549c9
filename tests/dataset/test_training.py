from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nirgen.dataset.build import build
from nirgen.dataset.store import Store
from nirgen.dataset.training import TrainingPair, pairs_of, read_pairs, write_pairs
from nirgen.errors import NirgenError

ONE = TrainingPair("a" * 64, "train/1", "1" * 64, "2" * 64, "s01")
OTHER = TrainingPair("b" * 64, "train/1", "", "3" * 64, "")


def test_a_header_lists_pairs_or_none() -> None:
    listed = {"name": "train/1", "nir_sha256": "3" * 64, "sequence": None}
    assert pairs_of({"training": {"pairs": [listed]}}, "b" * 64) == (OTHER,)
    assert pairs_of({"training": {}}, "b" * 64) == pairs_of({}, "b" * 64) == ()


def test_pairs_come_back_sorted_and_each_once(tmp_path) -> None:
    store = Store(tmp_path)
    write_pairs(store, [OTHER, ONE, OTHER])
    assert read_pairs(tmp_path) == (ONE, OTHER)
    assert pq.read_schema(tmp_path / "lineage.parquet").metadata[b"nirgen.schema"] == b"1"


def test_the_order_of_pairs_does_not_change_the_bytes(tmp_path) -> None:
    stores = [Store(tmp_path / name) for name in ("one", "other")]
    for store, pairs in zip(stores, ([ONE, OTHER], [OTHER, ONE]), strict=True):
        store.root.mkdir()
        write_pairs(store, pairs)
    assert stores[0].hashes == stores[1].hashes != {}


def test_a_dataset_holds_what_trained_its_generators(dataset_inputs, plan_dataset, tmp_path) -> None:
    pair = {"name": "train/1", "rgb_sha256": "1" * 64, "nir_sha256": "2" * 64, "sequence": "s"}
    plan = plan_dataset(dataset_inputs(training_pairs=[pair]))
    build(plan, tmp_path / "D")
    assert read_pairs(tmp_path / "D") == plan.training == (TrainingPair(model_id=plan.generators[0].model_id, **pair),)
    assert "| `lineage.parquet` |" in (tmp_path / "D/README.md").read_text()
    assert '"train/1"' not in (tmp_path / "D/dataset.json").read_text()


def test_without_a_list_there_is_no_file(small_plan, tmp_path) -> None:
    build(small_plan, tmp_path / "D")
    assert not (tmp_path / "D/lineage.parquet").exists()
    assert "lineage.parquet" not in (tmp_path / "D/README.md").read_text()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "can't be read"),
        (pa.table({"name": ["a"]}), "has schema none, and this nirgen reads 1"),
        (pa.table({"name": ["a"]}).replace_schema_metadata({"nirgen.schema": "1"}), "can't be read"),
    ],
)
def test_other_files_are_one_line(tmp_path, table: pa.Table | None, message: str) -> None:
    path = tmp_path / "lineage.parquet"
    path.write_bytes(b"PAR1")
    if table is not None:
        pq.write_table(table, path)
    with pytest.raises(NirgenError) as error:
        read_pairs(tmp_path)
    assert message in str(error.value)
    assert "build the dataset again" in str(error.value)
