"""Write `docs/cli.md` from the commands' own `--help`; a test checks that it is current."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.main import get_command
from typer.testing import CliRunner

from nirgen.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator


PAGE = Path(__file__).with_name("cli.md")
INTRODUCTION = """\
# Command line

This page is generated from the commands' `--help` by `make docs-cli`.

The help of `nirgen` lists the exit codes. An error is one line on standard error. `nirgen doctor` exits with 1 if a
required part is missing.
"""


def every_command() -> list[tuple[str, ...]]:
    """Return the words of each command and group in the order of the help; `()` is `nirgen` itself."""
    return list(_walk(get_command(app), ()))


def _walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield words
    for name, child in getattr(command, "commands", {}).items():
        if not child.hidden:
            yield from _walk(child, (*words, name))


def render() -> str:
    """Return the page, independent of the terminal."""
    sections = [INTRODUCTION]
    for words in every_command():
        shown = CliRunner().invoke(app, [*words, "--help"], prog_name="nirgen", env={"COLUMNS": "80", "NO_COLOR": "1"})
        if shown.exit_code != 0:
            raise RuntimeError(f"nirgen {' '.join(words)} --help: {shown.output}")
        title = " ".join(("nirgen", *words))
        sections.append(f"## `{title}`\n\n```text\n{shown.output.strip()}\n```\n")
    return "\n".join(sections)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    print(f"wrote {PAGE}")
