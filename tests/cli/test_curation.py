from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nirgen.curation import Decision, Seen, read_decisions, write_decisions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


REJECT = Decision("bdd/a.jpg", "reject", author="anna", reason="blurred")
RELABEL = Decision("bdd/b.jpg#0", "relabel", "bicycle", seen=Seen(category="car"))
MOVE = Decision("bdd/b.jpg#1", "move", None, (1.0, 2.5, 3.0, 4.0), 30, 20)


def save(path: Path, *decisions: Decision) -> Path:
    write_decisions(path, decisions)
    return path


@pytest.fixture
def command(dataset_inputs: Callable[..., dict[str, Any]], tmp_path: Path) -> list[object]:
    """Builds D from three translated images and three real ones."""
    (generated,), (real,) = dataset_inputs().values()
    return [
        "build-dataset",
        *("--generated", f"bdd={generated['folder']}:{generated['labels']}"),
        *("--real", f"{real['folder']}:{real['labels']}", "--out", tmp_path / "D", "--yes"),
    ]


def words(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_what_decisions_would_change_is_shown_and_nothing_done(command, nirgen, tmp_path: Path) -> None:
    assert nirgen(*command)[0] == 0
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "D").rglob("*"))
    file = save(tmp_path / "c.jsonl", REJECT, RELABEL, MOVE)
    code, out, err = nirgen("curation", "apply", tmp_path / "D", file)
    assert (code, err) == (0, "")
    lines = words(out)
    assert lines[-1] == "decisions: 1 move, 1 reject, 1 relabel of 3 carried out"
    assert "images 4 -> 3 1 1" in lines
    assert "boxes: bicycle 1 -> 2 0 0" in lines
    assert "boxes: car 4 -> 2 1 1" in lines
    assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "D").rglob("*")) == before


def test_what_isnt_there_is_listed_with_its_own_exit_code(command, nirgen, tmp_path: Path) -> None:
    assert nirgen(*command)[0] == 0
    stale = Decision("bdd/b.jpg#0", "delete", seen=Seen(category="person"))
    file = save(tmp_path / "c.jsonl", Decision("bdd/zzz.jpg", "reject"), stale)
    code, out, _ = nirgen("curation", "apply", tmp_path / "D", file)
    assert code == 3
    assert words(out)[-2:] == [
        "gone: reject bdd/zzz.jpg: the dataset has no such image",
        "changed: delete bdd/b.jpg#0: its class was person, and is car",
    ]
    code, out, _ = nirgen("curation", "apply", tmp_path / "D", file, "--json")
    found = json.loads(out)
    assert (code, found["applied"], found["after"]["train"]["boxes"]["car"]) == (3, {"delete": 1}, 3)
    assert found["before"]["train"]["boxes"]["car"] == 4
    assert found["gone"] == [{"key": "bdd/zzz.jpg", "action": "reject", "why": "the dataset has no such image"}]


def test_a_rebuild_does_what_was_foreseen(command, nirgen, tmp_path: Path) -> None:
    assert nirgen(*command)[0] == 0
    file = save(tmp_path / "c.jsonl", REJECT, RELABEL, Decision("bdd/zzz.jpg", "keep"))
    code, out, err = nirgen(*command, "--curation", file, "--replace")
    assert (code, err) == (0, "")
    lines = words(out)
    assert "bdd: 1 left out, images that a curator rejected, such as a.jpg" in lines
    assert "decisions: 1 reject, 1 relabel of 3 carried out" in lines
    assert "gone: keep bdd/zzz.jpg: the dataset has no such image" in lines
    assert "boxes: car 2 1 1" in lines
    train = json.loads((tmp_path / "D/annotations/train.json").read_text())
    assert [image["id"] for image in train["images"]] == [2, 3, 4]
    code, out, _ = nirgen("curation", "apply", tmp_path / "D", file)
    assert "->" not in out  # the dataset is built with these decisions already
    assert code == 3  # for one of them found nothing
    assert (tmp_path / "D/curation.jsonl").read_bytes() == file.read_bytes()


def test_rejections_that_are_withdrawn_are_counted(command, nirgen, tmp_path: Path) -> None:
    file = save(tmp_path / "c.jsonl", REJECT)
    assert nirgen(*command, "--curation", file)[0] == 0
    code, out, _ = nirgen("curation", "apply", tmp_path / "D", save(tmp_path / "none.jsonl"))
    assert code == 0
    assert "images 3 -> 4 1 1" in words(out)


def test_an_input_that_is_missing_is_named_with_the_remedy(command, nirgen, tmp_path: Path) -> None:
    assert nirgen(*command)[0] == 0
    file = save(tmp_path / "c.jsonl", REJECT)
    (tmp_path / "ranus.json").rename(tmp_path / "moved.json")
    code, out, err = nirgen("curation", "apply", tmp_path / "D", file)
    assert (code, out) == (1, "")
    assert err == (
        f"error: {tmp_path / 'D'}: {tmp_path / 'ranus.json'} (labels of 'ranus') can't be found; restore what is "
        "missing, or say where it is now: --moved OLD=NEW, which holds for all paths below OLD\n"
    )
    (tmp_path / "D/run.json").unlink()
    code, _, err = nirgen("curation", "apply", tmp_path / "D", file)
    assert code == 1
    assert "run.json: lacks the paths of the dataset's inputs; " in err


@pytest.mark.parametrize("command_", ["apply", "import", "export"])
def test_a_broken_line_is_one_line_of_error(command, nirgen, tmp_path: Path, command_: str) -> None:
    assert nirgen(*command)[0] == 0
    file = tmp_path / "c.jsonl"
    file.write_text('{"key":"bdd/a.jpg","action":"keep"}\n{"key":"bdd/a.jpg",\n')
    arguments = ("-o", file) if command_ == "export" else (file,)
    code, out, err = nirgen("curation", command_, tmp_path / "D", *arguments)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {file}, line 2: no JSON (")
    assert err.count("\n") == 1
    assert file.read_text().startswith('{"key":"bdd/a.jpg","action":"keep"}')


def test_an_export_without_a_dataset_is_refused(nirgen, tmp_path: Path) -> None:
    code, _, err = nirgen("curation", "export", tmp_path, "-o", tmp_path / "c.jsonl")
    assert code == 1
    assert err.count("\n") == 1
    assert not (tmp_path / "c.jsonl").exists()


def test_the_decisions_of_a_build_come_out_as_they_went_in(command, nirgen, tmp_path: Path) -> None:
    file = save(tmp_path / "c.jsonl", REJECT, RELABEL, MOVE)
    assert nirgen(*command, "--curation", file)[0] == 0
    assert (tmp_path / "D/curation.jsonl").read_bytes() == file.read_bytes()
    assert read_decisions(tmp_path / "D/curation.jsonl").all == (REJECT, RELABEL, MOVE)
