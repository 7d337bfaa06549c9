"""Failures during a run: real processes, real signals, a real small disk."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import time

import pytest

from nirgen.errors import ImageError
from nirgen.translate.items import Item
from nirgen.translate.journal import read_journal
from nirgen.translate.manifest import read_manifest
from nirgen.translate.run import translate_folder
from nirgen.translate.stores import FolderSource


@pytest.fixture
def start(tmp_path, source, begin):
    """Begin to translate `src` to `out`, and wait until the sixth image is with the model."""
    return lambda: begin(source, tmp_path / "out")


def snapshot(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".nirgen" not in path.parts and path.name != "run.json"
    }


@pytest.fixture
def source(tmp_path, save):
    for number in range(30):
        save(tmp_path / f"src/{number % 3}/{number:02}.png", 64, 64 + number, seed=number)
    return tmp_path / "src"


@pytest.fixture
def undisturbed(tmp_path, source, red):
    translate_folder(source, tmp_path / "undisturbed", model=red)
    return snapshot(tmp_path / "undisturbed")


def test_ctrl_c_finishes_what_is_in_flight_and_journals_it(tmp_path, source, undisturbed, start, red):
    process = start()
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    assert process.poll() is None
    (tmp_path / "go").touch()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.splitlines()[-2:] == [
        "stopping: finishing what is in flight; press Ctrl-C again to stop at once",
        "interrupted: what is done stays; run the same command again to go on",
    ]
    assert len(list(read_journal(tmp_path / "out"))) == 6
    assert {row.output for row in read_journal(tmp_path / "out")} == set(snapshot(tmp_path / "out"))
    assert translate_folder(source, tmp_path / "out", model=red).unchanged == 6
    assert snapshot(tmp_path / "out") == undisturbed


def test_a_second_signal_stops_at_once(tmp_path, source, undisturbed, start, red):
    process = start()
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert 1 <= translate_folder(source, tmp_path / "out", model=red).unchanged <= 5
    assert snapshot(tmp_path / "out") == undisturbed


def test_what_a_killed_run_leaves_is_taken_up_and_cleared_away(tmp_path, source, undisturbed, start, red):
    process = start()
    (tmp_path / "go").touch()
    while len(list(read_journal(tmp_path / "out"))) < 8:
        time.sleep(0.001)
    process.kill()
    process.communicate()
    (tmp_path / "out/0/.nirgen-0123abcd.tmp").write_bytes(b"half an image")
    translate_folder(source, tmp_path / "out", model=red)
    assert snapshot(tmp_path / "out") == undisturbed
    assert sorted(path.name for path in (tmp_path / "out/.nirgen").iterdir()) == ["lock"]


def test_a_source_that_changes_while_the_run_goes_on_has_the_hash_of_what_was_translated(
    tmp_path, source, save, start, red
):
    process = start()
    save(source / "2/29.png", 64, 93, seed=99)
    (source / "0/27.png").unlink()
    (tmp_path / "go").touch()
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors.splitlines()[-1]) == (3, "1 of 30 failed; the manifest has every error")
    rows = {row.source: row for row in read_manifest(tmp_path / "out").rows}
    assert rows["0/27.png"].error == "'0/27.png' can't be read: No such file or directory; mend or remove it"
    summary = translate_folder(source, tmp_path / "out", model=red)
    assert (summary.unchanged, summary.dropped, summary.translated) == (29, 1, 0)
    translate_folder(source, tmp_path / "fresh", model=red)
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "fresh")


def test_a_folder_that_vanishes_while_it_is_walked_does_not_end_the_run(tmp_path, source, start):
    process = start()
    shutil.rmtree(source / "2")
    (tmp_path / "go").touch()
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert len(read_manifest(tmp_path / "out").rows) == 20


def test_a_full_disk_stops_with_what_is_needed_and_is_taken_up(tmp_path, save, on_a_small_disk, red, command):
    for number in range(30):
        save(tmp_path / f"src/{number:02}.png", 500, 500, seed=number)
    script = (
        f"touch go; {shlex.join(command)} {tmp_path}/src out --quiet; echo code $?; "
        "find out -name '*.tmp' | wc -l; ls out/*.png | wc -l; "
        f"rm $(ls -d out/*.png | head -n 5); cp -r out {tmp_path}/out"
    )
    done = on_a_small_disk(script)
    lines = done.stdout.splitlines()
    assert lines[:3] == ["mounted", "code 1", "0"]
    assert "No space left on device; what is done stays, mend this and run again (about " in done.stderr
    assert done.stderr.count("\n") == 1
    needed, left = float(done.stderr.split("(about ")[1].split(" MB")[0]), 30 - int(lines[3])
    assert needed == pytest.approx(left * 0.25, rel=0.35)
    translate_folder(tmp_path / "src", tmp_path / "out", model=red)
    translate_folder(tmp_path / "src", tmp_path / "fresh", model=red)
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "fresh")


class Flaky(FolderSource):
    """Fails at the first attempts at each file, as a network drive does."""

    def __init__(self, root, failures, number):
        super().__init__(root, 10**6)
        self.left = failures
        self.number = number

    def read_once(self, item):
        if self.left:
            self.left -= 1
            raise OSError(self.number, os.strerror(self.number))
        return super().read_once(item)


ITEM = Item("a.png", "a.png")


@pytest.fixture
def folder(tmp_path, save):
    save(tmp_path / "one/a.png")
    return tmp_path / "one"


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_a_read_that_errs_now_and_then_is_tried_again(folder, number):
    assert Flaky(folder, 2, number).read(ITEM) == (folder / "a.png").read_bytes()


def test_a_read_that_goes_on_erring_is_given_up(folder):
    source = Flaky(folder, 99, errno.EIO)
    with pytest.raises(ImageError, match=r"'a\.png' can't be read: Input/output error; mend or remove it"):
        source.read(ITEM)
    assert source.left == 95


def test_a_file_that_is_not_there_is_not_tried_again(folder):
    source = Flaky(folder, 99, errno.ENOENT)
    with pytest.raises(ImageError, match="No such file"):
        source.read(ITEM)
    assert source.left == 98


def test_a_run_leaves_no_thread_behind(tmp_path, source, red):
    """Threads that decode and encode end with the run, also with one that fails."""
    import threading

    before = set(threading.enumerate())
    translate_folder(source, tmp_path / "out", model=red)
    red.translate = None
    with pytest.raises(TypeError):
        translate_folder(source, tmp_path / "broken", model=red)
    assert {thread for thread in threading.enumerate() if thread.is_alive()} <= before
