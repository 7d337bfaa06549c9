"""Runs between URLs, with a real S3 server."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import urllib.request

import pytest

from nirgen.errors import NirgenError, OutputError
from nirgen.translate import url as urls
from nirgen.translate.engines import LocalEngine
from nirgen.translate.items import Item
from nirgen.translate.manifest import NAME, read_manifest
from nirgen.translate.options import RunOptions, Shard
from nirgen.translate.run import Request, look_ahead, translate_folder
from nirgen.translate.stores import UrlSink

pytest.importorskip("s3fs", reason="the extra `remote` is not installed")


@pytest.fixture
def source(tmp_path, save):
    for number in range(12):
        save(tmp_path / f"src/{number % 3}/{number:02}.png", 24, 24 + number, seed=number)
    (tmp_path / "src/notes.txt").write_text("no image")
    return tmp_path / "src"


@pytest.fixture
def frames(source, fill):
    """The same sources in the bucket."""
    return fill(source)


@pytest.fixture
def undisturbed(tmp_path, source, red):
    translate_folder(source, tmp_path / "undisturbed", model=red)
    out = tmp_path / "undisturbed"
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".nirgen" not in path.parts and path.name != "run.json"
    }


def parts(out):
    return [entry.name for entry in (out / ".nirgen/journal").entries()]


def test_a_run_between_urls_gives_the_bytes_of_a_run_between_folders(bucket, frames, undisturbed, red, objects):
    summary = translate_folder(str(frames), f"{bucket}/nir/", model=red)
    assert (summary.translated, summary.other_files, summary.stray, summary.out) == (12, 1, 0, f"{bucket}/nir")
    assert objects(bucket / "nir") == undisturbed
    assert parts(bucket / "nir") == []
    again = translate_folder(frames, bucket / "nir", model=red)
    assert (again.translated, again.unchanged) == (0, 12)


def test_either_side_may_be_a_folder(tmp_path, bucket, frames, source, undisturbed, red, objects):
    translate_folder(source, bucket / "nir", model=red)
    assert objects(bucket / "nir") == undisturbed
    translate_folder(frames, tmp_path / "nir", model=red)
    assert {name: (tmp_path / "nir" / name).read_bytes() for name in undisturbed} == undisturbed


def test_changed_sources_and_missing_outputs_are_translated_again(bucket, frames, source, red):
    translate_folder(frames, bucket / "nir", model=red)
    (frames / "0/00.png").write_bytes((source / "1/01.png").read_bytes())
    (bucket / "nir/2/02.png").unlink()
    states = {item.source: state for item, state in look_ahead(Request(frames, bucket / "nir", LocalEngine(None), red))}
    assert {name: state for name, state in states.items() if state != "done"} == {
        "0/00.png": "changed", "2/02.png": "missing",
    }  # fmt: skip
    summary = translate_folder(frames, bucket / "nir", model=red)
    assert (summary.translated, summary.changed, summary.unchanged) == (2, 1, 10)


def test_a_killed_run_is_taken_up_without_what_this_machine_had(bucket, frames, undisturbed, red, begin, objects):
    process = begin(frames, bucket / "nir")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert "00000000.jsonl" in parts(bucket / "nir")
    assert 1 < translate_folder(frames, bucket / "nir", model=red).unchanged < 6
    assert objects(bucket / "nir") == undisturbed


def test_missing_buckets_are_one_line(bucket, source, red):
    with pytest.raises(NirgenError, match="'s3://no-such-bucket/frames' does not exist; check the names"):
        translate_folder("s3://no-such-bucket/frames", bucket / "nir", model=red)
    with pytest.raises(OutputError, match=r"'s3://no-such-bucket/nir.*' can't be written: .*; check the bucket's name"):
        translate_folder(source, "s3://no-such-bucket/nir", model=red)


def test_folders_that_overlap_are_refused(frames, red):
    with pytest.raises(OutputError, match="lies inside SRC"):
        translate_folder(frames, frames / "nir", model=red)
    with pytest.raises(OutputError, match="is SRC itself"):
        translate_folder(frames, f"{frames}/", model=red)


def test_foreign_objects_are_not_overwritten(bucket, frames, red, objects):
    (bucket / "nir/0/00.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"OUT 's3://.*/nir' has '0/00.png' that nirgen did not write"):
        translate_folder(frames, bucket / "nir", model=red)
    assert objects(bucket / "nir") == {"0/00.png": b"mine"}


def test_a_list_names_objects_relative_to_a_url(tmp_path, bucket, frames, red, objects):
    (tmp_path / "list.txt").write_text(f"1/01.png\n{frames}/2/02.png\n")
    assert translate_folder(frames, bucket / "nir", model=red, listing=tmp_path / "list.txt").translated == 2
    assert set(objects(bucket / "nir")) == {"1/01.png", "2/02.png", NAME}
    (tmp_path / "list.txt").write_text("../01.png\n")
    with pytest.raises(NirgenError, match=r"is not in 's3://.*frames'"):
        translate_folder(frames, bucket / "nir", model=red, listing=tmp_path / "list.txt")


def test_redo_translates_all_again(bucket, frames, undisturbed, red, objects):
    translate_folder(frames, bucket / "nir", model=red)
    assert translate_folder(frames, bucket / "nir", model=red, run=RunOptions(redo=True)).translated == 12
    assert objects(bucket / "nir") == undisturbed


def test_a_sink_goes_to_another_process_as_its_url(bucket):
    sink = pickle.loads(pickle.dumps(UrlSink(bucket / "nir")))
    sink.write(Item("a.jpg", "a.png"), b"nir")
    assert (bucket / "nir/a.png").read_bytes() == b"nir"
    assert (sink.images, sink.stored_bytes) == (1, 3)


def test_a_server_that_errs_now_and_then_changes_nothing(bucket, frames, undisturbed, proxy, connect, red, objects):
    proxy.answer = lambda _: (503, "SlowDown") if len(proxy.requests) % 5 == 0 else None
    connect(proxy.address)
    assert translate_folder(frames, bucket / "nir", model=red).failed == 0
    assert objects(bucket / "nir") == undisturbed


@pytest.fixture
def with_users(server):
    """Let the server take the credentials of its users alone, of which there are none; it ends with the test."""

    def switch(on):
        count = b"0" if on else b"inf"
        plain = {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(f"{server}/moto-api/reset-auth", count, plain)).close()

    yield switch
    switch(on=False)


def test_wrong_credentials_are_one_line(tmp_path, bucket, source, frames, red, with_users):
    with_users(on=True)
    said = "The AWS Access Key Id you provided does not exist in our records.; check the credentials, and run again"
    with pytest.raises(NirgenError) as error:
        translate_folder(frames, tmp_path / "nir", model=red)
    assert str(error.value) == f"'{frames}' can't be read: {said}"
    with pytest.raises(NirgenError) as error:
        translate_folder(source, bucket / "nir", model=red)
    assert str(error.value) == f"'{bucket}/nir' can't be read: {said}"
    with_users(on=False)
    assert [entry.name for entry in bucket.entries()] == ["frames"]


@pytest.mark.parametrize("side", ["source", "out"])
@pytest.mark.parametrize("wrong", [(403, "ExpiredToken"), (500, "InternalError")])
def test_a_store_that_refuses_in_the_middle_ends_the_run_and_fails_no_source(
    tmp_path, bucket, source, frames, undisturbed, red, proxy, connect, objects, monkeypatch, side, wrong
):
    monkeypatch.setattr(urls, "_PAUSES_SECONDS", (0, 0))
    connect(proxy.address)

    class Ending(type(red)):
        """After its third image the store refuses everything."""

        def translate(self, rgb, sizes):
            if len(self.batches) == 3:
                proxy.answer = lambda _: wrong
            return super().translate(rgb, sizes)

    origin = source if side == "out" else frames
    target = tmp_path / "nir" if side == "source" else bucket / "nir"
    with pytest.raises(NirgenError, match=r"can't be (read|written): .*; check the .*, and run again"):
        translate_folder(origin, target, model=Ending(), run=RunOptions(workers=1, batch_size=1))
    proxy.answer = lambda _: None
    summary = translate_folder(origin, target, model=red)
    assert (summary.failed, summary.translated + summary.unchanged) == (0, 12)
    if side != "source":
        assert objects(target) == undisturbed


def test_an_object_that_is_refused_alone_fails_alone(tmp_path, frames, red, proxy, connect):
    proxy.answer = lambda request: (403, "AccessDenied") if request.endswith("1/01.png") else None
    connect(proxy.address)
    assert translate_folder(frames, tmp_path / "nir", model=red).failed == 1
    rows = {row.source: row.error for row in read_manifest(tmp_path / "nir").rows}
    assert rows["1/01.png"] == "'1/01.png' can't be read: Forbidden; mend or remove it"


def test_shards_share_a_url_and_cover_it_once(bucket, frames, undisturbed, red, objects):
    for index in (1, 2):
        translate_folder(frames, bucket / f"nir{index}", model=red, shard=Shard(index, 2))
    first, second = ({name for name in objects(bucket / f"nir{index}") if name != NAME} for index in (1, 2))
    assert first
    assert second
    assert not first & second
    assert first | second == undisturbed.keys() - {NAME}


def test_the_profile_counts_what_went_through_a_store(tmp_path, bucket, frames, command):
    (tmp_path / "go").touch()
    done = subprocess.run(
        [*command, str(frames), f"{bucket}/nir", "--profile", "--shard", "1/1"],
        capture_output=True, text=True, cwd=tmp_path, check=False, env=os.environ | {"COLUMNS": "100"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    stages = {
        words[0]: words[1] for line in done.stdout.splitlines() if len(words := line.replace("│", " ").split()) > 4
    }
    assert {name: stages[name] for name in ("read", "write")} == {"read": "12", "write": "12"}
    assert f"wrote: {bucket}/nir (images, manifest.parquet)" in done.stdout
