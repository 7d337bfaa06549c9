"""Commands of a small command line, for recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import typer
import yaml

from nirgen.cli import app
from nirgen.recipe.commands import Commands, commands_of
from nirgen.recipe.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="session")
def commands() -> Commands:
    """Those of nirgen."""
    return commands_of(typer.main.get_command(app))


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Recipe]:
    """Write a recipe and read it."""

    def make(stages: dict[str, Any], **more: Any) -> Recipe:
        path = tmp_path / "made.yaml"
        path.write_text(yaml.safe_dump({"name": "made", "about": "A test.", "stages": stages, **more}))
        return Recipe.load(path)

    return make
