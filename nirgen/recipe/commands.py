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
    """An option or an argument of a command."""

    name: str  # the option without its dashes, or the argument's name
    flags: tuple[str, str]  # the option and its negation; empty for arguments, and where there is no negation
    kind: Any  # the type of one value, such as `int`, or a `Literal` of its choices
    several: bool
    smallest: float | None = None
    largest: float | None = None
    required: bool = False

    def words(self, value: Any, where: str) -> list[str]:
        """Return the option with its value as words of the command line; an argument without a flag.

        Args:
            value: A plain value, or a list of them where the option takes several.
            where: Prefix of errors.

        Raises:
            ConfigError: The value is of the wrong type, none of the choices, or out of range.
        """
        if self.kind is bool:
            if not isinstance(value, bool):
                raise ConfigError(f"{where}: {value!r} is neither true nor false; write one of them")
            flag = self.flags[0] if value else self.flags[1]
            return [flag] if flag else []
        if isinstance(value, list) and not self.several:
            raise ConfigError(f"{where}: a list, but '{self.name}' takes one value")
        texts = [self._text(one, where) for one in (value if isinstance(value, list) else [value])]
        return [word for text in texts for word in (self.flags[0], text)] if self.flags[0] else texts

    def _text(self, value: Any, where: str) -> str:
        if get_origin(self.kind) is Literal:
            choices = [str(choice) for choice in get_args(self.kind)]
            if str(value) not in choices:
                raise ConfigError(f"{where}: {value!r} is none of {', '.join(choices)}{nearest(str(value), choices)}")
            return str(value)
        kinds: dict[Any, tuple[str, Any]] = {int: ("whole number", int), float: ("number", (int, float))}
        wanted, types = kinds.get(self.kind, ("text", object))
        if isinstance(value, (dict, bool)) or value is None or not isinstance(value, types):
            raise ConfigError(f"{where}: {value!r} is no {wanted}; write one")
        if self.smallest is not None and value < self.smallest:
            raise ConfigError(f"{where}: {value} is less than {self.smallest:g}, the smallest that is taken")
        if self.largest is not None and value > self.largest:
            raise ConfigError(f"{where}: {value} is more than {self.largest:g}, the largest that is taken")
        return str(value)


@dataclass(frozen=True, slots=True)
class Command:
    """A command that a stage may run."""

    name: str  # its words, such as `pairs list`
    options: dict[str, Option]  # by name, in the order of the help

    def option(self, name: str, where: str) -> Option:
        """Return the option of a name.

        Raises:
            ConfigError: There is none; the nearest is named.
        """
        if name not in self.options:
            raise ConfigError(f"{where}: 'nirgen {self.name}' has no option '{name}'{nearest(name, self.options)}")
        return self.options[name]


def commands_of(tree: Any, words: tuple[str, ...] = ()) -> dict[str, Command]:
    """Return the commands of a command line by their words.

    Args:
        tree: From `typer.main.get_command`.
        words: Names of the groups that hold `tree`.
    """
    if hasattr(tree, "commands"):
        groups = [commands_of(child, (*words, name)) for name, child in tree.commands.items()]
        return {name: command for group in groups for name, command in group.items()}
    options = [_option(parameter) for parameter in tree.params]
    name = " ".join(words)
    return {name: Command(name, {one.name: one for one in options if one.name not in _NOT_IN_RECIPES})}


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
    """Return the type of one value, and True if the option takes several."""
    if get_origin(annotation) in {UnionType, Union}:
        return _kind(next(part for part in get_args(annotation) if part is not NoneType))
    if get_origin(annotation) is list:
        return _kind(get_args(annotation)[0])[0], True
    return annotation, False


@dataclass(frozen=True, slots=True)
class Roles:
    """Meaning of a command's options for a recipe."""

    inputs: tuple[str, ...] = ()  # options that name files or folders to read, perhaps as `NAME=PATH`
    # Options that name what is written, each with the name that it has by default; None: not written by default.
    outputs: dict[str, str | None] = field(default_factory=dict)
    # A new run resumes in the old one's folder if its `options` are the same, if inputs are the `same` too, or `never`.
    keeps: str = "never"
    fixed: dict[str, Any] = field(default_factory=dict)  # given always, such as answers to questions
    before: tuple[str, ...] = ()  # arguments that the command takes as one variadic argument, in their order
    instead: str = ""  # the option with which the first of `before` may be left out
    hubs: tuple[str, ...] = ()  # those of `inputs` that may also name a model of a hub, which looks like a path


# fmt: off
ROLES: dict[str, Roles] = {
    "sample-data": Roles(outputs={"out": "data"}),
    "pairs list": Roles(("root", "rgb", "nir", "index"), {"out": "pairs.csv"}),
    "pairs check": Roles(("listing", "root"), {"out": "check.parquet", "sheet": "worst.png", "clean-list": None}),
    "train": Roles(("config", "pairs", "root"), {"out": "model"}, "same"),
    "evaluate": Roles(("folders", "model", "pairs", "root", "rgb", "weights"), {"out": "judged"}),
    "translate": Roles(("source", "model", "list"), {"out": "nir", "preview": None}, "options",
                       before=("source", "out"), instead="list"),
    "manifest merge": Roles(("parts", "source"), {"out": "nir"}),
    "labels": Roles(("inputs", "policy", "images"), {"out": "labels.json"}),
    "build-dataset": Roles(
        ("generated", "labels", "sources", "real", "real-labels", "real-pairs", "policy", "curation"),
        {"out": "dataset"}, fixed={"yes": True}),
    "validate": Roles(("paths", "images", "model")),
    "detect train": Roles(("dataset", "config", "model"), {"run": "detector"}, "same", hubs=("model",)),
    "detect evaluate": Roles(("model", "dataset", "detections"), {"out": "judged"},
                             before=("model", "dataset"), instead="detections", hubs=("model",)),
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
# fmt: on
