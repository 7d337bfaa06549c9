from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nirgen.dataset import provenance
from nirgen.dataset.build import build
from nirgen.dataset.plan import TrainingPair
from nirgen.dataset.provenance import pairs_of, read_pairs, write_pairs
from nirgen.dataset.store import Store
from nirgen.errors import NirgenError


def rows_of(plan, folder) -> list[dict[str, object]]:
    build(plan, folder)
    return pq.read_table(folder / "provenance.parquet").to_pylist()


def test_an_images_row_stands_before_those_of_its_annotations(small_plan, tmp_path) -> None:
    rows = rows_of(small_plan, tmp_path / "d")
    assert [(row["kind"], row["key"], row["id"]) for row in rows[:5]] == [
        ("image", "bdd/a.jpg", 1),
        ("annotation", "bdd/a.jpg#10", 1),
        ("annotation", "bdd/a.jpg#3", 2),
        ("annotation", "bdd/a.jpg#7", 3),
        ("image", "bdd/b.jpg", 2),
    ]
    assert len(rows) == 7 + 9


def test_a_row_tells_source_labels_model_and_every_step(small_plan, tmp_path) -> None:
    rows = rows_of(small_plan, tmp_path / "d")
    sha256 = small_plan.images[0].sha256
    common = {
        "split": "train",
        "image_key": "bdd/a.jpg",
        "file_name": "images/bdd/a.png",
        "sha256": sha256,
        "input_sha256": sha256,
        "origin": "bdd",
        "generated": True,
        "source": "a.jpg",
        "source_sha256": "5" * 64,
        "label_file": "bdd.json",
        "label_sha256": "1" * 64,
        "model_id": "abcdef12" * 8,
        "options_id": "0" * 64,
    }
    assert rows[0] == common | {
        "kind": "image",
        "key": "bdd/a.jpg",
        "id": 1,
        "source_key": "0",  # its id in the source
        "source_category": None,
        "category": None,
        "transforms": ["translated by model abcdef12", "scaled 0.5x0.5"],
    }
    assert rows[3] == common | {
        "kind": "annotation",
        "key": "bdd/a.jpg#7",
        "id": 3,
        "source_key": "7",
        "source_category": "truck",
        "category": "car",
        "transforms": ["class truck -> car", "scaled 0.5x0.5"],
    }


def test_a_real_image_has_no_model(small_plan, tmp_path) -> None:
    row = next(row for row in rows_of(small_plan, tmp_path / "d") if row["key"] == "ranus/02/b.png")
    assert (row["generated"], row["source"], row["model_id"], row["transforms"]) == (False, None, None, [])


def test_an_image_that_nobody_labelled_has_no_label_file(small_plan, with_image, tmp_path) -> None:
    rows = rows_of(with_image(small_plan, 1, labels=None), tmp_path / "d")
    row = next(row for row in rows if row["key"] == "bdd/b.jpg")
    assert (row["label_file"], row["label_sha256"], row["source_key"]) == (None, None, None)


def test_rows_are_written_in_groups(small_plan, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(provenance, "ROWS", 4)
    build(small_plan, tmp_path / "d")
    metadata = pq.read_metadata(tmp_path / "d/provenance.parquet")
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [4, 4, 6, 2]
    assert metadata.metadata[b"nirgen.schema"] == b"1"


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
