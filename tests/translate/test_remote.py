"""Runs between URLs, with a real S3 server."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nirgen.errors import NirgenError, OutputError
from nirgen.translate.manifest import NAME
from nirgen.translate.plan import Item
from nirgen.translate.remote import UrlSink
from nirgen.translate.run import look_ahead, translate_folder
from nirgen.translate.url import Url

pytest.importorskip("s3fs", reason="the extra `remote` is not installed")


class Red:
    id, stride, header = "5" * 64, 8, {}

    def translate(self, rgb, sizes):
        return rgb[:, :1].float() / 255


# `nirgen translate` with the same translator, which waits at its sixth image for a file `go` in the working folder.
COMMAND = """
import itertools, os, sys, time, types

class Red:
    id, stride, header, count = "5" * 64, 8, {}, itertools.count(1)
    def translate(self, rgb, sizes):
        if next(self.count) == 6:
            open("waiting", "w").close()
            while not os.path.exists("go"):
                time.sleep(0.01)
        return rgb[:, :1].float() / 255

models = types.ModuleType("nirgen.model")
models.load_model = lambda name, **_: Red()
sys.modules["nirgen.model"] = models
from nirgen.translate import records
records._LINES_IN_PART = 2
from nirgen.cli import main
main()
"""


@pytest.fixture(scope="module")
def server():
    """The address of an S3 server, in a process of its own."""
    script = (
        "from moto.server import ThreadedMotoServer as S; import time\n"
        "s = S('127.0.0.1', 0, verbose=False); s.start(); print(*s.get_host_and_port(), flush=True); time.sleep(9999)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    host, port = process.stdout.readline().split()
    yield f"http://{host}:{port}"
    process.kill()
    process.communicate()


@pytest.fixture
def bucket(server, monkeypatch, tmp_path):
    """An empty bucket of the server."""
    for name, value in {
        "AWS_ENDPOINT_URL": server, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": str(tmp_path / "none"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    forget_connections()
    name = f"b{abs(hash(str(tmp_path))):x}"
    urllib.request.urlopen(urllib.request.Request(f"{server}/{name}", method="PUT")).close()
    yield Url(f"s3://{name}")
    forget_connections()


def forget_connections():
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def source(tmp_path, save):
    for number in range(12):
        save(tmp_path / f"src/{number % 3}/{number:02}.png", 24, 24 + number, seed=number)
    (tmp_path / "src/notes.txt").write_text("no image")
    return tmp_path / "src"


@pytest.fixture
def frames(bucket, source):
    """The same sources in the bucket."""
    for path in source.rglob("*"):
        if path.is_file():
            (bucket / "frames" / path.relative_to(source).as_posix()).write_bytes(path.read_bytes())
    return bucket / "frames"


@pytest.fixture
def undisturbed(tmp_path, source):
    translate_folder(source, tmp_path / "undisturbed", model=Red())
    out = tmp_path / "undisturbed"
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".nirgen" not in path.parts and path.name != "run.json"
    }


def snapshot(out):
    """All objects below, records that differ from run to run aside."""
    found = {}
    for entry in out.entries():
        if entry.is_folder and entry.name != ".nirgen":
            found |= {f"{entry.name}/{name}": data for name, data in snapshot(out / entry.name).items()}
        elif not entry.is_folder and entry.name != "run.json":
            found[entry.name] = (out / entry.name).read_bytes()
    return found


def parts(out):
    return [entry.name for entry in (out / ".nirgen/journal").entries()]


def test_a_run_between_urls_gives_the_bytes_of_a_run_between_folders(bucket, frames, undisturbed):
    summary = translate_folder(str(frames), f"{bucket}/nir/", model=Red())
    assert (summary.translated, summary.other_files, summary.stray, summary.out) == (12, 1, 0, f"{bucket}/nir")
    assert snapshot(bucket / "nir") == undisturbed
    assert parts(bucket / "nir") == []
    again = translate_folder(frames, bucket / "nir", model=Red())
    assert (again.translated, again.unchanged) == (0, 12)


def test_either_side_may_be_a_folder(tmp_path, bucket, frames, source, undisturbed):
    translate_folder(source, bucket / "nir", model=Red())
    assert snapshot(bucket / "nir") == undisturbed
    translate_folder(frames, tmp_path / "nir", model=Red())
    assert {name: (tmp_path / "nir" / name).read_bytes() for name in undisturbed} == undisturbed


def test_changed_sources_and_missing_outputs_are_translated_again(bucket, frames, source):
    translate_folder(frames, bucket / "nir", model=Red())
    (frames / "0/00.png").write_bytes((source / "1/01.png").read_bytes())
    (bucket / "nir/2/02.png").unlink()
    states = {item.source: state for item, state in look_ahead(frames, bucket / "nir", model=Red())[1]}
    assert {name: state for name, state in states.items() if state != "done"} == {
        "0/00.png": "changed", "2/02.png": "missing",
    }  # fmt: skip
    summary = translate_folder(frames, bucket / "nir", model=Red())
    assert (summary.translated, summary.changed, summary.unchanged) == (2, 1, 10)


def test_a_killed_run_is_taken_up_without_what_this_machine_had(tmp_path, bucket, frames, undisturbed):
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "translate", str(frames), f"{bucket}/nir", "--workers", "1"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    while not (tmp_path / "waiting").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert "00000000.jsonl" in parts(bucket / "nir")
    assert 1 < translate_folder(frames, bucket / "nir", model=Red()).unchanged < 6
    assert snapshot(bucket / "nir") == undisturbed


@pytest.fixture
def unsteady(server):
    """The server's address by way of one that answers every fifth request with 503."""
    count = 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            nonlocal count
            count += 1
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if count % 5 == 0:
                self.answer(503, {}, b"<Error><Code>SlowDown</Code><Message>slow down</Message></Error>")
                return
            request = urllib.request.Request(server + self.path, data=body or None, method=self.command)
            request.add_header("Content-Type", "application/octet-stream")  # or else urllib calls it a form
            for name, value in self.headers.items():
                request.add_header(name, value)
            try:
                with urllib.request.urlopen(request) as reply:
                    self.answer(reply.status, reply.headers, reply.read())
            except urllib.error.HTTPError as error:
                with error:
                    self.answer(error.code, error.headers, error.read())

        def answer(self, code, headers, body):
            self.send_response(code)
            for name, value in headers.items():
                if name.lower() not in {"content-length", "connection", "transfer-encoding", "date", "server"}:
                    self.send_header(name, value)
            length = headers.get("Content-Length", str(len(body))) if self.command == "HEAD" else str(len(body))
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_):
            pass

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = forward  # noqa: N815 - names of http.server

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{proxy.server_port}"
        proxy.shutdown()


