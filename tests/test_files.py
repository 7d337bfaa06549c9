from __future__ import annotations

import pytest

from nirgen.files import is_temporary, replacing, write_whole


def test_a_file_is_replaced_whole(tmp_path):
    write_whole(tmp_path / "a", b"old")
    write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_name_as_long_as_the_file_system_allows_can_be_written(tmp_path):
    write_whole(tmp_path / ("n" * 255), b"x")
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]


def test_what_fails_leaves_nothing(tmp_path):
    (tmp_path / "folder/inside").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_whole(tmp_path / "folder", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_writer_by_path_replaces_a_file_whole(tmp_path):
    (tmp_path / "a").write_text("old")
    with replacing(tmp_path / "a") as temporary:
        temporary.write_text("new")
        assert (tmp_path / "a").read_text() == "old"
        assert is_temporary(temporary.name)
    assert (tmp_path / "a").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_writer_by_path_that_fails_leaves_the_old_file(tmp_path):
    (tmp_path / "a").write_text("old")

    def write_half():
        with replacing(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
