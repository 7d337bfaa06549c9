"""What holds the project's own files together."""

from __future__ import annotations

import re
import runpy
import shlex
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

import nirgen
from nirgen.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PINS = (ROOT / "requirements.txt").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("*/README.md"))]
PAGES += sorted(ROOT.glob("nirgen/models/embedded/*.md"))
README_COMMANDS = [line.partition("#")[0].strip() for line in README.splitlines() if line.startswith("nirgen ")]


def test_the_pins_name_no_address() -> None:
    assert re.findall(r"^.*(?:://|file:|--index|--find-links).*$", PINS, flags=re.MULTILINE) == []


def test_every_dependency_is_pinned_with_hashes() -> None:
    pinned = re.findall(r"^([a-z0-9._-]+)==.*\\\n    --hash=sha256:", PINS, flags=re.MULTILINE)
    wanted = [Requirement(line).name for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]
    assert "torch" in wanted
    assert {canonicalize_name(name) for name in wanted} - set(pinned) == set()


def test_the_public_names_are_these_and_each_can_be_had() -> None:
    assert nirgen.__all__ == [
        "NirModel",
        "NirgenError",
        "RunOptions",
        "TranslateOptions",
        "__version__",
        "load_model",
        "translate_folder",
    ]
    assert dir(nirgen) == sorted(nirgen.__all__)
    assert [name for name in nirgen.__all__ if getattr(nirgen, name, None) is None] == []
    with pytest.raises(AttributeError, match="no_such_name"):
        nirgen.no_such_name  # noqa: B018


def test_the_version_is_the_changelogs_newest() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[(\d[^]]*)\]", changelog, flags=re.MULTILINE)[0] == nirgen.__version__


def test_what_checks_a_change_is_the_readmes_test_command() -> None:
    assert "\nmake test\n" in README
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").endswith("\nmake test\n")
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_the_picture_of_the_architecture_is_drawn_from_the_imports() -> None:
    draw = runpy.run_path(str(ROOT / "docs" / "generate_architecture.py"))["draw"]
    assert draw() == (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8"), "run `make architecture`"


def test_the_architecture_page_names_every_module() -> None:
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", ARCHITECTURE, flags=re.MULTILINE)
    modules = [path.relative_to(ROOT / "nirgen") for path in (ROOT / "nirgen").rglob("*.py") if path.name[0] != "_"]
    assert len(modules) > 100
    text = {name: listed for names, listed in rows for name in re.findall(r"`(\w+)`", names)}
    inner = [path for path in modules if len(path.parts) == 2 and path.parts[0] != "cli"]
    assert [str(path) for path in inner if f"`{path.stem}`" not in text[path.parts[0]]] == []
    outer = [path for path in modules if len(path.parts) == 1]
    assert [str(path) for path in outer if f"`{path.stem}`" not in ARCHITECTURE] == []


def test_the_readme_has_commands() -> None:
    assert len(README_COMMANDS) >= 5


@pytest.mark.parametrize("line", README_COMMANDS)
def test_the_readmes_commands_and_their_options_exist(line: str) -> None:
    commands = runpy.run_path(str(ROOT / "docs" / "generate_cli.py"))["every_command"]()
    words = shlex.split(line)[1:]
    command = max((known for known in commands if tuple(words[: len(known)]) == known), key=len)
    assert command
    shown = CliRunner().invoke(app, [*command, "--help"]).output
    assert [word for word in words if word.startswith("--") and word not in shown] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_there_are_pages_to_look_at() -> None:
    assert len(PAGES) >= 7
