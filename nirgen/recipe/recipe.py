"""Recipe files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator

from nirgen.config import FrozenConfig, read_yaml, split_assignment
from nirgen.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

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


class PublishedRows(FrozenConfig):
    """Expected numbers: the rows of a table of the paper, for methods of an evaluation."""

    published: str  # key of `nirgen.evaluate.measures.TABLES`
    methods: tuple[str, ...]  # rows of the table, whose names the evaluation's methods have
    file: str  # summary of the evaluation

    def expectations(self) -> Iterator[dict[str, Any]]:
        """Yield the values of an `Expectation` for each number; ValueError for an unknown table or row."""
        from nirgen.evaluate.measures import MEASURES, TABLES

        if self.published not in TABLES:
            raise ValueError(f"no table '{self.published}'{nearest(self.published, TABLES)}")
        table = TABLES[self.published]
        for method in self.methods:
            if method not in table.rows:
                raise ValueError(f"no row '{method}' in '{self.published}'{nearest(method, table.rows)}")
            for measure, value in table.rows[method].items():
                yield {
                    "what": f"{MEASURES[measure].title} of {method}",
                    "value": value,
                    "source": table.title,
                    "file": self.file,
                    "at": f"subsets.name=all.methods.method={method}.estimates.{measure}.value",
                }


class Demo(FrozenConfig):
    """Changes that let a recipe run on made images, in minutes of two processor cores; its numbers mean nothing."""

    data: dict[str, str]  # the part of the folder of `nirgen sample-data` that stands for each of the recipe's data
    options: dict[str, dict[str, Any]] = Field(default_factory=dict, alias="with")  # options by stage
    train: tuple[str, ...] = ()  # settings of all stages that train, before a stage's own


class Recipe(FrozenConfig):
    """Stages from data that the user has to a result."""

    name: str
    about: str
    table: str = ""  # of the paper, that it reproduces
    cost: str = NOT_MEASURED  # GPU hours; an estimate says so
    data: dict[str, DataRoot] = Field(default_factory=dict)
    stages: dict[str, StageConfig] = Field(min_length=1)
    expect: tuple[Expectation, ...] = ()
    demo: Demo | None = None

    @field_validator("expect", mode="before")
    @classmethod
    def _with_published(cls, values: Any) -> Any:
        """Replace each of `PublishedRows` by its numbers."""
        found: list[Any] = []
        for each in values if isinstance(values, list) else ():
            is_table = isinstance(each, dict) and "published" in each
            found += PublishedRows.model_validate(each).expectations() if is_table else [each]
        return found if isinstance(values, list) else values

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


_SAMPLE = "sample"  # the stage that makes a demo's data


def demo_of(recipe: Recipe) -> Recipe:
    """Return the recipe at its demo size, which makes its own data.

    Raises:
        ConfigError: The recipe has no such size.
    """
    demo = recipe.demo
    if demo is None:
        raise ConfigError(
            f"{recipe.name}: has no demo size" + ("" if recipe.data else "; it makes its own data as it is")
        )
    stages = {_SAMPLE: StageConfig.model_validate({"run": "sample-data", "with": {"frames": 4}})}
    for name, stage in recipe.stages.items():
        changes = dict(demo.options.get(name, {}))
        if stage.run == "train":
            settings = [*stage.options.get("set", ()), *demo.train, *changes.get("set", ())]
            changes |= {"set": settings, "device": "cpu"}
        options = {key: _made(value, demo.data) for key, value in (stage.options | changes).items()}
        stages[name] = stage.model_copy(
            update={"options": {key: value for key, value in options.items() if value is not None}}
        )
    return recipe.model_copy(update={"name": f"{recipe.name}-demo", "data": {}, "stages": stages, "expect": ()})


def _made(value: Any, parts: dict[str, str]) -> Any:
    """Return an option's value with the made data in the place of the user's."""
    if isinstance(value, list):
        return [_made(each, parts) for each in value]
    for name, part in parts.items() if isinstance(value, str) else ():
        value = value.replace(f"${{data.{name}}}", f"${{{_SAMPLE}.out}}/{part}")
    return value


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
