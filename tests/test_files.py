from __future__ import annotations

import fcntl
import json
import os
import socket
import stat
import tempfile
import threading
from pathlib import Path

import pytest

from nirgen.errors import NirgenError, OutputError
from nirgen.files import (
    check_regular,
    is_temporary,
    locked,
    name_outputs,
    output_file,
    read_bytes,
    read_json,
    replacing,
    safe_path,
    seal,
    sha256_of,
    unseal,
    write_whole,
)


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder", "link to a pipe", "nothing"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path, kind):
    path = tmp_path / "a"
    if "pipe" in kind:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    message = {"folder": "Is a directory", "nothing": "No such file"}.get(kind, "not a regular file")
    for read in (read_bytes, read_json, sha256_of, check_regular):
        with pytest.raises(OSError, match=message):
            read(path)


def test_json_that_is_nested_too_deeply_is_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[" * 100 + "]" * 100)
    assert json.dumps(read_json(path)) == path.read_text()
    for text in ("[" * 101 + "]" * 101, '{"a":' * 100_000 + "1" + "}" * 100_000):
        path.write_text(text)
        with pytest.raises(ValueError, match="nested more than 100 deep"):
            read_json(path)


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


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_file_has_the_permissions_of_a_new_one_whatever_its_writer_gave_it(tmp_path, umask):
    before = os.umask(umask)
    try:
        with output_file(tmp_path / "new/a") as temporary, tempfile.NamedTemporaryFile(dir=tmp_path) as private:
            Path(private.name).write_text("x")
            Path(private.name).rename(temporary)
            Path(private.name).touch()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new/a").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("file/a", r"file: can't be made a folder \(not a folder\); name another place"),
        ("file/folder/a", r"file/folder: can't be made a folder \(not a folder\); name another place"),
        ("folder", "folder: a folder; name a file"),
        ("n" * 256, r"nnn: can't be written \(File name too long\); name another place"),
    ],
)
def test_a_place_that_can_not_be_written_is_one_line(tmp_path, name, message):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=message), output_file(tmp_path / name) as temporary:
        temporary.write_text("x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_lock_keeps_others_out_until_it_is_let_go(tmp_path):
    first, second = (locked(tmp_path / "lock", busy="somebody is at work") for _ in range(2))
    with first, pytest.raises(OutputError, match="somebody is at work"):
        second.__enter__()
    with locked(tmp_path / "lock", busy="somebody is at work"):
        pass


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    flock = fcntl.flock

    def remove_first(file, operation):
        monkeypatch.setattr(fcntl, "flock", flock)
        flock(file, operation)
        (tmp_path / "lock").unlink()

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with locked(tmp_path / "lock", busy="busy"):
        assert (tmp_path / "lock").exists()
        with pytest.raises(OutputError, match="busy"), locked(tmp_path / "lock", busy="busy"):
            pass


def test_a_lock_in_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(OutputError, match=r"gone: can't be written \(No such file or directory\); name another"):
        locked(tmp_path / "gone/lock", busy="busy").__enter__()


@pytest.mark.parametrize(
    ("name", "shortest"),
    [
        ("a.jpg", "a.jpg"),
        ("./a//b/./c.jpg", "a/b/c.jpg"),
        ("a..b/..c.jpg", "a..b/..c.jpg"),
        ("a:b.png", "a:b.png"),
        ("é 夜.png", "é 夜.png"),
    ],
)
def test_a_path_below_its_folder_passes(name: str, shortest: str) -> None:
    assert safe_path(name, "l.json") == shortest


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "is empty"),
        (".", "is empty"),
        ("/etc/passwd", "is absolute"),
        ("C:/a.jpg", "is absolute"),
        ("c:", "is absolute"),
        ("a\\b.jpg", "has a backslash"),
        ("\\\\host\\a.jpg", "has a backslash"),
        ("..", "has '..'"),
        ("a/../../b.jpg", "has '..'"),
        ("a\0.jpg", "has a control character"),
        ("a\n.jpg", "has a control character"),
        ("a\x85.jpg", "has a control character or a line separator"),
        ("a\u2028.jpg", "has a control character or a line separator"),
        ("a\udce9.jpg", "has bytes that are no UTF-8"),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(name: str, fault: str) -> None:
    with pytest.raises(NirgenError) as error:
        safe_path(name, "l.json: image 3")
    assert str(error.value).startswith(f"l.json: image 3: the name {name!r} {fault}")
    assert "\n" not in str(error.value)


def test_names_that_differ_in_their_endings_keep_them():
    assert name_outputs(["x.jpg", "x.png", "y.jpg"], ".png") == ["x.jpg.png", "x.png.png", "y.png"]


def test_names_are_kept_apart_for_disks_that_ignore_case():
    assert name_outputs(["X.jpg", "x.png"], ".png") == ["X.jpg.png", "x.png.png"]


def test_names_are_kept_apart_for_disks_that_compose_unicode():
    assert name_outputs(["\u00e9.jpg", "e\u0301.png"], ".png") == ["\u00e9.jpg.png", "e\u0301.png.png"]


def test_a_kept_ending_does_not_collide_with_a_double_ending():
    sources = ["x.jpg", "x.jpg.png", "x.png"]
    assert name_outputs(sources, ".png") == ["x.jpg.png", "x.jpg.png.png", "x.png.png"]


def test_an_output_does_not_take_the_name_of_a_folder():
    assert name_outputs(["a.jpg", "a.png/b.jpg"], ".png") == ["a.jpg.png", "a.png/b.png"]


def test_no_two_outputs_are_ever_equal():
    stems = ["x", "X", "x.jpg", "x.png", "x.png.png", "x.jpg.jpg"]
    sources = [stem + ending for stem in stems for ending in (".jpg", ".png", ".tif", ".PNG")]
    sources = [f"{folder}{source}" for folder in ("", "f/") for source in sources]
    for suffix in (".png", ".jpg", ".tif"):
        outputs = name_outputs(sources, suffix)
        assert len(set(outputs)) == len(sources) > 40


def test_adding_an_unrelated_source_renames_nothing():
    before = name_outputs(["a.jpg", "b.jpg", "b.png"], ".png")
    assert name_outputs(["a.jpg", "b.jpg", "b.png", "c.jpg"], ".png")[:3] == before


def test_changed_values_no_longer_fit_their_seal() -> None:
    values = {"step": 200, "share": 0.1, "names": ("a", "é"), "of": {2: None, 10: True}}
    sealed = json.loads(json.dumps(seal(values)))
    assert unseal(sealed) == {"step": 200, "share": 0.1, "names": ["a", "é"], "of": {"2": None, "10": True}}
    for change in ({"step": 201}, {"share": 0.10000001}, {"names": ["a", "e"]}, {"more": 1}, {"sha256": "0" * 64}):
        with pytest.raises(ValueError, match="its checksum is wrong"):
            unseal(sealed | change)
    assert unseal({"step": 1}) == {"step": 1}  # of an older version
    with pytest.raises(ValueError, match="holds a list instead of names and values"):
        unseal([1])


def test_a_lock_can_be_waited_for_and_tells_when_it_is_lost(tmp_path: Path) -> None:
    path, said = tmp_path / "lock", list[str]()
    with locked(path, busy="") as held:
        timer = threading.Timer(0.3, path.unlink)  # as if the holder had let it go
        timer.start()
        with locked(path, busy="", waiting=lambda: said.append("waiting")) as other:
            assert (held(), other()) == (False, True)
        timer.join()
    assert said == ["waiting"]
