"""Decisions out of a real FiftyOne into a file, by the command, and back by a rebuild."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nirgen.browse.importing import import_decisions
from nirgen.curation import Decision, Seen, read_decisions, write_decisions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CAR = Seen(category="car", bbox=(1, 2, 10, 5))
RELABEL = Decision("bdd/b.jpg#0", "relabel", category="person", author="anna", width=30, height=20, seen=CAR)
REJECT = Decision("bdd/a.jpg", "reject", reason="blurred", author="anna")


@pytest.fixture
def decided(browse: Callable[..., Any], dataset_folder: Callable[..., Path], name: str) -> Callable[[], Path]:
    """A dataset of which FiftyOne knows two decisions."""

    def make() -> Path:
        folder = dataset_folder("D")
        browse(folder)
        import_decisions(folder, [REJECT, RELABEL], name=name)
        return folder

    return make


def test_the_command_writes_what_was_decided(
    nirgen: Callable[..., tuple[int, str, str]], decided: Callable[[], Path], name: str, tmp_path: Path
) -> None:
    out = tmp_path / "curation.jsonl"
    code, output, _ = nirgen("curation", "export", decided(), "-o", out, "--name", name, "--json")
    assert code == 0
    actions = {"reject": 1, "relabel": 1}
    assert json.loads(output) == {"file": str(out), "decisions": 2, "new": 2, "only_in_file": 0, "actions": actions}
    assert [(each.key, each.action, each.author) for each in read_decisions(out).all] == [
        ("bdd/a.jpg", "reject", "anna"),
        ("bdd/b.jpg#0", "relabel", "anna"),
    ]


def test_decisions_that_only_the_file_has_stay_and_are_counted_unless_it_is_replaced(
    nirgen: Callable[..., tuple[int, str, str]], decided: Callable[[], Path], name: str, tmp_path: Path
) -> None:
    folder, out = decided(), tmp_path / "curation.jsonl"
    write_decisions(out, [Decision("bdd/night/c.jpg", "reject", author="ben")])
    assert 'only_in_file": 1' in nirgen("curation", "export", folder, "-o", out, "--name", name, "--json")[1]
    assert "1 of them FiftyOne doesn't have" in nirgen("curation", "export", folder, "-o", out, "--name", name)[1]
    assert len(read_decisions(out).all) == 3
    assert nirgen("curation", "export", folder, "-o", out, "--name", name, "--replace")[0] == 0
    assert [each.key for each in read_decisions(out).all] == ["bdd/a.jpg", "bdd/b.jpg#0"]


def test_what_is_exported_and_built_in_is_exported_again_from_the_rebuilt_dataset(
    nirgen: Callable[..., tuple[int, str, str]],
    browse: Callable[..., Any],
    dataset_folder: Callable[..., Path],
    decided: Callable[[], Path],
    name: str,
    tmp_path: Path,
) -> None:
    folder, first, second = decided(), tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    nirgen("curation", "export", folder, "-o", first, "--name", name)
    dataset_folder("D", curation=first)
    assert browse(folder).changed["removed"] == 2
    nirgen("curation", "export", folder, "-o", second, "--name", name)
    assert second.read_bytes() == first.read_bytes()


def test_a_dataset_deleted_in_fiftyone_is_named_and_leaves_the_file_as_it_was(
    nirgen: Callable[..., tuple[int, str, str]],
    fo: Any,
    browse: Callable[..., Any],
    dataset_folder: Callable[..., Path],
    name: str,
    tmp_path: Path,
) -> None:
    folder, out = dataset_folder("D"), tmp_path / "curation.jsonl"
    browse(folder)
    write_decisions(out, [REJECT])
    before = out.read_bytes()
    fo.delete_dataset(name)
    code, _, error = nirgen("curation", "export", folder, "-o", out, "--name", name)
    assert code == 1
    assert error.count("\n") == 1
    assert name in error
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir() if "curation" in path.name) == ["curation.jsonl"]
