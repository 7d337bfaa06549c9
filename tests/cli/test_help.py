"""`--help`: light, and all of it documented."""

from __future__ import annotations

import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from nirgen.cli import app

ROOT = Path(__file__).parents[2]
CLI_PAGE = runpy.run_path(str(ROOT / "docs" / "generate_cli.py"))
COMMANDS: list[tuple[str, ...]] = CLI_PAGE["every_command"]()
HEAVY = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]["flake8-tidy-imports"][
    "banned-module-level-imports"
]
LIST_HEAVY_MODULES_AFTER_HELP = """
import sys
from nirgen.cli import execute
try:
    execute()
except SystemExit as end:
    code = end.code
print("exit code", code, file=sys.stderr)
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def test_there_are_commands_to_look_at() -> None:
    assert {(), ("doctor",)} <= set(COMMANDS)
    assert {"torch", "rich", "pydantic"} < set(HEAVY)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIST_HEAVY_MODULES_AFTER_HELP, *words, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    code, modules = done.stderr.splitlines()
    assert code == "exit code 0"
    assert done.stdout.startswith("Usage:")
    typers_own = {"pydantic"} if words else set()  # it checks the values of a command's options
    assert set(modules.split()) & set(HEAVY) - typers_own == set()
    assert "typer" in modules.split()


def test_the_page_of_the_command_line_is_current() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == CLI_PAGE["render"](), "run `make docs-cli`"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_is_documented(words: tuple[str, ...]) -> None:
    assert f"\n## `{' '.join(('nirgen', *words))}`\n" in (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


def test_the_page_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = CLI_PAGE["render"]()
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert CLI_PAGE["render"]() == wide


EXAMPLES = [
    line.strip().removesuffix("\\").strip()
    for line in (ROOT / "docs" / "cli.md").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    if line.startswith("    nirgen ")
]


def test_there_are_examples_to_parse() -> None:
    assert len(EXAMPLES) > 20


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_right_usage(example: str) -> None:
    command, (_, *words) = get_command(app), shlex.split(example)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0) if words[0] in command.commands else "list"]
    command.make_context("nirgen", list(words))


def test_exit_codes_are_stated_once() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page.count("Exit codes:") == 1
    assert "xit code " not in page
