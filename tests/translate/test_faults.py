"""Failures during a run: real processes, real signals, a real small disk."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import subprocess

import pytest

from nirgen.errors import ImageError, OutputError
from nirgen.translate.engines import LocalEngine
from nirgen.translate.items import Item
from nirgen.translate.journal import read_journal
from nirgen.translate.manifest import read_manifest
from nirgen.translate.options import RunOptions, TranslateOptions
from nirgen.translate.run import Request, execute, translate_folder
from nirgen.translate.stores import FolderSource


@pytest.fixture
def start(tmp_path, source, begin):
    """Begin to translate `src` to `out`, and wait until the sixth image is with the model."""
    return lambda: begin(source, tmp_path / "out")


def snapshot(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".nirgen" not in path.parts and path.name not in {"run.json", "preview.png"}
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
    process.until_said("stopping: ")
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
    process.send_signal(signal.SIGTERM)
    process.until_said("stopping: ")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert 1 <= translate_folder(source, tmp_path / "out", model=red).unchanged <= 5
    assert snapshot(tmp_path / "out") == undisturbed


def test_what_a_killed_run_leaves_is_taken_up_and_cleared_away(tmp_path, source, undisturbed, start, red):
    process = start()
    (tmp_path / "go").touch()
    process.until(lambda: len(list(read_journal(tmp_path / "out"))) >= 8)
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
    assert process.returncode == 3
    assert "1 of 30 failed; the manifest has every error" in errors.splitlines()
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

    def read_once(self, item, hold=lambda _: None):
        if self.left:
            self.left -= 1
            raise OSError(self.number, os.strerror(self.number))
        return super().read_once(item, hold)


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


def remove_records(out):
    shutil.rmtree(out / ".nirgen")


def remove_journal(out):
    (out / ".nirgen/journal.jsonl").unlink()


def cut_journal(out):
    os.truncate(out / ".nirgen/journal.jsonl", 40)


def replace_lock(out):
    (out / ".nirgen/lock").unlink()
    (out / ".nirgen/lock").touch()


def remove_outputs(out):
    for path in list(out.glob("*/*.png"))[:3]:
        path.unlink()


def remove_out(out):
    shutil.rmtree(out)


def swap_out(out):
    out.rename(out.with_name("moved"))
    (out.parent / "precious").mkdir()
    out.symlink_to(out.parent / "precious")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (remove_records, r".nirgen' was removed or changed while the run was writing it, so rows may be lost; run ag"),
        (remove_journal, r"journal.jsonl' was removed or changed while the run was writing it, so rows may be lost"),
        (cut_journal, r"journal.jsonl' was removed or changed while the run was writing it, so rows may be lost; ru"),
        (replace_lock, r".nirgen/lock' was removed or changed while the run was writing it, so rows may be lost; ru"),
        (remove_outputs, r"lost 3 outputs while the run was writing it, such as '"),
        (remove_out, r"/out' was removed or replaced while the run was writing it; nothing was written to what is"),
        (swap_out, r"/out' was removed or replaced while the run was writing it; nothing was written to what is the"),
    ],
)
def test_what_others_do_to_out_in_mid_run_ends_it_with_one_line_and_a_rerun_mends_it(
    tmp_path, source, undisturbed, start, red, damage, says
):
    process, out = start(), tmp_path / "out"
    damage(out)
    (tmp_path / "go").touch()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert errors.splitlines()[-1].startswith("error: ")
    assert says in errors.splitlines()[-1]
    if damage is swap_out:
        assert list((tmp_path / "precious").iterdir()) == []
        out.unlink()
    assert translate_folder(source, out, model=red).exit_code == 0
    assert snapshot(out) == undisturbed
    assert sorted(path.name for path in (out / ".nirgen").iterdir()) == ["lock"]


def test_a_link_in_out_that_leads_elsewhere_is_not_followed(tmp_path, source, red):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/1").symlink_to(tmp_path / "elsewhere")
    summary = translate_folder(source, tmp_path / "out", model=red)
    assert (summary.translated, summary.failed) == (20, 10)
    assert summary.failures[0][1] == (
        "the output '1/01.png' is not written: '1' on its way is a link, which may lead out of OUT; remove the link or "
        "use another OUT"
    )
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (tmp_path / "out/1").unlink()
    assert translate_folder(source, tmp_path / "out", model=red).translated == 10


@pytest.mark.parametrize("name", ["manifest.parquet", "run.json", "0/00.png", ".nirgen/journal.jsonl"])
def test_a_pipe_in_out_stops_nothing_for_ever(tmp_path, source, command, red, name):
    translate_folder(source, tmp_path / "out", model=red)
    (tmp_path / "out" / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / "out" / name)
    done = subprocess.run(
        [*command, str(source), str(tmp_path / "out"), "--quiet"], capture_output=True, text=True, cwd=tmp_path,
        timeout=120, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    refused = name in {"manifest.parquet", ".nirgen/journal.jsonl"}
    assert done.returncode == refused, done.stderr
    assert done.stderr.count("\n") == refused


def test_ctrl_c_ends_a_run_that_does_not_finish(tmp_path, start):
    """The model waits for ever: what is in flight is given up."""
    process = start()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "interrupted: what is done stays; run the same command again to go on"


def test_an_output_that_goes_while_the_preview_is_drawn_is_missed(tmp_path, source, undisturbed, red):
    request = Request(
        source, tmp_path / "out", LocalEngine(None, None), red, TranslateOptions(), RunOptions(), None, None
    )
    victim = next(iter(sorted(name for name in undisturbed if name.endswith(".png"))))
    with pytest.raises(OutputError, match="removed while the run was at work: 29 of 30 are there; run again"):
        execute(request, last=(tmp_path / "out" / victim).unlink)
    assert execute(request).translated == 1
    assert snapshot(tmp_path / "out") == undisturbed
