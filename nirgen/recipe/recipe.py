"""Recipe files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from nirgen.config import FrozenConfig, read_yaml, split_assignment
from nirgen.errors import ConfigError, nearest

NOT_MEASURED = "not measured"


class DataRoot(FrozenConfig):
    """A file or folder that the user gives."""

    about: str
    get: str = ""  # where to get it
    licence: str = ""


class StageConfig(FrozenConfig):
    """One command with its options."""

    run: str
    options: dict[str, Any] = Field(default_factory=dict, alias="with")
    allow: Literal["nothing", "partial"] = "nothing"  # partial: exit code 3 does not stop the run


class Expectation(FrozenConfig):
    """A number that should come out."""

    what: str
    value: float | None = None  # of the paper, or correct by construction; None if unknown
    tolerance: float | None = Field(None, ge=0)  # largest distance of a measured number that agrees
    source: str = ""  # of the value, such as `Table 2, Pix2Next`
    file: str | None = None  # that holds the measured number, such as `${judge.out}/summary.json`
    at: str = ""  # its place in the file: keys joined by dots; `name=x` picks the entry of a list whose `name` is x
    measured: str = NOT_MEASURED  # by the project, on which machine and when


class Recipe(FrozenConfig):
    """Stages from data that the user has to a result."""

    name: str
    about: str
    table: str = ""  # of the paper, that it reproduces
    cost: str = NOT_MEASURED  # GPU hours; an estimate says so
    data: dict[str, DataRoot] = Field(default_factory=dict)
    stages: dict[str, StageConfig] = Field(min_length=1)
    expect: tuple[Expectation, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a recipe from a YAML file.

        Raises:
            ConfigError: The file can't be read, is no YAML, or has an unknown key or an unusable name.
        """
        recipe = cls.read(read_yaml(path), where=str(path))
        bad = next((name for name in (*recipe.stages, *recipe.data) if not name.replace("-", "").isalnum()), None)
        if bad is not None or "data" in recipe.stages:
            raise ConfigError(f"{path}: no stage or root can be called {bad or 'data'!r}; use letters, digits and '-'")
        return recipe


def built_in() -> dict[str, Path]:
    """Return the files of the package's recipes by name, sorted."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml"))}


def find_recipe(name: str) -> Path:
    """Return the file of a recipe, given by its path, or by its name if it is one of the package.

    Raises:
        ConfigError: There is neither.
    """
    path, known = Path(name), built_in()
    if path.is_file() or (name not in known and path.exists()):
        return path
    if name not in known:
        there = f"{nearest(path.stem, known)} (there are {', '.join(known)})"
        raise ConfigError(f"{name}: no such file, and no recipe of the package{there}")
    return known[name]


def changed(recipe: Recipe, changes: list[str]) -> Recipe:
    """Return the recipe with other options of stages, from texts such as `train.seed=1`.

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
