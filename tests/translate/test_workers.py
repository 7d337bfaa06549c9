"""Worker processes: real ones, killed by real signals."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

from nirgen.devices import list_devices
from nirgen.errors import ConfigError, ModelError, NirgenError
from nirgen.translate.items import Item
from nirgen.translate.job import Job, ModelLoader, describe
from nirgen.translate.journal import read_journal
from nirgen.translate.manifest import read_manifest
from nirgen.translate.options import RunOptions, TranslateOptions, processors
from nirgen.translate.run import translate_folder
from nirgen.translate.stores import FolderSink, FolderSource
from nirgen.translate.summary import Stopwatch
from nirgen.translate.worker import Setup
from nirgen.translate.workers import Crew, WorkerError, Workers

# A model that a worker can import: it takes the red channel for NIR. A source whose first pixel is `poison` kills its
# worker, another one holds it up for ever; while there is a file `hold` in the working folder, every source waits, and
# `waiting` says so.
STUB = """
import os, signal, time
from dataclasses import dataclass
from pathlib import Path

class Red:
    stride, header = 8, {}
    def __init__(self, folder, model_id):
        self.folder, self.id = Path(folder), model_id
    def translate(self, rgb, sizes):
        if rgb[0, :, 0, 0].tolist() == [13, 13, 13]:
            os.kill(os.getpid(), signal.SIGKILL)
        while rgb[0, :, 0, 0].tolist() == [14, 14, 14]:
            time.sleep(1)
        while (self.folder / "hold").exists():
            (self.folder / f"waiting{os.getpid()}").touch()
            time.sleep(0.01)
        (self.folder / f"waiting{os.getpid()}").unlink(missing_ok=True)
        return rgb[:, :1].float() / 255

@dataclass
class Loader:
    folder: str
    kind: str = "red"
    def __call__(self, device):
        if self.kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "broken":
            raise ZeroDivisionError("a bug")
        return Red(self.folder, "5" * 64 if self.kind == "red" else "6" * 64)
"""

# `nirgen translate` by two workers with that model.
COMMAND = """
import signal, sys
sys.path.insert(0, sys.argv.pop(1))
import stub
from nirgen.translate import engines
engines.ModelLoader = lambda *_: stub.Loader(".")
signal.signal(signal.SIGINT, signal.default_int_handler)
from nirgen.cli import main
main()
"""

# The same from Python, with less patience for a worker that is silent.
IMPATIENT = """
import sys
sys.path.insert(0, sys.argv[1])
import stub
from nirgen.translate.run import translate_folder
from nirgen.translate.workers import Workers
workers = Workers(stub.Loader("."), ["cpu", "cpu"], silence=(3.0, 12.0))
print(translate_folder("src", "out", model=workers.describe(), engine=workers).translated)
"""


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """The module of the model, importable here and in the workers."""
    (tmp_path / "stub.py").write_text(STUB)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "stub", raising=False)
    import stub

    yield stub
    sys.modules.pop("stub")


@pytest.fixture
def source(tmp_path, save):
    for number in range(40):
        save(tmp_path / f"src/{number % 3}/{number:02}.png", 64, 64 + number, seed=number)
    return tmp_path / "src"


@pytest.fixture
def undisturbed(tmp_path, source, stub):
    translate_folder(source, tmp_path / "undisturbed", model=stub.Red(tmp_path, "5" * 64))
    return snapshot(tmp_path / "undisturbed")


def snapshot(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".nirgen" not in path.parts and path.name not in {"run.json", "preview.png"}
    }


def translate(tmp_path, loader, devices=("cpu", "cpu"), described=None, **options):
    workers = Workers(loader, devices)
    model = workers.describe() if described is None else described
    return translate_folder(tmp_path / "src", tmp_path / "out", model=model, engine=workers, **options)


def children(pid):
    """The ids of a process's children."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def start(tmp_path, source, stub, running):
    """Begin to translate `src` to `out` by two workers, and wait until both hold an image."""

    def begin(*options, code=COMMAND):
        (tmp_path / "hold").touch()
        words = (sys.executable, "-c", code, tmp_path, "translate", "src", "out", "--device", "cpu,cpu", *options)
        process = running(*words, cwd=tmp_path)
        process.until(lambda: len(list(tmp_path.glob("waiting*"))) == 2)
        return process

    return begin


