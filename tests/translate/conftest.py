"""Fixtures of translation: the command as a process that can be disturbed, and an S3 server."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nirgen.translate.url import Url

# `nirgen translate` with the translator of the fixture `red`, which waits at its sixth image for a file `go` in the
# working folder, and with an object for every two lines of a journal.
COMMAND = """
import itertools, os, signal, sys, time

class Red:
    id, stride, count = b"red".hex().ljust(64, "0"), 8, itertools.count(1)
    header = {"architecture": {"name": "red", "gain": 1.0}}
    def translate(self, rgb, sizes):
        if next(self.count) == 6:
            open("waiting", "w").close()
            while not os.path.exists("go"):
                time.sleep(0.01)
        return rgb[:, :1].float() / 255

from nirgen.translate import engines
engines.LocalEngine.describe = lambda self: Red()
signal.signal(signal.SIGINT, signal.default_int_handler)
from nirgen.translate import records
records._LINES_IN_PART = 2
from nirgen.cli import main
main()
"""


@pytest.fixture
def command(tmp_path):
    """The words of the command, without its arguments."""
    (tmp_path / "command.py").write_text(COMMAND)
    return [sys.executable, str(tmp_path / "command.py"), "translate"]


@pytest.fixture
def begin(tmp_path, command, running):
    """Begin to translate, and wait until the sixth image is with the model."""

    def start(source, out):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
        process = running(*command, source, out, "--workers", "1", cwd=tmp_path, env=environment)
        process.until((tmp_path / "waiting").exists)
        return process

    return start


@pytest.fixture(scope="session")
def server():
    """The address of an S3 server, in a process of its own."""
    pytest.importorskip("s3fs", reason="the extra `remote` is not installed")
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
def connect(monkeypatch, tmp_path):
    """Make an address the one where `s3://` leads."""

    def to(address):
        for name, value in {
            "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": str(tmp_path / "none"),
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        forget_connections()

    yield to
    forget_connections()


def forget_connections():
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(server, connect, tmp_path):
    """An empty bucket of the server."""
    connect(server)
    name = f"b{abs(hash(str(tmp_path))):x}"
    urllib.request.urlopen(urllib.request.Request(f"{server}/{name}", method="PUT")).close()
    return Url(f"s3://{name}")


@pytest.fixture
def objects():
    """All objects below a URL, records that differ from run to run aside."""

    def read(folder):
        found = {}
        for entry in folder.entries():
            if entry.is_folder and entry.name != ".nirgen":
                found |= {f"{entry.name}/{name}": data for name, data in read(folder / entry.name).items()}
            elif not entry.is_folder and entry.name != "run.json":
                found[entry.name] = (folder / entry.name).read_bytes()
        return found

    return read


@pytest.fixture
def fill(bucket):
    """Put the files of a folder into the bucket, as `frames`."""

    def put(folder):
        for path in folder.rglob("*"):
            if path.is_file():
                (bucket / "frames" / path.relative_to(folder).as_posix()).write_bytes(path.read_bytes())
        return bucket / "frames"

    return put


class Proxy:
    """A server before the server.

    Attributes:
        address: Where it is.
        requests: What it was asked, as METHOD PATH.
        answer: Of a request, the status and the text to answer with; None: what the server answers.
    """

    def __init__(self, server):
        self.server, self.requests, self.address = server, [], ""
        self.answer = lambda request: None

    def handle(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        self.requests.append(f"{handler.command} {handler.path}")
        wrong = self.answer(self.requests[-1])
        if wrong is not None:
            self.send(handler, wrong[0], {}, f"<Error><Code>{wrong[1]}</Code><Message>no</Message></Error>".encode())
            return
        request = urllib.request.Request(self.server + handler.path, data=body or None, method=handler.command)
        request.add_header("Content-Type", "application/octet-stream")  # or else urllib calls it a form
        for name, value in handler.headers.items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request) as reply:
                self.send(handler, reply.status, reply.headers, reply.read())
        except urllib.error.HTTPError as error:
            with error:
                self.send(handler, error.code, error.headers, error.read())

    @staticmethod
    def send(handler, code, headers, body):
        handler.send_response(code)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "connection", "transfer-encoding", "date", "server"}:
                handler.send_header(name, value)
        length = headers.get("Content-Length", str(len(body))) if handler.command == "HEAD" else str(len(body))
        handler.send_header("Content-Length", length)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)


@pytest.fixture
def proxy(server):
    """A server before the S3 server, which can be told to err."""
    proxy = Proxy(server)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            proxy.handle(self)

        def log_message(self, *_):
            pass

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = forward  # noqa: N815 - names of http.server

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        proxy.address = f"http://127.0.0.1:{http.server_port}"
        yield proxy
        http.shutdown()
