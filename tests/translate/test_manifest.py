from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nirgen.errors import OutputError
from nirgen.translate.items import Row
from nirgen.translate.manifest import NAME, PAIRS, Manifest, read_manifest, read_pairs, write_manifest

DONE = Row(
    source="a/b\n\u00e9.jpg",
    model_id="m" * 64,
    options_id="o" * 64,
    status="done",
    source_sha256="1" * 64,
    source_width=30,
    source_height=20,
    output="a/b\n\u00e9.png",
    output_sha256="2" * 64,
    width=30,
    height=20,
)
FAILED = Row("A.jpg", "m" * 64, "o" * 64, "failed", error="'A.jpg' is empty (0 bytes); copy it again or remove it")
MANIFEST = Manifest((DONE, FAILED), "0.1.0", {"format": "png", "size": [2, 3]}, {"architecture": {"width": 8}})


def test_rows_come_back_sorted_by_source(tmp_path):
    write_manifest(tmp_path, MANIFEST)
    manifest = read_manifest(tmp_path)
    assert manifest.rows == (FAILED, DONE)
    assert (manifest.options, manifest.model) == (MANIFEST.options, MANIFEST.model)
    assert manifest.nirgen_version == "0.1.0"


def test_the_columns_are_those_of_the_documentation(tmp_path):
    write_manifest(tmp_path, MANIFEST)
    columns = pq.read_schema(tmp_path / NAME)
    assert columns.names == [
        "source", "source_sha256", "source_width", "source_height", "output", "output_sha256", "width", "height",
        "status", "error", "model_id", "options_id", "method", "tiles", "seam",
        "damage", "note", "brightest", "captured", "latitude", "longitude",
    ]  # fmt: skip
    assert columns.metadata[b"nirgen.schema"] == b"1"


def test_the_order_of_rows_does_not_change_a_byte(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write_manifest(tmp_path / "a", MANIFEST)
    write_manifest(tmp_path / "b", Manifest((FAILED, DONE), "0.1.0", MANIFEST.options, MANIFEST.model))
    assert (tmp_path / "a" / NAME).read_bytes() == (tmp_path / "b" / NAME).read_bytes()


def test_an_equal_manifest_is_left_alone(tmp_path):
    write_manifest(tmp_path, MANIFEST)
    before = (tmp_path / NAME).stat()
    write_manifest(tmp_path, MANIFEST)
    after = (tmp_path / NAME).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


PAIRS_OF_MODEL = [{"name": f"{number:04}", "rgb_sha256": f"{number:064}", "sequence": "s"} for number in range(500)]
TRAINED = replace(MANIFEST, model={"training": {"pairs": PAIRS_OF_MODEL, "steps": 7}})


def test_the_list_of_training_pairs_lies_once_beside_the_manifest(tmp_path):
    write_manifest(tmp_path, TRAINED)
    assert (tmp_path / PAIRS).stat().st_size > 50_000
    assert (tmp_path / NAME).stat().st_size < 12_000
    manifest = read_manifest(tmp_path)
    assert {*manifest.model["training"]} == {"pairs_sha256", "steps"}
    assert read_pairs(tmp_path, manifest) == PAIRS_OF_MODEL
    before = (tmp_path / NAME).stat().st_ino
    write_manifest(tmp_path, TRAINED)
    assert (tmp_path / NAME).stat().st_ino == before


@pytest.mark.parametrize("content", [None, b"[]\n"])
def test_a_list_of_training_pairs_that_was_lost_or_changed_is_named_and_written_again(tmp_path, content):
    write_manifest(tmp_path, TRAINED)
    (tmp_path / PAIRS).unlink()
    if content is not None:
        (tmp_path / PAIRS).write_bytes(content)
    manifest = read_manifest(tmp_path)
    with pytest.raises(
        OutputError, match=r"training_pairs\.json' is (missing|changed since it was written); restore it"
    ):
        read_pairs(tmp_path, manifest)
    write_manifest(tmp_path, TRAINED)
    assert read_pairs(tmp_path, manifest) == PAIRS_OF_MODEL


def test_a_manifest_of_an_older_version_has_the_same_pairs(tmp_path, age_manifest):
    write_manifest(tmp_path, TRAINED)
    newer = read_manifest(tmp_path)
    age_manifest(tmp_path)
    older = read_manifest(tmp_path)
    assert (older.rows, older.model) == (newer.rows, newer.model)
    assert read_pairs(tmp_path, older) == PAIRS_OF_MODEL


def test_a_bit_that_flips_anywhere_is_noticed(tmp_path):
    write_manifest(tmp_path, MANIFEST)
    whole, expected = (tmp_path / NAME).read_bytes(), read_manifest(tmp_path)
    assert len(whole) > 2000
    for place in range(0, len(whole), 41):
        (tmp_path / NAME).write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(OutputError, match=r"(restore it, or remove it and run)|(is damaged or no manifest)"):
            read_manifest(tmp_path)
    (tmp_path / NAME).write_bytes(whole)
    assert read_manifest(tmp_path) == expected


def test_no_manifest_is_none(tmp_path):
    assert read_manifest(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"PAR1", b"something else entirely"])
def test_a_damaged_manifest_is_named(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(
        OutputError, match=r"manifest\.parquet' is damaged or no manifest; use another OUT, or remove it"
    ):
        read_manifest(tmp_path)


def test_the_manifest_of_another_program_is_refused(tmp_path):
    pq.write_table(pa.table({"source": ["a"]}), tmp_path / NAME)
    with pytest.raises(OutputError, match="is no manifest of nirgen; use another OUT"):
        read_manifest(tmp_path)


def test_another_schema_is_refused(tmp_path):
    pq.write_table(pa.table({"source": ["a"]}).replace_schema_metadata({"nirgen.schema": "9"}), tmp_path / NAME)
    with pytest.raises(OutputError, match="has schema 9, and this nirgen reads 1"):
        read_manifest(tmp_path)
