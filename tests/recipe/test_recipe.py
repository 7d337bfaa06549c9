"""Recipes in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nirgen.errors import ConfigError
from nirgen.recipe.recipe import Recipe, changed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
