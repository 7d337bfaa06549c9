"""The last line of a command: the next command, which there is, with options that it has."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
from typer.main import get_command

from nirgen.cli import app

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.pairs import PairList


def check_usage(line: str) -> list[str]:
    """Check that a line names a command, and that it takes the line's words; return them."""
    assert line.startswith("next: nirgen ")
    words = shlex.split(line.removeprefix("next: nirgen "))
    command, rest = get_command(app), list(words)
    while hasattr(command, "commands") and rest and rest[0] in command.commands:
        command = command.commands[rest.pop(0)]
    assert not hasattr(command, "commands")
    command.make_context("nirgen", rest)  # an error for an unknown option or a missing argument
    return words


@pytest.fixture
def end_of(run_nirgen: Callable[..., tuple[int, str, str]]) -> Callable[..., list[str]]:
    """Run a command that succeeds; return the words of the next one after `nirgen`."""

    def run(*arguments: object) -> list[str]:
        code, _, error = run_nirgen(*arguments)
        assert code == 0, error
        return check_usage(error.splitlines()[-1])

    return run


def test_commands_about_models_and_pairs_end_with_the_next_one(end_of, pairs: PairList, tmp_path: Path) -> None:
    listed = tmp_path / "pairs.csv"
    assert end_of("models", "list") == ["models", "info", "compact"]
    assert end_of("models", "info", "compact")[:2] == ["translate", "PHOTOS"]
    assert end_of("pairs", "list", pairs.root, "-o", listed)[:3] == ["pairs", "check", str(listed)]
    assert end_of("run", "--list") == ["run", "smoke"]


def test_commands_about_datasets_end_with_the_next_one(end_of, made_dataset, tmp_path: Path) -> None:
    dataset = made_dataset(tmp_path / "D", real=1, generated=1, test=0)
    assert end_of("explain", dataset, "--image", "1") == ["browse", str(dataset)]
    assert end_of("validate", dataset) == ["browse", str(dataset)]
    assert end_of("report", dataset, "-o", tmp_path / "page.html") == ["browse", str(dataset)]


def test_an_evaluation_ends_with_a_translation_by_the_best_model(end_of, pairs: PairList, tmp_path: Path) -> None:
    listed = ("--pairs", tmp_path / "pairs.csv", "--root", pairs.root)
    pairs.write(tmp_path / "pairs.csv")
    best = tmp_path / "fitted"
    assert end_of("train", "linear", best, *listed)[:4] == ["translate", "PHOTOS", "nir", "--model"]
    words = end_of("evaluate", *listed, "--model", "compact", "--model", best, "--size", 32, "--device", "cpu")
    assert words == ["translate", "PHOTOS", "nir", "--model", str(best)]
