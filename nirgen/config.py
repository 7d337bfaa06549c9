"""Base of all configurations: frozen models whose errors name the key and the nearest known one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from nirgen.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


OLD_PRECISIONS = BeforeValidator(lambda value: "fp32" if value == "float32" else value)
"""Reads the precision of files that older versions wrote."""


class FrozenConfig(BaseModel):
    """Immutable settings; the defaults stand in the subclasses and nowhere else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, values: Mapping[str, Any], *, where: str) -> Self:
        """Build from plain values, such as a YAML file's.

        Args:
            values: Names and values.
            where: Source of the values, for the error: a file, or "the command line".

        Raises:
            ConfigError: A key is unknown (the nearest known one is named) or a value is out of range.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigError(f"{where}: {_describe(error, cls)}") from error


def differences(old: FrozenConfig, new: FrozenConfig, *, ignored: Collection[str] = ()) -> list[str]:
    """Return the settings that differ, a line each: `optimizer.learning_rate: 0.001 -> 0.0005`.

    Args:
        old: A configuration.
        new: Another one of the same class.
        ignored: Dotted names of settings that may differ.
    """
    before, after = flat(old.model_dump(mode="json")), flat(new.model_dump(mode="json"))
    changed = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    return [f"{name}: {before.get(name)} -> {after.get(name)}" for name in changed if name not in ignored]


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested plain values by their dotted names.

    Example:
        >>> flat({"steps": 2, "stages": [{"size": 64}]})
        {'steps': 2, 'stages.0.size': 64}
    """
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    found = {name: leaf for key, value in items for name, leaf in flat(value, f"{prefix}{key}.").items()}
    return found or {prefix.rstrip("."): values}


def _describe(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first problem in one line; an unknown key precedes a missing one, which it may explain."""
    problems = error.errors()
    first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, first["loc"][:-1])
        return f"unknown key '{path}'{nearest(str(first['loc'][-1]), known)}"
    if first["type"] == "union_tag_invalid":
        tag, tags = str(first["ctx"]["tag"]), str(first["ctx"]["expected_tags"])
        return f"'{path}': no kind '{tag}'{nearest(tag, tags.replace(chr(39), '').split(', '))} (there are {tags})"
    if first["type"] == "value_error":  # raised by a validator of nirgen
        text = first["msg"].removeprefix("Value error, ")
        return f"'{path}': {text}" if path else text
    return f"'{path}': {first['msg']} (it is {first['input']!r})"


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Return the field names of the configurations at a path, through tuples and unions."""
    models = [model]
    for part in path:
        kinds = [one.model_fields[part].annotation for one in models if part in one.model_fields]
        if kinds:
            models = [nested for kind in kinds for nested in _models_in(kind)]
        elif isinstance(part, str):  # a union's tag, which is the default of a field of its member
            models = [one for one in models if any(field.default == part for field in one.model_fields.values())]
    return [name for one in models for name in one.model_fields]


def _models_in(kind: Any) -> list[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [model for part in get_args(kind) for model in _models_in(part)]
