"""`nirgen browse` with a real MongoDB, and with the App in processes of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nirgen.curation import Decision, Seen, write_decisions

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    Command = Callable[..., tuple[int, str, str]]
    Build = Callable[..., Path]


def test_it_says_what_it_did_and_that_nothing_has_changed(
    nirgen: Command, fo: Any, dataset_folder: Build, name: str
) -> None:
    folder = dataset_folder("D")
    command = ("browse", folder, "--no-launch", "--name", name)
    assert nirgen(*command)[:2] == (0, f"{name}: 6 images, 9 samples with RGB; 9 added\n")
    assert nirgen(*command)[:2] == (0, f"{name}: 6 images, 9 samples with RGB; nothing has changed\n")
    assert (folder / "scores.parquet").is_file()


def test_without_a_name_the_folders_is_taken(nirgen: Command, fo: Any, dataset_folder: Build, name: str) -> None:
    folder = dataset_folder(name)
    assert nirgen("browse", folder, "--no-launch", "--no-scores")[0] == 0
    assert fo.dataset_exists(name)
    assert not (folder / "scores.parquet").exists()


def test_rgb_images_that_have_moved_are_found_where_sources_says(
    nirgen: Command, fo: Any, dataset_folder: Build, name: str, tmp_path: Path
) -> None:
    folder = dataset_folder("D")
    (tmp_path / "bdd/rgb").rename(tmp_path / "elsewhere")
    command = ("browse", folder, "--no-launch", "--no-scores", "--name", name)
    assert nirgen(*command)[1] == f"{name}: 6 images, 6 samples with RGB; 6 added\n"
    sources = f"bdd={tmp_path / 'elsewhere'}"
    assert nirgen(*command, "--sources", sources)[1] == f"{name}: 6 images, 9 samples with RGB; 3 added\n"


def test_an_interrupted_load_ends_with_130_and_the_next_completes_it(
    nirgen: Command, fo: Any, dataset_folder: Build, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = dataset_folder("D")
    command = ("browse", folder, "--no-launch", "--no-scores", "--name", name)
    with monkeypatch.context() as patch:
        patch.setattr("nirgen.browse.load._BATCH", 2)
        patch.setattr("nirgen.browse.load.check", _interrupt)
        code, _, said = nirgen(*command)
    assert (code, said) == (130, "interrupted: what is done stays; run the same command again to go on\n")
    assert nirgen(*command)[:2] == (0, f"{name}: 6 images, 9 samples with RGB; 5 added\n")


def _interrupt(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_a_database_that_does_not_answer_is_one_line(
    nirgen: Command, mongodb: str, fo: Any, dataset_folder: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nirgen.browse.database import open_fiftyone

    monkeypatch.setattr("nirgen.browse.database.SECONDS_TO_ANSWER", 1)
    uri = "mongodb://127.0.0.1:9"
    try:
        code, out, said = nirgen("browse", dataset_folder("D"), "--no-launch", "--database-uri", uri)
    finally:
        monkeypatch.undo()
        open_fiftyone(mongodb)
    assert (code, out) == (1, "")
    assert said.startswith(f"error: {uri}: no MongoDB answers there")
    assert said.count("\n") == 1


def test_the_app_answers_and_ctrl_c_ends_it_with_all_its_processes(
    fo: Any, dataset_folder: Build, fiftyone_environment: dict[str, str], name: str, free_port: Callable[[], int]
) -> None:
    port, folder = free_port(), dataset_folder("D")
    command = [sys.executable, "-m", "nirgen", "browse", folder, "--no-scores", "--remote"]
    process = subprocess.Popen(
        [*command, "--name", name, "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | fiftyone_environment,
    )
    with process:
        try:
            assert process.stdout is not None
            said = []
            while not said or said[-1] not in {"", "Ctrl-C ends it\n"}:
                said.append(process.stdout.readline())
            assert f"FiftyOne's App: http://127.0.0.1:{port}/datasets/" in "".join(said)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/fiftyone", timeout=60) as answer:
                assert answer.status == 200
            image = quote(fo.load_dataset(name).first().filepath)
            asked = {
                "/media?filepath=" + image: 200,
                "/media?filepath=/etc/passwd": 403,
                "/media?filepath=" + quote(str(folder / "dataset.json")): 403,
            }
            assert {path: status(port, path) for path in asked} == asked
            assert status(port, "/fiftyone", Host="evil.example") == 403
            assert status(port, "/graphql", "POST", Origin="http://evil.example") == 403
            assert len(_of_session(process.pid)) > 1
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
            assert "the App was ended" in process.stdout.read()
        finally:
            process.kill()
    assert _of_session(process.pid) == []


def status(port: int, path: str, method: str = "GET", **headers: str) -> int:
    """The status that the App answers a request with."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def _of_session(leader: int) -> list[int]:
    """The processes that a command has started, itself among them, that are there."""
    found = []
    for process in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        with suppress(ProcessLookupError):
            if os.getsid(process) == leader:
                found.append(process)
    return found


def test_what_the_datasets_own_decisions_kept_or_flagged_is_shown_at_the_first_load(
    nirgen: Command, fo: Any, dataset_folder: Build, name: str, tmp_path: Path
) -> None:
    car = Seen(category="car", bbox=(1, 2, 10, 5))
    decisions = (
        Decision("ranus/02/y.png", "keep", author="anna"),
        Decision("bdd/b.jpg#0", "flag", author="ben", seen=car, width=30, height=20),
        Decision("bdd/a.jpg", "reject", author="ben"),
    )
    write_decisions(tmp_path / "curation.jsonl", decisions)
    command = ("browse", dataset_folder("D", curation=tmp_path / "curation.jsonl"), "--no-launch", "--no-scores")
    said = nirgen(*command, "--name", name)[1]
    assert said.endswith("2 of the dataset's own decisions (keep, flag) are shown\n")
    assert "own decisions" not in nirgen(*command, "--name", name)[1]
    kept = fo.load_dataset(name).select_group_slices(["nir", "real_nir"]).match_tags("kept")
    assert kept.values("key") == ["ranus/02/y.png"]
