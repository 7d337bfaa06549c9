"""Reading and storing: what is tried again, and what is said."""

from __future__ import annotations

import errno
import os
import pickle
import sys
from pathlib import Path

import pytest

from nirgen.errors import FullError, ImageError, OutputError
from nirgen.files import is_temporary, may_pass, retrying
from nirgen.translate.items import Item
from nirgen.translate.stores import FolderSink, FolderSource


class Failing:
    """An action that fails with these errors, one after the other, and then gives `done`."""

    def __init__(self, *numbers):
        self.left = list(numbers)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.left:
            number = self.left.pop(0)
            raise OSError(number, os.strerror(number))
        return "done"


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.ECONNRESET])
def test_what_may_pass_is_tried_again(number):
    action = Failing(number, number)
    assert retrying(action, pauses_seconds=(0, 0, 0)) == "done"
    assert action.calls == 3


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.ENOSPC, errno.EROFS])
def test_what_will_not_pass_is_not(number):
    action = Failing(number)
    assert not may_pass(OSError(number, ""))
    with pytest.raises(OSError, match=os.strerror(number)):
        retrying(action)
    assert action.calls == 1


def test_the_last_error_is_raised_after_the_last_pause():
    action = Failing(errno.EIO, errno.EIO, errno.ESTALE, errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
        retrying(action, pauses_seconds=(0, 0))
    assert action.calls == 3


def test_without_patience_what_is_silent_is_given_up_and_what_is_busy_is_not():
    silent, busy = Failing(errno.ETIMEDOUT), Failing(errno.EBUSY)
    with pytest.raises(TimeoutError):
        retrying(silent, pauses_seconds=(0.001, 0), patience_seconds=0)
    assert retrying(busy, pauses_seconds=(0.001, 0), patience_seconds=0) == "done"
    assert (silent.calls, busy.calls) == (1, 2)


ITEM = Item("a/b.jpg", "a/b.png")


@pytest.fixture
def path(tmp_path):
    """The file of the item."""
    (tmp_path / "src/a").mkdir(parents=True)
    (tmp_path / "src/a/b.jpg").write_bytes(b"rgb")
    return tmp_path / "src/a/b.jpg"


def test_a_source_gives_the_whole_file(tmp_path, path):
    source = FolderSource(tmp_path / "src", 10**6)
    assert source.read(ITEM) == path.read_bytes() == b"rgb"
    assert [source.has(name) for name in ("a/b.jpg", "a/c.jpg")] == [True, False]


def test_a_pipe_is_not_waited_for(tmp_path, path):
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ImageError, match=r"'a/b\.jpg' is not a regular file; remove it"):
        FolderSource(tmp_path / "src", 10**6).read(ITEM)


def test_what_is_too_large_for_an_image_is_not_read(tmp_path, path):
    with path.open("r+b") as file:
        file.truncate(16 * 1000 + 256_000_001)  # a hole, which takes no space
    with pytest.raises(ImageError, match=r"'a/b\.jpg' is too large for an image \(256016001 bytes\); remove it"):
        FolderSource(tmp_path / "src", 1000).read(ITEM)


def test_a_sink_mirrors_the_tree_and_counts(tmp_path):
    sink = FolderSink(tmp_path / "out")
    sink.write(ITEM, b"nir")
    sink.write(Item("c.jpg", "c.png"), b"other")
    assert (tmp_path / "out/a/b.png").read_bytes() == b"nir"
    assert (sink.images, sink.stored_bytes, sink.count(), sink.is_empty()) == (2, 8, 2, False)
    assert [path for path in (tmp_path / "out").rglob("*") if is_temporary(path.name)] == []


def test_a_sink_knows_its_outputs_by_their_bytes(tmp_path):
    sink = FolderSink(tmp_path / "out")
    sink.write(ITEM, b"abc")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sink.holds("a/b.png", abc)
    assert not sink.holds("a/b.png", abc[::-1])
    assert not sink.holds("none.png", abc)


def test_a_sink_goes_to_another_process_and_counts_from_0_there(tmp_path):
    sink = FolderSink(tmp_path / "out")
    sink.write(ITEM, b"nir")
    sink.images, sink.stored_bytes = 7, 70
    other = pickle.loads(pickle.dumps(sink))
    assert (other.images, other.stored_bytes) == (0, 0)
    other.write(ITEM, b"again")
    assert ((tmp_path / "out/a/b.png").read_bytes(), sink.images, sink.stored_bytes) == (b"again", 7, 70)


def test_a_name_that_the_file_system_does_not_take_is_that_image_s_error(tmp_path):
    sink = FolderSink(tmp_path / "out")
    sink.write(ITEM, b"nir")
    for output in ("a", "a/b.png/c.png", f"{'x' * 300}.png"):
        with pytest.raises(ImageError, match=r"the output '.*' can't be named so: .*; rename"):
            sink.write(Item("x.jpg", output), b"nir")
    assert sink.images == 1


def test_a_folder_that_cannot_be_written_ends_the_run():
    with pytest.raises(OutputError, match=r"'/proc/none/a/b\.png' can't be written: .*; what is done stays") as error:
        FolderSink(Path("/proc/none")).write(ITEM, b"nir")
    assert not isinstance(error.value, FullError)


def test_a_full_disk_is_told_from_other_errors(on_a_small_disk):
    script = (
        "from pathlib import Path\n"
        "from nirgen.translate.items import Item\n"
        "from nirgen.translate.stores import FolderSink, FullError\n"
        "try: FolderSink(Path('out')).write(Item('a', 'a.png'), bytes(9_000_000))\n"
        "except FullError as error: print('full', error, [path.name for path in Path('out').iterdir()])\n"
    )
    done = on_a_small_disk(f'{sys.executable} -c "{script}"')
    said = "full 'out/a.png' can't be written: No space left on device; what is done stays, mend this and run again []"
    assert done.stdout.splitlines() == ["mounted", said], done.stderr
