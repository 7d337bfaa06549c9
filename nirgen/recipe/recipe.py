"""Recipe files, and the table of all recipes in `pipelines/README.md`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import yaml
from pydantic import Field

from nirgen.config import FrozenConfig, split_assignment
from nirgen.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


class DataRoot(FrozenConfig):
    """A file or folder that the user gives."""

    about: str
    get: str = ""
    """Where one gets it."""
    licence: str = ""


class StageConfig(FrozenConfig):
    """One command with its options."""

    run: str
    options: dict[str, Any] = Field(default_factory=dict, alias="with")
    allow: Literal["nothing", "partial"] = "nothing"
    """`partial`: go on where the command has done a part only (exit code 3)."""


class Expectation(FrozenConfig):
    """A number that should come out."""

    what: str
    value: float | None = None
    """Of the paper, or what is right by construction; nothing where nobody knows."""
    tolerance: float | None = Field(None, ge=0)
    """How far a measured number may lie from it and still agree."""
    source: str = ""
    """Where the value is from, such as `Table 2, Pix2Next`."""
    file: str | None = None
    """Where the measured number is, such as `${judge.out}/summary.json`."""
    at: str = ""
    """Its place in the file: keys with dots between; `name=x` picks the entry of a list whose `name` is x."""
    measured: str = "not measured"
    """What somebody measured, on which machine and when."""


class Recipe(FrozenConfig):
    """Stages from data that the user has to a result."""

    name: str
    about: str
    table: str = ""
    """The table of the paper that it repeats."""
    cost: str = "not measured"
    """In GPU hours; an estimate says so."""
    data: dict[str, DataRoot] = Field(default_factory=dict)
    stages: dict[str, StageConfig] = Field(min_length=1)
    expect: tuple[Expectation, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a recipe.

        Args:
            path: The YAML file, named as the recipe.

        Raises:
            ConfigError: It isn't there, is no YAML, has an unknown key, or another name than the file.
        """
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: can't be read ({error.strerror}); name a recipe's file") from None
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"{path}: can't be read as YAML ({' '.join(str(error).split())})") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: holds a {type(values).__name__}; write a recipe as 'name: value'")
        _check_keys(values.get("stages"), ("run", "with", "allow"), f"{path}: unknown key 'stages.")
        _check_keys(values.get("data"), DataRoot.model_fields, f"{path}: unknown key 'data.")
        recipe = cls.read(values, where=str(path))
        bad = next((name for name in (*recipe.stages, *recipe.data) if not name.replace("-", "").isalnum()), None)
        if bad is not None or "data" in recipe.stages:
            raise ConfigError(f"{path}: no stage or root can be called {bad or 'data'!r}; use letters, digits and '-'")
        return recipe


def _check_keys(entries: Any, known: Iterable[str], before: str) -> None:
    """Refuse an unknown key of a named entry, with the nearest known one."""
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        for key in entry if isinstance(entry, dict) else ():
            if key not in known:
                raise ConfigError(f"{before}{name}.{key}'{nearest(str(key), known)}")


def changed(recipe: Recipe, changes: list[str]) -> Recipe:
    """A recipe with options of stages exchanged.

    Args:
        recipe: The recipe.
        changes: Texts such as `train.seed=1`.

    Raises:
        ConfigError: A text isn't of that form, or there is no such stage.
    """
    stages = dict(recipe.stages)
    for text in changes:
        name, value = split_assignment(text, "STAGE.OPTION=VALUE")
        stage, dot, option = name.partition(".")
        if not dot:
            raise ConfigError(f"--set {text}: write it as --set STAGE.OPTION=VALUE")
        if stage not in stages:
            raise ConfigError(f"--set {text}: no stage '{stage}' (there are {', '.join(stages)})")
        options = {**stages[stage].options, option: value}
        stages[stage] = stages[stage].model_copy(update={"options": options})
    return recipe.model_copy(update={"stages": stages})


_INTRODUCTION = """\
# Recipes

A recipe is a list of nirgen commands from data that you have to a result that you want. It is carried out by
`nirgen run pipelines/NAME.yaml`, with `--data NAME=PATH` for each of its data; [docs/recipes.md](../docs/recipes.md)
says how to write one. This page is generated from the recipes by `make recipes`.
"""


def render_table(recipes: Sequence[Recipe]) -> str:
    """The page of some recipes, in their order.

    Args:
        recipes: All that there are.
    """
    lines = [_INTRODUCTION, "| recipe | of the paper | data | GPU hours | expected and measured |", "| " + "--- | " * 5]
    lines[-1] = lines[-1].rstrip()
    lines += [
        f"| [{one.name}]({one.name}.yaml) | {one.table or '-'} | {', '.join(one.data) or 'makes its own'} | {one.cost} "
        f"| {_measured_count(one)} |"
        for one in recipes
    ]
    for one in recipes:
        lines += ["", f"## {one.name}", "", one.about]
        if one.data:
            lines += ["", "| data | what | where to get it | licence |", "| --- | --- | --- | --- |"]
            lines += [f"| {name} | {root.about} | {root.get} | {root.licence} |" for name, root in one.data.items()]
        if one.expect:
            lines += ["", "| number | expected | measured |", "| --- | --- | --- |"]
            lines += [
                f"| {item.what}{f' ({item.source})' if item.source else ''} "
                f"| {'nothing known' if item.value is None else f'{item.value:g}'} | {item.measured} |"
                for item in one.expect
            ]
    return "\n".join([*lines, ""])


def _measured_count(recipe: Recipe) -> str:
    known = sum(item.measured != NOT_MEASURED for item in recipe.expect)
    return f"{len(recipe.expect)} expected, {known or 'none'} measured"


NOT_MEASURED = "not measured"