def test_a_server_that_errs_now_and_then_changes_nothing(bucket, frames, undisturbed, unsteady, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", unsteady)
    forget_connections()
    assert translate_folder(frames, bucket / "nir", model=Red()).failed == 0
    assert snapshot(bucket / "nir") == undisturbed
    forget_connections()


def test_missing_buckets_are_one_line(bucket, source):
    with pytest.raises(NirgenError, match="'s3://no-such-bucket/frames' does not exist; check the names"):
        translate_folder("s3://no-such-bucket/frames", bucket / "nir", model=Red())
    with pytest.raises(OutputError, match=r"'s3://no-such-bucket/nir.*' can't be written: .*; check the bucket's name"):
        translate_folder(source, "s3://no-such-bucket/nir", model=Red())


def test_unknown_protocols_are_one_line(source):
    with pytest.raises(NirgenError, match="'ftp://host/nir' is a URL of a kind that isn't known"):
        translate_folder(source, "ftp://host/nir", model=Red())


def test_a_missing_extra_is_one_line(tmp_path, source):
    block = "import sys; sys.modules['fsspec'] = None; from nirgen.cli import main; main()"
    run = subprocess.run(
        [sys.executable, "-c", block, "translate", source, "s3://bucket/nir"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert run.stderr.startswith("error: 's3://bucket/nir' is a URL, and what reads it is not installed")
    assert run.stderr.endswith("pip install 'nirgen[remote]'\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["src"]


def test_folders_that_overlap_are_refused(frames):
    with pytest.raises(OutputError, match="lies inside SRC"):
        translate_folder(frames, frames / "nir", model=Red())
    with pytest.raises(OutputError, match="is SRC itself"):
        translate_folder(frames, f"{frames}/", model=Red())


def test_foreign_objects_are_not_overwritten(bucket, frames):
    (bucket / "nir/0/00.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"OUT 's3://.*/nir' has '0/00.png' that nirgen did not write"):
        translate_folder(frames, bucket / "nir", model=Red())
    assert snapshot(bucket / "nir") == {"0/00.png": b"mine"}


def test_a_list_names_objects_relative_to_a_url(tmp_path, bucket, frames):
    (tmp_path / "list.txt").write_text(f"1/01.png\n{frames}/2/02.png\n")
    assert translate_folder(frames, bucket / "nir", model=Red(), listing=tmp_path / "list.txt").translated == 2
    assert set(snapshot(bucket / "nir")) == {"1/01.png", "2/02.png", NAME}
    (tmp_path / "list.txt").write_text("../01.png\n")
    with pytest.raises(NirgenError, match=r"is not in 's3://.*frames'"):
        translate_folder(frames, bucket / "nir", model=Red(), listing=tmp_path / "list.txt")


def test_redo_translates_all_again(bucket, frames, undisturbed):
    from nirgen.translate.options import RunOptions

    translate_folder(frames, bucket / "nir", model=Red())
    assert translate_folder(frames, bucket / "nir", model=Red(), run=RunOptions(redo=True)).translated == 12
    assert snapshot(bucket / "nir") == undisturbed


def test_a_sink_goes_to_another_process_as_its_url(bucket):
    sink = pickle.loads(pickle.dumps(UrlSink(bucket / "nir")))
    sink.write(Item("a.jpg", bucket / "a.jpg", "a.png"), b"nir")
    assert (bucket / "nir/a.png").read_bytes() == b"nir"
    assert (sink.images, sink.bytes) == (1, 3)
