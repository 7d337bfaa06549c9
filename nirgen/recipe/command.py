"""What commands there are and which options they take, read from the command line's own definition."""

from __future__ import annotations

from dataclasses import dataclass
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
