"""What a stage's result depends on."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from nirgen.recipe.plan import (
    Hashes,
    RecipeRun,
    State,
    code_hash,
    difference,
    files_of,
    fingerprint,
    make_plan,
    parts_of,
)
from nirgen.recipe.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.recipe.commands import Commands
    from nirgen.recipe.recipe import Recipe


def test_a_folder_has_the_hash_of_its_names_and_contents(tmp_path: Path) -> None:
    hashes = Hashes(tmp_path / "hashes.json")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("1")
    first = hashes.of(folder)
    (folder / ".hidden").write_text("2")
    assert hashes.of(folder) == first
    (folder / "a").rename(folder / "b")
    assert hashes.of(folder) != first
    assert files_of(folder) == ["b"]


def test_a_file_is_not_read_again_unless_it_was_changed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    hashes = Hashes(tmp_path / "hashes.json")
    first = hashes.of(file)
    hashes.save()
    status = file.stat()
    file.write_text("two")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert Hashes(tmp_path / "hashes.json").of(file) == first
    os.utime(file)
    assert Hashes(tmp_path / "hashes.json").of(file) != first


def test_the_first_difference_is_told() -> None:
    old = {"command": "labels", "options": {"a": 1}, "inputs": {"x": "0"}, "upstream": {}, "code": "c"}
    assert difference(old, old) == ""
    assert difference(old, {**old, "options": {"a": 2}}) == "option 'a' changed"
    assert difference(old, {**old, "inputs": {"x": "1"}}) == "input x changed"
    assert difference(old, {**old, "upstream": {"u": "1"}}) == "stage 'u' has another result"
    assert difference(old, {**old, "code": "d"}) == "nirgen itself changed"
    assert difference(old, {**old, "command": "pairs list"}) == "it runs 'pairs list' now"


def test_all_words_of_a_command_count(recipe: Callable[..., Recipe], commands: Commands, tmp_path: Path) -> None:
    (tmp_path / "m").write_text("a model")
    made = recipe({"m": {"run": "models export", "with": {"model": str(tmp_path / "m")}}})
    (stage,) = resolve(made, commands, tmp_path, {})
    hashes = Hashes(tmp_path / "hashes.json")
    parts = parts_of(stage, {}, hashes, "code")
    assert parts["command"] == "models export"
    other = parts_of(replace(stage, command="models import"), {}, hashes, "code")
    assert fingerprint(parts) != fingerprint(other)


def test_a_damaged_record_is_named_and_its_stage_runs_again(
    recipe: Callable[..., Recipe], commands: Commands, tmp_path: Path
) -> None:
    made = recipe({"again": {"run": "models export", "with": {"model": "compact"}}})
    run = RecipeRun(made, commands, tmp_path, {})
    (stage,) = resolve(made, commands, tmp_path, {})
    parts = parts_of(stage, {}, Hashes(tmp_path / "hashes.json"), code_hash())
    file = State.file(tmp_path, "again")
    State("done", parts, 1.5).write(file)
    (step,) = make_plan(run, [stage], Hashes(tmp_path / "hashes.json"))
    assert (step.runs, step.why) == (False, "done and unchanged")
    whole = file.read_bytes()
    for damaged in (whole.replace(b"1.5", b"1.7"), whole[:-20], b"[]", b'{"schema": 1, "status": 3, "parts": []}'):
        file.write_bytes(damaged)
        (step,) = make_plan(run, [stage], Hashes(tmp_path / "hashes.json"))
        assert (step.runs, step.why) == (True, f"its record {file} is damaged or of another version")


def test_a_damaged_cache_of_hashes_is_empty(tmp_path: Path) -> None:
    file, cache = tmp_path / "file", tmp_path / "hashes.json"
    file.write_text("one")
    hashes = Hashes(cache)
    right = hashes.of(file)
    hashes.save()
    cache.write_text(cache.read_text().replace(right, "0" * 64))
    assert Hashes(cache).of(file) == right
    for text in ("[]", "3", f'{{"{file}": 3}}'):
        cache.write_text(text)
        assert Hashes(cache).of(file) == right
