from __future__ import annotations

import pytest

from nirgen.errors import OutputError
from nirgen.translate.journal import Journal, journal_path, read_journal
from nirgen.translate.manifest import Row

ROWS = [Row(name, "m", "o", "done", output=name) for name in ("a", "b\n", "\u00e9")]


def write(out, rows):
    with Journal(out) as journal:
        for row in rows:
            journal.append(row)


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
            journal.append(row)
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


def test_another_schema_is_refused(tmp_path):
    write(tmp_path, ROWS)
    path = journal_path(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'{"schema": 1}', b'{"schema": 9}'))
    with pytest.raises(OutputError, match="has schema 9, and this nirgen reads 1"):
        read_journal(tmp_path)


def test_a_second_run_is_kept_out(tmp_path):
    with Journal(tmp_path), pytest.raises(OutputError, match=r"another run is writing .*; wait for it to end"):
        Journal(tmp_path)
    with Journal(tmp_path):
        pass


def test_clearing_removes_all_rows(tmp_path):
    with Journal(tmp_path) as journal:
        journal.append(ROWS[0])
        journal.clear()
        assert read_journal(tmp_path) == []
        journal.append(ROWS[1])
    assert read_journal(tmp_path) == [ROWS[1]]