def test_two_workers_give_the_bytes_of_one_process_and_their_times(tmp_path, stub, undisturbed):
    summary = translate(tmp_path, stub.Loader(str(tmp_path)))
    assert (summary.exit_code, summary.translated) == (0, 40)
    assert snapshot(tmp_path / "out") == undisturbed
    assert [stage.images for stage in summary.profile.stages] == [40] * 5
    assert json.loads((tmp_path / "out/run.json").read_text())["device"] == "cpu,cpu"


def test_two_workers_read_and_write_urls(tmp_path, stub, source, undisturbed, fill, bucket, objects):
    workers = Workers(stub.Loader(str(tmp_path)), ["cpu", "cpu"])
    frames, out = fill(source), bucket / "nir"
    summary = translate_folder(frames, out, model=workers.describe(), engine=workers)
    assert (summary.exit_code, summary.translated) == (0, 40)
    assert objects(out) == undisturbed


def test_what_is_done_starts_no_process(tmp_path, stub, undisturbed):
    translate(tmp_path, stub.Loader(str(tmp_path)))
    described = Workers(stub.Loader(str(tmp_path)), ["cpu"]).describe()
    assert translate(tmp_path, stub.Loader(str(tmp_path), "killed"), described=described).unchanged == 40


def test_the_embedded_model_gives_the_same_bytes_in_workers_of_as_many_threads(tmp_path, save):
    for number in range(3):
        save(tmp_path / f"src/{number}.png", 64, 64, seed=number)
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, processors() // 2))
    try:
        translate_folder(tmp_path / "src", tmp_path / "one", model="compact", device="cpu")
    finally:
        torch.set_num_threads(before)
    translate(tmp_path, ModelLoader("compact"))
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "one")


def test_a_worker_that_is_killed_loses_nothing(tmp_path, start, undisturbed):
    process = start()
    first, _ = children(process.pid)
    os.kill(first, signal.SIGKILL)
    (tmp_path / "hold").unlink()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert snapshot(tmp_path / "out") == undisturbed


def test_an_image_that_kills_its_worker_fails_alone_after_two_attempts(tmp_path, save, stub, source):
    from PIL import Image

    Image.new("RGB", (64, 64), (13, 13, 13)).save(source / "1/poison.png")
    summary = translate(tmp_path, stub.Loader(str(tmp_path)))
    assert (summary.exit_code, summary.translated, summary.failed) == (3, 40, 1)
    assert summary.failures == (
        (
            "1/poison.png",
            (
                "'1/poison.png': two workers ended with it; the second had nothing else to do and was killed by "
                "SIGKILL; perhaps memory does not suffice: use a smaller --size, or fewer devices"
            ),
        ),
    )
    (source / "1/poison.png").unlink()
    translate_folder(source, tmp_path / "fresh", model=stub.Red(tmp_path, "5" * 64))
    translate(tmp_path, stub.Loader(str(tmp_path)))
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "fresh")


def test_ctrl_c_finishes_what_is_in_flight_and_leaves_no_process(tmp_path, source, stub, undisturbed, start):
    process = start("--workers", "2")
    workers = children(process.pid)
    process.send_signal(signal.SIGINT)
    process.until_said("stopping: ")
    (tmp_path / "hold").unlink()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "interrupted: what is done stays; run the same command again to go on"
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    done = {row.output for row in read_journal(tmp_path / "out")}
    assert 2 <= len(done) < 40
    assert done == set(snapshot(tmp_path / "out"))
    assert translate(tmp_path, stub.Loader(str(tmp_path))).unchanged == len(done)
    assert snapshot(tmp_path / "out") == undisturbed


def test_a_worker_that_is_stopped_is_named_and_replaced(tmp_path, start, undisturbed):
    process = start(code=IMPATIENT)
    first, _ = children(process.pid)
    os.kill(first, signal.SIGSTOP)
    (tmp_path / "hold").unlink()
    out, errors = process.communicate(timeout=180)
    assert (process.returncode, out) == (0, "40\n"), errors
    for line in (
        f"the worker on cpu (process {first}) gives no sign of life for 3 s; after 12 s it is replaced",
        f"the worker on cpu (process {first}) gave no sign of life for 12 s, and is replaced",
    ):
        assert line in errors.splitlines()
    assert snapshot(tmp_path / "out") == undisturbed
    assert not Path(f"/proc/{first}").exists()


