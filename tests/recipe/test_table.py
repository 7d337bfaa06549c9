"""The recipes of the project, and their table."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nirgen.cli.train import _settings
from nirgen.recipe.fingerprint import Hashes
from nirgen.recipe.plan import make_plan
from nirgen.recipe.recipe import Recipe
from nirgen.recipe.resolve import resolve

if TYPE_CHECKING:
    from nirgen.recipe.command import Command

ROOT = Path(__file__).parents[2]
PAGE = runpy.run_path(str(ROOT / "docs" / "generate_recipes.py"))
RECIPES = sorted((ROOT / "pipelines").glob("*.yaml"))
NAMES = [
    "bdd100k-zeroshot",
    "flir-lwir",
    "idd-aw",
    "ranus",
    "smoke",
    "table2",
    "table4-extractors",
    "table5-attention",
    "table7-detection",
]


def test_the_table_has_every_recipe_and_is_current() -> None:
    text = (ROOT / "pipelines" / "README.md").read_text(encoding="utf-8")
    assert [path.stem for path in RECIPES] == NAMES
    assert re.findall(r"^\| \[(\S+)\]", text, re.MULTILINE) == NAMES
    assert text == PAGE["render"](PAGE["every_recipe"]()), "run `make recipes`"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_parses_and_plans(path: Path, commands: dict[str, Command], tmp_path: Path) -> None:
    recipe = Recipe.load(path)
    assert recipe.name == path.stem
    assert recipe.expect
    (tmp_path / "data").mkdir()
    stages = resolve(recipe, commands, tmp_path / "out", dict.fromkeys(recipe.data, tmp_path / "data"))
    plan = make_plan(stages, tmp_path / "out", Hashes(tmp_path / "hashes.json"))
    assert {step.why for step in plan} <= {"never run", *(f"stage '{name}' runs" for name in recipe.stages)}
    assert all(step.runs for step in plan)
    outputs = {f"{stage.name}.{option}" for stage in stages for option in stage.outputs}
    for expected in recipe.expect:
        assert set(re.findall(r"\$\{([^}]*)\}", expected.file or "")) <= outputs


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_settings_of_training_exist(path: Path) -> None:
    for stage in Recipe.load(path).stages.values():
        if stage.run == "train":
            assert _settings(stage.options["config"], stage.options.get("set", []), {}).stages
