from __future__ import annotations

import os
import random
import re

import pytest

from nirgen.errors import OutputError
from nirgen.translate import journal
from nirgen.translate.items import Item, Row
from nirgen.translate.journal import Journal, journal_path, merge_rows

ROWS = [Row(name, "m", "o", "done", output=name) for name in ("a", "b\n", "\u00e9")]


def read_journal(out):
    return list(journal.read_journal(out))


def write(out, rows):
    with Journal(out) as journal:
        for row in rows:
            journal.write_row(row)


def test_rows_come_back(tmp_path):
    write(tmp_path, ROWS)
    assert read_journal(tmp_path) == ROWS


def test_a_second_opening_appends(tmp_path):
    write(tmp_path, ROWS[:1])
    write(tmp_path, ROWS[1:])
    assert read_journal(tmp_path) == ROWS


def test_a_line_is_on_disk_before_the_next_is_written(tmp_path):
    with Journal(tmp_path) as journal:
        for count, row in enumerate(ROWS, start=1):
            journal.write_row(row)
            assert read_journal(tmp_path) == ROWS[:count]


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_torn_last_line_is_as_if_it_were_not_there(tmp_path, cut):
    write(tmp_path, ROWS)
    path = journal_path(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    assert read_journal(tmp_path) == ROWS[:2]
    write(tmp_path, ROWS[2:])
    assert read_journal(tmp_path) == ROWS


def test_a_journal_torn_in_its_first_line_begins_anew(tmp_path):
    write(tmp_path, [])
    journal_path(tmp_path).write_bytes(b'{"sch')
    write(tmp_path, ROWS)
    assert read_journal(tmp_path) == ROWS


def test_damaged_lines_are_as_if_they_were_not_there(tmp_path):
    write(tmp_path, ROWS[:1])
    with journal_path(tmp_path).open("ab") as file:
        file.write(b"\0\0\0\n[1]\n{}\n\xff\n")
    write(tmp_path, ROWS[1:])
    assert read_journal(tmp_path) == ROWS


def test_a_flipped_bit_is_as_if_its_line_were_not_there(tmp_path):
    write(tmp_path, ROWS)
    path = journal_path(tmp_path)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    end = whole.index(b"\n", first)
    for position in range(first, end):
        damaged = bytearray(whole)
        damaged[position] ^= 1 + (damaged[position] == ord(b"\x0b"))
        path.write_bytes(damaged)
        assert read_journal(tmp_path) == ROWS[1:], bytes(damaged)


def test_lines_of_older_versions_have_no_checksum(tmp_path):
    write(tmp_path, ROWS)
    path = journal_path(tmp_path)
    path.write_bytes(re.sub(rb', "crc32": "[0-9a-f]{8}"', b"", path.read_bytes()))
    assert b"crc" not in path.read_bytes()
    assert read_journal(tmp_path) == ROWS


@pytest.mark.parametrize("value", ["1", "null", '{"source": 3}', '{"source": [], "model_id": {}}', "[" * 100_000])
def test_lines_of_other_values_are_as_if_they_were_not_there(tmp_path, value):
    write(tmp_path, ROWS)
    with journal_path(tmp_path).open("a") as file:
        file.write(f"{value}\n")
    assert read_journal(tmp_path) == ROWS


def test_a_link_in_place_of_the_journal_is_not_followed(tmp_path):
    (tmp_path / "out/.nirgen").mkdir(parents=True)
    (tmp_path / "precious").write_bytes(b"no newline at the end")
    journal_path(tmp_path / "out").symlink_to(tmp_path / "precious")
    with Journal(tmp_path / "out") as journal, pytest.raises(OutputError, match="can't be written: Too many levels"):
        journal.write_row(ROWS[0])
    assert (tmp_path / "precious").read_bytes() == b"no newline at the end"


@pytest.mark.parametrize("name", ["", "/lock"])
def test_a_link_in_place_of_its_folder_or_the_lock_is_refused(tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/.nirgen").mkdir(parents=True)
    if not name:
        (tmp_path / "out/.nirgen").rmdir()
    (tmp_path / f"out/.nirgen{name}").symlink_to(tmp_path / "elsewhere" / name.strip("/"))
    with pytest.raises(OutputError, match="is a link, which may lead out of OUT; remove it"):
        Journal(tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_pipe_in_place_of_the_journal_is_refused(tmp_path):
    journal_path(tmp_path).parent.mkdir()
    os.mkfifo(journal_path(tmp_path))
    with pytest.raises(OutputError, match="not a regular file; remove it"):
        read_journal(tmp_path)


def test_another_schema_is_refused(tmp_path):
    write(tmp_path, ROWS)
    path = journal_path(tmp_path)
    path.write_bytes(path.read_bytes().replace(path.read_bytes().splitlines()[0], b'{"schema": 9}'))
    with pytest.raises(OutputError, match="has schema 9, and this nirgen reads 1"):
        read_journal(tmp_path)


def test_a_second_run_is_kept_out(tmp_path):
    with Journal(tmp_path), pytest.raises(OutputError, match=r"another run is writing .*; wait for it to end"):
        Journal(tmp_path)
    with Journal(tmp_path):
        pass


def test_clearing_removes_all_rows(tmp_path):
    with Journal(tmp_path) as journal:
        journal.write_row(ROWS[0])
        journal.clear()
        assert read_journal(tmp_path) == []
        journal.write_row(ROWS[1])
    assert read_journal(tmp_path) == [ROWS[1]]


def row(source, output=None):
    return Row(source, "m", "o", "done", output=output)


@pytest.mark.parametrize("chunk", [1, 3, 7, 1000])
def test_rows_are_sorted_and_the_last_of_a_source_counts_whatever_fits_into_memory(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(journal, "_CHUNK_ROWS", chunk)
    old = [row(f"{name:02}", "old") for name in range(20)]
    random.Random(0).shuffle(old)
    rows = list(merge_rows([], old + [row(f"{name:02}", "new") for name in range(0, 20, 3)], tmp_path))
    assert rows == [row(f"{name:02}", "old" if name % 3 else "new") for name in range(20)]
    assert list(tmp_path.iterdir()) == []


def test_of_a_row_of_the_manifest_and_one_of_the_journal_the_journal_s_counts(tmp_path):
    older = [row("a", "1"), row("b", "1"), row("d", "1")]
    newer = [row("c", "2"), row("b", "2")]
    assert list(merge_rows(older, newer, tmp_path)) == [row("a", "1"), row("b", "2"), row("c", "2"), row("d", "1")]


def test_items_and_rows_stand_side_by_side():
    items = [Item(name, name) for name in ("a", "b", "d")]
    pairs = [
        (item and item.source, row and row.source) for item, row in journal.outer_join(items, [row("b"), row("c")])
    ]
    assert pairs == [("a", None), ("b", "b"), (None, "c"), ("d", None)]
