from __future__ import annotations

import pyarrow.parquet as pq

from nirgen.dataset import provenance
from nirgen.dataset.build import build


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
