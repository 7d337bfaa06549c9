"""The base of all configuration: frozen models whose errors name the key and the nearest known one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from nirgen.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping


class FrozenConfig(BaseModel):
    """Immutable settings; the defaults stand in the subclasses and nowhere else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, values: Mapping[str, Any], *, where: str) -> Self:
        """Build from plain values, such as a YAML file's.

        Args:
            values: Names and values.
            where: What the values came from, for the error: a file, or "the command line".

        Returns:
            The configuration.

        Raises:
            ConfigError: A key is unknown (the nearest known one is named) or a value is out of range.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigError(f"{where}: {_describe(error, cls)}") from error


def _describe(error: ValidationError, model: type[BaseModel]) -> str:
    """The first problem of a validation error, in one line; a mistyped key explains a missing one, and goes before."""
    problems = error.errors()
    first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, first["loc"][:-1])
        return f"unknown key '{path}'{nearest(str(first['loc'][-1]), known)}"
    if first["type"] == "union_tag_invalid":
        tag, tags = str(first["ctx"]["tag"]), str(first["ctx"]["expected_tags"])
        return f"'{path}': no kind '{tag}'{nearest(tag, tags.replace(chr(39), '').split(', '))} (there are {tags})"
    if first["type"] == "value_error":  # raised by a check of ours, whose text says it all
        text = first["msg"].removeprefix("Value error, ")
        return f"'{path}': {text}" if path else text
    return f"'{path}': {first['msg']} (it is {first['input']!r})"


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The field names of the configurations nested at a path, which goes through tuples and unions too."""
    models = [model]
    for part in path:
        kinds = [one.model_fields[part].annotation for one in models if part in one.model_fields]
        if kinds:
            models = [nested for kind in kinds for nested in _models_in(kind)]
        elif isinstance(part, str):  # a union's tag, which is the default of a field of its member
            models = [one for one in models if any(field.default == part for field in one.model_fields.values())]
    return [name for one in models for name in one.model_fields]


def _models_in(kind: Any) -> list[type[BaseModel]]:
    """The configurations that a type is, or is composed of."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [model for part in get_args(kind) for model in _models_in(part)]
