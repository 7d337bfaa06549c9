"""Recipes in files."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from nirgen.errors import ConfigError
from nirgen.models.checkpoint import build
from nirgen.recipe.plan import Hashes, RecipeRun, make_plan
from nirgen.recipe.recipe import Recipe, built_in, changed, demo_of
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
    *("bdd100k-zeroshot", "idd-aw", "ranus", "smoke"),
    *("table2", "table3", "table4", "table5", "table6", "table7", "table8"),
]
WITH_DEMO = [path for path in RECIPES if Recipe.load(path).demo is not None]


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


@pytest.mark.parametrize("path", WITH_DEMO, ids=lambda path: path.stem)
def test_a_demo_plans_without_data_and_trains_for_a_few_small_steps(
    path: Path, commands: Commands, tmp_path: Path
) -> None:
    demo = demo_of(Recipe.load(path))
    stages = resolve(demo, commands, tmp_path / "out", {})
    assert [stage.name for stage in stages] == ["sample", *Recipe.load(path).stages]
    trained = [stage for stage in demo.stages.values() if stage.run == "train"]
    for stage in trained:
        config = TrainConfig.load(stage.options["config"], stage.options["set"])
        assert config.steps == 3
        with torch.device("meta"):
            values = sum(each.numel() for each in build(config.generator).parameters())
        assert values < 13_000_000, stage  # the smallest ResNet of timm and its attention have 12 million
    assert len(trained) == sum(stage.run == "train" for stage in Recipe.load(path).stages.values())


def test_tables_of_several_systems_have_demos() -> None:
    assert {"table2", "table3", "table4", "table5", "table6", "table8"} <= {path.stem for path in WITH_DEMO}


def test_a_recipe_without_a_demo_says_so(recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(ConfigError, match="made: has no demo size; it makes its own data as it is"):
        demo_of(recipe({"a": {"run": "sample-data"}}))


def test_published_rows_are_expected_numbers(recipe: Callable[..., Recipe]) -> None:
    rows = {"published": "ranus", "methods": ["C2SAL", "Pix2Next"], "file": "${a.out}/summary.json"}
    found = recipe({"a": {"run": "evaluate"}}, expect=[rows, {"what": "images", "value": 2}]).expect
    assert [each.what for each in found[:4]] == [
        "PSNR of C2SAL",
        "SSIM 7x7 of C2SAL",
        "FID of C2SAL",
        "PSNR of Pix2Next",
    ]
    assert found[3].value == 20.83
    assert found[3].at == "subsets.name=all.methods.method=Pix2Next.estimates.psnr.value"
    assert found[-1].what == "images"
    for key, value, text in (
        ("published", "ranuss", "no table 'ranuss'; did you mean 'ranus'"),
        ("methods", ["Pix2Nxt"], "no row 'Pix2Nxt' in 'ranus'; did you mean 'Pix2Next'"),
    ):
        with pytest.raises(ConfigError, match=text):
            recipe({"a": {"run": "evaluate"}}, expect=[rows | {key: value}])