def test_a_parent_that_was_stopped_for_a_while_replaces_no_worker(tmp_path, start, undisturbed):
    process = start(code=IMPATIENT)
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(14)
    os.kill(process.pid, signal.SIGCONT)
    (tmp_path / "hold").unlink()
    out, errors = process.communicate(timeout=180)
    assert (process.returncode, out) == (0, "40\n"), errors
    assert "and is replaced" not in errors


@pytest.mark.parametrize("stops", [[0], [0, 1]], ids=["one", "both"])
def test_ctrl_c_ends_a_run_whose_workers_are_stopped(tmp_path, start, undisturbed, stub, stops):
    process = start("--workers", "2")
    workers = children(process.pid)
    for number in stops:
        os.kill(workers[number], signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    process.until_said("stopping: ")
    (tmp_path / "hold").unlink()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "interrupted: what is done stays; run the same command again to go on"
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    translate(tmp_path, stub.Loader(str(tmp_path)))
    assert snapshot(tmp_path / "out") == undisturbed


def test_a_killed_parent_takes_a_stopped_worker_with_it(start):
    process = start()
    workers = children(process.pid)
    os.kill(workers[0], signal.SIGSTOP)
    process.kill()
    process.communicate()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def test_an_image_over_the_time_limit_fails_alone(tmp_path, stub, source):
    """One that a model never ends with, and one of a hundred scans, which is decoded for seconds."""
    from PIL import Image

    Image.new("RGB", (64, 64), (14, 14, 14)).save(source / "1/held.png")
    file = io.BytesIO()
    Image.new("RGB", (6000, 6000), (90, 120, 30)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last, end = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    (source / "2/scans.jpg").write_bytes(data[:last] + data[last:end] * 89 + data[end:])
    summary = translate(tmp_path, stub.Loader(str(tmp_path)), run=RunOptions(workers=2, image_timeout=2))
    assert (summary.exit_code, summary.translated, summary.failed) == (3, 40, 2)
    assert dict(summary.failures) == {
        "1/held.png": "'1/held.png': translating it took over 2 s; raise --image-timeout if you trust the file",
        "2/scans.jpg": "'2/scans.jpg': decoding it took over 2 s; raise --image-timeout if you trust the file",
    }


def test_a_time_limit_needs_processes(tmp_path, source, red):
    with pytest.raises(ConfigError, match="image_timeout needs processes that can be ended; give an engine"):
        translate_folder(source, tmp_path / "out", model=red, run=RunOptions(image_timeout=1))


def test_ctrl_c_while_workers_load_the_model_ends_them(tmp_path, source, stub, running):
    words = (sys.executable, "-c", COMMAND, tmp_path, "translate", "src", "out", "--device", "cpu,cpu")
    process = running(*words, cwd=tmp_path)
    process.until(lambda: len(children(process.pid)) == 2)
    workers = children(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert snapshot(tmp_path / "out") == {}


def test_a_parent_that_is_killed_leaves_no_process_behind(tmp_path, source, stub, undisturbed, start):
    process = start()
    workers = children(process.pid)
    assert len(workers) == 2
    process.kill()
    process.communicate()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    (tmp_path / "hold").unlink()
    translate(tmp_path, stub.Loader(str(tmp_path)))
    assert snapshot(tmp_path / "out") == undisturbed


def test_a_worker_that_died_at_the_last_source_of_a_list_is_there_for_the_next_list(tmp_path, save, stub):
    from PIL import Image

    Image.new("RGB", (64, 64), (13, 13, 13)).save(tmp_path / "poison.png")
    save(tmp_path / "good.png", 64, 64)
    sink, loader = FolderSink(tmp_path / "out"), stub.Loader(str(tmp_path))
    job = Job(
        describe(loader, "cpu", "cpu"), FolderSource(tmp_path, 10_000), sink, TranslateOptions(), RunOptions(workers=1)
    )
    setup = Setup(loader, "cpu", 1, job)
    crew = Crew([setup])
    try:
        found = [
            [(row.source, row.status) for row in crew.rows([item], sink, Stopwatch())]
            for item in (Item(name, name) for name in ("poison.png", "good.png"))
        ]
    finally:
        crew.close()
    assert found == [[("poison.png", "failed")], [("good.png", "done")]]


def test_sigterm_to_all_processes_finishes_what_is_in_flight(tmp_path, start, stub, undisturbed):
    process = start("--workers", "2")
    for pid in [*children(process.pid), process.pid]:
        os.kill(pid, signal.SIGTERM)
    process.until_said("stopping: ")
    (tmp_path / "hold").unlink()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    done = {row.output for row in read_journal(tmp_path / "out")}
    assert 2 <= len(done) < 40
    assert done == set(snapshot(tmp_path / "out"))


def test_a_module_in_the_working_folder_stands_in_the_place_of_none(tmp_path, monkeypatch, stub, source):
    (tmp_path / "queue.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    assert translate(tmp_path, stub.Loader(str(tmp_path)), ["cpu"]).translated == 40


def test_a_worker_that_dies_before_it_has_done_anything_ends_the_run(tmp_path, stub, source):
    described = Workers(stub.Loader(str(tmp_path)), ["cpu"]).describe()
    with pytest.raises(NirgenError, match="worker on cpu was killed by SIGKILL while it loaded the model; perhaps mem"):
        translate(tmp_path, stub.Loader(str(tmp_path), "killed"), described=described)


def test_a_bug_in_a_worker_is_raised_with_its_traceback(tmp_path, stub, source):
    described = Workers(stub.Loader(str(tmp_path)), ["cpu"]).describe()
    with pytest.raises(WorkerError, match="ZeroDivisionError: a bug"):
        translate(tmp_path, stub.Loader(str(tmp_path), "broken"), described=described)


def test_a_model_that_changed_on_its_way_is_refused(tmp_path, stub, source):
    described = Workers(stub.Loader(str(tmp_path)), ["cpu"]).describe()
    with pytest.raises(ModelError, match="on cpu the model is 666666666666, in the run's records 555555555555"):
        translate(tmp_path, stub.Loader(str(tmp_path), "other"), described=described)


def test_a_bad_image_stops_all_workers_where_that_is_asked_for(tmp_path, stub, source):
    (source / "0/00.png").write_bytes(b"no image")
    with pytest.raises(NirgenError, match=r"'0/00\.png'"):
        translate(tmp_path, stub.Loader(str(tmp_path)), run=RunOptions(on_error="stop"))
    assert len(list(read_journal(tmp_path / "out"))) < 40


def test_a_full_disk_stops_all_workers_with_what_is_needed(tmp_path, stub, save, on_a_small_disk):
    for number in range(30):
        save(tmp_path / f"src/{number:02}.png", 500, 500, seed=number)
    (tmp_path / "command.py").write_text(COMMAND)
    done = on_a_small_disk(
        f"{sys.executable} {tmp_path}/command.py {tmp_path} translate {tmp_path}/src out --device cpu,cpu --quiet; "
        f"echo code $?; find out -name '*.tmp' | wc -l; rm $(ls -d out/*.png | head -n 5); cp -r out {tmp_path}/out"
    )
    assert done.stdout.splitlines()[1:3] == ["code 1", "0"]
    assert "No space left on device; what is done stays, mend this and run again (about " in done.stderr
    assert done.stderr.count("\n") == 1
    assert translate(tmp_path, stub.Loader(str(tmp_path))).translated >= 15
    assert len(read_manifest(tmp_path / "out").rows) == 30


@pytest.mark.parametrize(
    ("names", "devices"),
    [("cpu", ["cpu"]), ("cuda:0, cuda:1", ["cuda:0", "cuda:1"]), ("cpu,cpu", ["cpu", "cpu"])],
)
def test_devices_are_a_list_of_names(names, devices):
    assert list_devices(names) == devices


def test_an_empty_name_of_a_device_is_refused():
    with pytest.raises(ConfigError, match="device is 'cpu,'; give names with commas between"):
        list_devices("cpu,")


def test_the_loader_of_a_model_names_what_is_missing(tmp_path):
    with pytest.raises(ModelError, match=r"none\.safetensors"):
        ModelLoader(tmp_path / "none.safetensors")("cpu")
