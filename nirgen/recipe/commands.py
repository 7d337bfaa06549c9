"""Commands that a stage may run: their options, read from the command line, and which of them are inputs or outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from nirgen.errors import ConfigError, nearest

_NOT_IN_RECIPES = {"help", "version", "dry-run", "json", "plan", "apply", "quiet", "redo"}


@dataclass(frozen=True, slots=True)
class Option:
    """An option or an argument of a command.

    Attributes:
        name: The option without its dashes, or the argument's name.
        flags: How the option is written, and how it is written to say no; empty strings for arguments and for none.
        kind: The type of a value, such as `int`; a `Literal` has its choices.
        several: Whether it takes a list.
        smallest: Of numbers.
        largest: Of numbers.
        required: Whether the command can't do without it.
    """

    name: str
    flags: tuple[str, str]
    kind: Any
    several: bool
    smallest: float | None = None
    largest: float | None = None
    required: bool = False

    def texts(self, value: Any, where: str) -> list[str]:
        """A value as the command line takes it.

        Args:
            value: A plain value, or a list of them where the option takes several.
            where: Stands before an error.

        Returns:
            The words behind the flag, one for each time that it is given.

        Raises:
            ConfigError: The value is of the wrong type, none of the choices, or out of range.
        """
        if isinstance(value, list):
            if not self.several:
                raise ConfigError(f"{where}: a list, but '{self.name}' takes one value")
            return [self._text(one, where) for one in value]
        return [self._text(value, where)]

    def _text(self, value: Any, where: str) -> str:
        if get_origin(self.kind) is Literal:
            choices = [str(choice) for choice in get_args(self.kind)]
            if str(value) not in choices:
                raise ConfigError(f"{where}: {value!r} is none of {', '.join(choices)}{nearest(str(value), choices)}")
            return str(value)
        if isinstance(value, (dict, bool)) or value is None:
            raise ConfigError(f"{where}: {value!r} is no {self._expected()}; write one")
        if self.kind in {int, float}:
            if not isinstance(value, int if self.kind is int else (int, float)):
                raise ConfigError(f"{where}: {value!r} is no {self._expected()}; write one")
            if self.smallest is not None and value < self.smallest:
                raise ConfigError(f"{where}: {value} is less than {self.smallest:g}, the smallest that is taken")
            if self.largest is not None and value > self.largest:
                raise ConfigError(f"{where}: {value} is more than {self.largest:g}, the largest that is taken")
        return str(value)

    def _expected(self) -> str:
        return {int: "whole number", float: "number"}.get(self.kind, "text")

    def words(self, value: Any, where: str) -> list[str]:
        """The option with its value as words of the command line; an argument without a flag."""
        if self.kind is bool:
            if not isinstance(value, bool):
                raise ConfigError(f"{where}: {value!r} is neither true nor false; write one of them")
            flag = self.flags[0] if value else self.flags[1]
            return [flag] if flag else []
        texts = self.texts(value, where)
        return texts if not self.flags[0] else [word for text in texts for word in (self.flags[0], text)]


@dataclass(frozen=True, slots=True)
class Command:
    """A command that a stage may run.

    Attributes:
        name: Its words, such as `pairs list`.
        options: By name, in the order of the help.
    """

    name: str
    options: dict[str, Option]

    def option(self, name: str, where: str) -> Option:
        """The option of a name.

        Raises:
            ConfigError: There is none; the nearest is named.
        """
        if name not in self.options:
            raise ConfigError(f"{where}: 'nirgen {self.name}' has no option '{name}'{nearest(name, self.options)}")
        return self.options[name]


def commands_of(tree: Any) -> dict[str, Command]:
    """The commands of a command line, by their words.

    Args:
        tree: What `typer.main.get_command` gives.
    """
    return dict(_walk(tree, ()))


def _walk(command: Any, words: tuple[str, ...]) -> list[tuple[str, Command]]:
    if hasattr(command, "commands"):
        return [found for name, child in command.commands.items() for found in _walk(child, (*words, name))]
    options = [_option(parameter) for parameter in command.params]
    name = " ".join(words)
    return [(name, Command(name, {one.name: one for one in options if one.name not in _NOT_IN_RECIPES}))]


def _option(parameter: Any) -> Option:
    is_argument = parameter.param_type_name == "argument"
    flags = max(parameter.opts, key=len), max(parameter.secondary_opts or [""], key=len)
    kind, several = _kind(getattr(getattr(parameter, "type_descriptor", None), "annotation", str))
    return Option(
        name=parameter.name if is_argument else flags[0].lstrip("-"),
        flags=("", "") if is_argument else flags,
        kind=str if kind is Path else kind,
        several=several or bool(getattr(parameter, "multiple", False)),
        smallest=getattr(parameter, "min", None),
        largest=getattr(parameter, "max", None),
        required=bool(getattr(parameter, "required", False)),
    )


def _kind(annotation: Any) -> tuple[Any, bool]:
    """The type of one value, and whether there may be several."""
    if get_origin(annotation) in {UnionType, Union}:
        return _kind(next(part for part in get_args(annotation) if part is not NoneType))
    if get_origin(annotation) is list:
        return _kind(get_args(annotation)[0])[0], True
    return annotation, False


@dataclass(frozen=True, slots=True)
class Roles:
    """What the options of a command are to a recipe.

    Attributes:
        inputs: Options that name files or folders to read, perhaps with a name in front, `bdd=FOLDER`.
        outputs: Options that name what is written, with the name in the stage's folder where the recipe says none;
            None: not written unless the recipe names it.
        keeps: Who takes up what an earlier attempt left: one with the same `options`, one with the `same` options and
            inputs, or nobody (`never`).
        fixed: What a recipe can't change, since nobody is there to be asked.
        before: Arguments that one variadic argument of the command is made of, in their order.
        instead: The option with which the first of `before` may be left out.
        hubs: Those of `inputs` that may name a model of a hub instead, which looks like a path.
    """

    inputs: tuple[str, ...] = ()
    outputs: dict[str, str | None] = field(default_factory=dict)
    keeps: str = "never"
    fixed: dict[str, Any] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    instead: str = ""
    hubs: tuple[str, ...] = ()


ROLES: dict[str, Roles] = {
    "sample-data": Roles(outputs={"out": "data"}),
    "pairs list": Roles(("root", "rgb", "nir", "index"), {"out": "pairs.csv"}),
    "pairs check": Roles(("listing", "root"), {"out": "check.parquet", "sheet": "worst.png", "clean-list": None}),
    "train": Roles(("config", "pairs", "root"), {"out": "model"}, "same"),
    "evaluate": Roles(("folders", "model", "pairs", "root", "rgb", "weights"), {"out": "judged"}),
    "translate": Roles(
        ("source", "model", "list"),
        {"out": "nir", "preview": None},
        "options",
        before=("source", "out"),
        instead="list",
    ),
    "manifest merge": Roles(("parts", "source"), {"out": "nir"}),
    "labels": Roles(("inputs", "policy", "images"), {"out": "labels.json"}),
    "build-dataset": Roles(
        ("generated", "labels", "sources", "real", "real-labels", "real-pairs", "policy", "curation"),
        {"out": "dataset"},
        fixed={"yes": True},
    ),
    "validate": Roles(("paths", "images", "model")),
    "detect train": Roles(("dataset", "config", "model"), {"run": "detector"}, "same", hubs=("model",)),
    "detect evaluate": Roles(
        ("model", "dataset", "detections"),
        {"out": "judged"},
        before=("model", "dataset"),
        instead="detections",
        hubs=("model",),
    ),
    "detect compare": Roles(("dataset", "config", "model"), {"out": "comparison"}, "same", hubs=("model",)),
    "browse": Roles(("dataset", "sources")),
    "report": Roles(("folder", "sources"), {"out": "report.html"}),
    "export": Roles(("model",), {"output": "model.onnx"}),
    "models import": Roles(("source",), {"target": "model.safetensors"}),
    "models export": Roles(("model",), {"target": "model.pt"}),
    "curation apply": Roles(("dataset", "file")),
    "curation import": Roles(("dataset", "file")),
    "curation export": Roles(("dataset",), {"out": "curation.jsonl"}),
}
