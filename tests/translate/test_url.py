"""Places in stores, with a real S3 server and ones that err."""

from __future__ import annotations

import pickle
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nirgen.errors import NirgenError
from nirgen.files import may_pass
from nirgen.translate import url as urls
from nirgen.translate.url import Entry, Url, exists, lies_in, sha256_of, to_place, unreachable

pytest.importorskip("s3fs", reason="the extra `remote` is not installed")


@pytest.fixture
def hasty(monkeypatch):
    """No pauses between attempts, of which there are three."""
    monkeypatch.setattr(urls, "_PAUSES_SECONDS", (0, 0))


@pytest.fixture
def erring(proxy, connect, hasty):
    """A place in a store that answers each request with a status and a code; and what it was asked."""

    def make(status, code):
        proxy.answer = lambda _: (status, code)
        connect(proxy.address)
        return Url("s3://bucket/frames"), proxy.requests

    return make


def test_an_object_is_put_read_listed_and_removed(bucket):
    place = bucket / "a" / "b c.png"
    assert (place.name, place.parent, str(place)) == ("b c.png", bucket / "a", f"{bucket}/a/b c.png")
    assert (place.exists(), place.kind(), (bucket / "a").entries()) == (False, None, [])
    place.write_bytes(b"nir")
    assert (place.exists(), place.kind(), place.size(), place.read_bytes()) == (True, "object", 3, b"nir")
    assert ((bucket / "a").kind(), (bucket / "a").size()) == ("folder", None)
    assert bucket.entries() == [Entry("a", is_folder=True)]
    assert (bucket / "a").entries() == [Entry("b c.png", is_folder=False)]
    place.unlink()
    place.unlink()
    assert not exists(place)


def test_a_hash_is_that_of_the_bytes_and_nothing_has_none(bucket, tmp_path):
    (bucket / "a").write_bytes(b"abc")
    (tmp_path / "a").write_bytes(b"abc")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert [sha256_of(place) for place in (bucket / "a", tmp_path / "a", bucket / "b", tmp_path / "b")] == [
        abc, abc, None, None,
    ]  # fmt: skip


def test_a_text_is_a_path_or_a_url():
    assert to_place("s3://bucket/frames/") == Url("s3://bucket/frames")
    assert to_place("frames/a:b") == Path("frames/a:b")
    with pytest.raises(NirgenError, match=r"'s3:/bucket' was a URL before it was made a Path; give it as text"):
        to_place(Path("s3://bucket"))


def test_what_lies_in_a_url_begins_with_it_and_a_slash():
    assert lies_in(Url("s3://b/frames/a"), Url("s3://b/frames"))
    assert not lies_in(Url("s3://b/frames2"), Url("s3://b/frames"))
    assert not lies_in(Path("/b/frames"), Url("s3://b"))


def test_a_url_goes_to_another_process_as_its_text():
    assert pickle.loads(pickle.dumps(Url("s3://bucket/a"))) == Url("s3://bucket/a")


@pytest.mark.parametrize(
    ("status", "code", "requests"),
    [(500, "InternalError", 3), (503, "SlowDown", 3), (403, "AccessDenied", 1), (403, "InvalidAccessKeyId", 1)],
)
def test_attempts_do_not_multiply(erring, status, code, requests):
    place, asked = erring(status, code)
    with pytest.raises(OSError, match="no"):
        place.entries()
    assert len(asked) == requests


def test_a_silent_store_is_given_up_once_patience_is_at_its_end(proxy, connect, monkeypatch):
    monkeypatch.setattr(urls, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(urls, "_READ_SECONDS", 0.2)
    proxy.answer = lambda _: time.sleep(2)
    connect(proxy.address)
    with pytest.raises(OSError, match="Read timeout on endpoint URL") as error:
        Url("s3://bucket/frames").entries()
    assert may_pass(error.value)
    assert len(proxy.requests) == 1


def test_two_attempts_at_a_silent_store_take_half_a_minute_at_most():
    assert urls._READ_SECONDS < urls._PATIENCE_SECONDS < 2 * urls._READ_SECONDS <= 30
    assert urls._CONNECT_SECONDS + urls._PATIENCE_SECONDS <= 30
    assert sum(urls._PAUSES_SECONDS) < 60


def test_a_port_where_nobody_listens_is_one_line(connect, hasty):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        connect(f"http://127.0.0.1:{free.getsockname()[1]}")
        place = Url("s3://bucket/frames")
        with pytest.raises(OSError, match="Could not connect to the endpoint URL") as error:
            place.entries()
    line = str(unreachable(place, error.value))
    assert line.startswith("'s3://bucket/frames' can't be read: Could not connect")
    assert line.endswith("; check the name and the connection, and run again")


def test_missing_credentials_are_said(server, connect, monkeypatch):
    connect(server)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
    with pytest.raises(
        NirgenError, match="'s3://bucket/a' can't be read: Unable to locate credentials; check the cred"
    ):
        exists(Url("s3://bucket/a"))


def test_a_name_that_no_bucket_can_have_is_asked_for_once(proxy, connect):
    connect(proxy.address)
    with pytest.raises(OSError, match="Invalid bucket name") as error:
        Url("s3://no bucket/a").read_bytes()
    assert not may_pass(error.value)
    assert proxy.requests == []


def test_unknown_protocols_are_one_line():
    with pytest.raises(NirgenError, match="'ftp://host/nir' is a URL of an unknown kind"):
        Url("ftp://host/nir").exists()


def test_a_missing_extra_is_one_line(tmp_path, save):
    save(tmp_path / "src/a.png")
    block = "import sys; sys.modules['fsspec'] = None; from nirgen.cli import main; main()"
    run = subprocess.run(
        [sys.executable, "-c", block, "translate", "src", "s3://bucket/nir"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert run.stderr.startswith(
        "reading sources ...\nerror: 's3://bucket/nir' is a URL, and its reader is not installed"
    )
    assert run.stderr.endswith("pip install 'nirgen[remote]'\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["src"]
