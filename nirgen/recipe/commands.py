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
    smallest: float | None
    largest: float | None
    required: bool

    def words(self, value: Any, where: str) -> list[str]:
        """Return the option with a plain value, or a list of them, as words of the command line.

        Raises:
            ConfigError: The value is of the wrong type, none of the choices, or out of range; `where` precedes it.
        """
        if self.kind is bool:
            if not isinstance(value, bool):
                raise ConfigError(f"{where}: {value!r} is neither true nor false; write one of them")
            flag = self.flags[0 if value else 1]
            return [flag] if flag else []
        if isinstance(value, list) and not self.several:
            raise ConfigError(f"{where}: a list, but '{self.name}' takes one value")
        before = [self.flags[0]] if self.flags[0] else []
        values = value if isinstance(value, list) else [value]
        return [word for one in values for word in (*before, self._text(one, where))]

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


Commands = dict[str, dict[str, Option]]
"""Options by name, in the order of the help, by the words of the command, such as `pairs list`."""


def commands_of(tree: Any, words: tuple[str, ...] = ()) -> Commands:
    """Return the commands below `tree`, from `typer.main.get_command`; `words` are the groups that hold it."""
    if hasattr(tree, "commands"):
        groups = [commands_of(child, (*words, name)) for name, child in tree.commands.items()]
        return {name: options for group in groups for name, options in group.items()}
    options = [_option(parameter) for parameter in tree.params]
    return {" ".join(words): {one.name: one for one in options if one.name not in _NOT_IN_RECIPES}}


def _option(parameter: Any) -> Option:
    is_argument = parameter.param_type_name == "argument"
    flags = max(parameter.opts, key=len), max(parameter.secondary_opts or [""], key=len)
    kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", str)
    if get_origin(kind) in {UnionType, Union}:
        kind = next(part for part in get_args(kind) if part is not NoneType)
    several = get_origin(kind) is list
    kind = get_args(kind)[0] if several else kind
    return Option(
        name=parameter.name if is_argument else flags[0].lstrip("-"),
        flags=("", "") if is_argument else flags,
        kind=str if kind is Path else kind,
        several=several or bool(getattr(parameter, "multiple", False)),
        smallest=getattr(parameter, "min", None),
        largest=getattr(parameter, "max", None),
        required=bool(getattr(parameter, "required", False)),
    )


@dataclass(frozen=True, slots=True)
class Roles:
    """Meaning of a command's options for a recipe."""

    inputs: tuple[str, ...] = ()  # options that name files or folders to read, perhaps as `NAME=PATH`
    # Options that name what is written, each with the name that it has by default; None: not written by default. The
    # first is written whenever the command ends well.
    outputs: dict[str, str | None] = field(default_factory=dict)
    # A new run resumes in the old one's folder if its `options` are the same, if inputs are the `same` too, or `never`.
    keeps: str = "never"
    fixed: dict[str, Any] = field(default_factory=dict)  # given always, such as answers to questions
    before: tuple[str, ...] = ()  # arguments that the command takes as one variadic argument, in their order
    instead: str = ""  # the option with which the first of `before` may be left out
    labelled: tuple[str, ...] = ()  # those of `inputs` that may name a folder and its labels, `NAME=DIR:LABELS`
    hubs: tuple[str, ...] = ()  # those of `inputs` that may also name a model of a hub, which looks like a path


# fmt: off
ROLES: dict[str, Roles] = {
    "sample-data": Roles((), {"out": "data"}),
    "pairs list": Roles(("root", "rgb", "nir", "index"), {"out": "pairs.csv"}),
    "pairs check": Roles(("listing", "root"), {"out": "check.parquet", "sheet": "worst.png", "clean-list": None}),
    "train": Roles(("config", "pairs", "root"), {"out": "model"}, "same"),
    "adapt": Roles(("model", "pairs", "root", "photos", "masks"), {"out": "adapted"}, "same"),
    "evaluate": Roles(("folders", "model", "pairs", "root", "rgb", "weights"), {"out": "judged"}),
    "translate": Roles(("source", "model", "list"), {"out": "nir", "preview": None}, "options",
                       before=("source", "out"), instead="list"),
    "manifest merge": Roles(("parts", "source"), {"out": "nir"}),
    "labels": Roles(("inputs", "policy", "images"), {"out": "labels.json"}),
    "build-dataset": Roles(
        ("paths", "generated", "labels", "sources", "real", "real-labels", "real-pairs", "policy", "curation"),
        {"out": "dataset"}, labelled=("generated", "real"), fixed={"yes": True}),
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
