from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from nirgen.validate import validate_dataset

if TYPE_CHECKING:
    from pathlib import Path


def test_an_annotation_that_is_gone_leaves_its_row(edit, faults) -> None:
    edit("annotations/train.json", lambda values: values["annotations"].pop())
    assert faults()["stray-provenance"] == 1


def test_an_annotation_that_is_new_has_no_row(edit, faults) -> None:
    edit(
        "annotations/train.json",
        lambda values: values["annotations"].append(values["annotations"][0] | {"id": 99, "bbox": [30, 1, 5, 5]}),
    )
    assert faults()["no-provenance"] == 1


def test_a_class_that_was_changed_is_not_that_of_its_row(dataset: Path, edit, faults) -> None:
    edit("annotations/train.json", lambda values: values["annotations"][0].update(category_id=2))
    report = validate_dataset(dataset)
    (finding,) = [finding for finding in report.findings if finding.check == "wrong-provenance"]
    assert finding.examples == ("annotation 1: category 'bicycle', its row says 'person'",)


def test_a_row_that_is_changed_is_found(dataset: Path, faults) -> None:
    path = dataset / "provenance.parquet"
    table = pq.read_table(path, partitioning=None)
    rows = table.to_pylist()
    rows[0] |= {"sha256": "0" * 64, "origin": "elsewhere"}
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), path)
    assert faults() == {"wrong-provenance": 2, "changed-file": 1}


def test_provenance_that_can_not_be_read_is_said(dataset: Path) -> None:
    (dataset / "provenance.parquet").write_bytes(b"PAR1")
    report = validate_dataset(dataset)
    assert [finding.check for finding in report.findings] == ["changed-file"]
    assert report.skipped["provenance"].startswith("provenance.parquet can't be read")
    assert report.skipped["lineage"] == "there is no provenance to go by"
