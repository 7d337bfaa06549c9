"""The base of all configuration: frozen models whose errors name the key and the nearest known one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

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
    """The first problem of a validation error, in one line."""
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, first["loc"][:-1])
        return f"unknown key '{path}'{nearest(str(first['loc'][-1]), known)}"
    if first["type"] == "value_error":  # raised by a check of ours, whose text says it all
        text = first["msg"].removeprefix("Value error, ")
        return f"'{path}': {text}" if path else text
    return f"'{path}': {first['msg']} (it is {first['input']!r})"


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The field names of the configuration nested at a path."""
    for part in path:
        field = model.model_fields.get(str(part))
        kind = field.annotation if field is not None else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return []
        model = kind
    return list(model.model_fields)
