"""Recipes in files."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nirgen.errors import ConfigError
from nirgen.recipe.plan import Hashes, RecipeRun, make_plan
from nirgen.recipe.recipe import Recipe, built_in, changed
from nirgen.recipe.resolve import resolve
from nirgen.train.config import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.recipe.commands import Commands


def test_an_unknown_key_names_the_nearest(recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(ConfigError, match=r"made\.yaml: unknown key 'stages.a.alow'; did you mean 'allow'\?"):
        recipe({"a": {"run": "labels", "alow": "partial"}})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: can't be read"):
        Recipe.load(tmp_path / "none.yaml")


def test_a_stage_that_a_reference_cannot_name_is_refused(recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(ConfigError, match="can be called"):
        recipe({"a_b": {"run": "labels"}})


def test_set_changes_an_option_and_leaves_the_rest(recipe: Callable[..., Recipe]) -> None:
    made = recipe({"a": {"run": "translate", "with": {"source": "x", "batch": 1}}})
    assert changed(made, ["a.batch=2"]).stages["a"].options == {"source": "x", "batch": 2}
    with pytest.raises(ConfigError, match="no stage 'b'"):
        changed(made, ["b.batch=2"])
    with pytest.raises(ConfigError, match="write it as --set STAGE"):
        changed(made, ["batch"])


ROOT = Path(__file__).parents[2]
PAGE = runpy.run_path(str(ROOT / "docs" / "generate_recipes.py"))
RECIPES = list(built_in().values())
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
    text = Path(PAGE["PAGE"]).read_text(encoding="utf-8")
    assert [path.stem for path in RECIPES] == NAMES
    assert re.findall(r"^\| \[(\S+)\]", text, re.MULTILINE) == NAMES
    assert text == PAGE["render_table"](PAGE["every_recipe"]()), "run `make recipes`"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_parses_and_plans(path: Path, commands: Commands, tmp_path: Path) -> None:
    recipe = Recipe.load(path)
    assert recipe.name == path.stem
    assert recipe.expect
    (tmp_path / "data").mkdir()
    run = RecipeRun(recipe, commands, tmp_path / "out", dict.fromkeys(recipe.data, tmp_path / "data"))
    stages = resolve(recipe, commands, run.out, run.data)
    plan = make_plan(run, stages, Hashes(tmp_path / "hashes.json"))
    assert {step.why for step in plan} <= {"never run", *(f"stage '{name}' runs" for name in recipe.stages)}
    assert all(step.runs for step in plan)
    outputs = {f"{stage.name}.{option}" for stage in stages for option in stage.outputs}
    for expected in recipe.expect:
        assert set(re.findall(r"\$\{([^}]*)\}", expected.file or "")) <= outputs


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_settings_of_training_exist(path: Path) -> None:
    for stage in Recipe.load(path).stages.values():
        if stage.run == "train":
            assert TrainConfig.load(stage.options["config"], stage.options.get("set", [])).stages
