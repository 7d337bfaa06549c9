"""Base of all configurations: frozen models whose errors name the key and the nearest known one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from nirgen.errors import ConfigError, nearest, one_line
from nirgen.files import read_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


SPLITS = ("train", "val", "test")

OLD_PRECISIONS = BeforeValidator(lambda value: "fp32" if value == "float32" else value)
"""Reads the precision of files that older versions wrote."""


class _Config(ModelMetaclass):
    def __call__(cls: type[BaseModel], *arguments: Any, **values: Any) -> Any:  # type: ignore[misc]  # noqa: N805
        """Raise a ConfigError in the place of pydantic's error; parts of a configuration are not built by this."""
        try:
            return ModelMetaclass.__call__(cls, *arguments, **values)
        except ValidationError as error:
            raise ConfigError(f"{cls.__name__}: {_describe(error, cls)}") from error


class FrozenConfig(BaseModel, metaclass=_Config):
    """Immutable settings; the defaults stand in the subclasses and nowhere else.

    Raises:
        ConfigError: A key is unknown (the nearest known one is named) or a value is out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, values: Mapping[str, Any], *, where: str) -> Self:
        """Build from plain values, such as a YAML file's; `where` is their source, for errors.

        Raises:
            ConfigError: A key is unknown (the nearest known one is named) or a value is out of range.
        """
        try:
            return cls.model_validate(dict(values) if isinstance(values, Mapping) else values)
        except ValidationError as error:
            raise ConfigError(f"{where}: {_describe(error, cls)}") from error

    @classmethod
    def overlay(
        cls, values: Mapping[str, Any], changes: Sequence[str], given: Mapping[str, Any], *, where: str
    ) -> Self:
        """Build from plain values, overlaid by assignments, and these by options, each by its dotted name.

        An assignment is such as `losses.ssim=5`; a number in a name is a position in a list.
        """
        base = cls.read(values, where=where).model_dump(mode="json")
        for name, value in (*(split_assignment(text, "NAME=VALUE") for text in changes), *given.items()):
            _put(base, name, value)
        return cls.read(base, where=f"{where} with --set" if changes else where)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the settings of a YAML file; ConfigError if it can't be read or holds no mapping."""
    try:
        values = parse_yaml(read_bytes(path)) or {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: can't be read as YAML ({one_line(error, 300)})") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: holds a {type(values).__name__}; write settings as 'name: value'")
    return values


_YAML_BYTES, _YAML_VALUES = 1_000_000, 1_000_000


def parse_yaml(text: bytes | str) -> Any:
    """Return the value of a YAML text; ValueError if it is none, or too much: by its length, or by repeated aliases."""
    import yaml

    if len(text) > _YAML_BYTES:
        raise ValueError(f"{len(text)} bytes, and settings have {_YAML_BYTES} at most")
    try:
        value = yaml.safe_load(text)
        count = _count_values(value, {})
    except MemoryError:
        raise
    except Exception as error:  # the parser raises anything at odd numbers, dates and depths
        raise ValueError(str(error)) from error
    if count > _YAML_VALUES:
        raise ValueError("its aliases, written out, are too many values")
    return value


def _count_values(value: Any, counts: dict[int, float]) -> float:
    """Count a value and all inside it, those of aliases each time; inf if it is inside itself."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in counts:
        counts[id(value)] = math.inf
        counts[id(value)] = 1 + sum(
            _count_values(part, counts) for part in (value.values() if isinstance(value, dict) else value)
        )
    return counts[id(value)]


def split_assignment(text: str, form: str) -> tuple[str, Any]:
    """Return name and YAML value of an assignment to `--set`, whose `form` errors name.

    Example:
        >>> split_assignment("crops.flip=false", "NAME=VALUE")
        ('crops.flip', False)
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text}: no value; write it as --set {form}")
    try:
        return name, parse_yaml(value)
    except ValueError:
        raise ConfigError(f"--set {text}: '{value}' is no YAML value") from None


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    """Set a value by its dotted name, in place."""
    inner: Any = values
    parts = name.split(".")
    for position, part in enumerate(parts):
        above = ".".join(parts[:position])
        if isinstance(inner, list):
            if not part.isdigit() or int(part) >= len(inner):
                raise ConfigError(f"--set {name}: '{above}' has the positions 0 to {len(inner) - 1}")
        elif not isinstance(inner, dict):
            raise ConfigError(f"--set {name}: '{above}' is a value and has no '{part}'")
        key: Any = int(part) if isinstance(inner, list) else part
        if position == len(parts) - 1:
            inner[key] = value
        else:
            inner = inner[key] if isinstance(inner, list) else inner.setdefault(part, {})


def differences(old: FrozenConfig, new: FrozenConfig, *, ignored: Collection[str] = ()) -> list[str]:
    """Return the settings that differ, except `ignored`, a line each: `optimizer.learning_rate: 0.001 -> 0.0005`."""
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
    return f"'{path}': {first['msg']} (it is {first['input']!r:.200})"


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Return the field names of the configurations at a path, through tuples and unions."""
    models = [model]
    for part in path:
        kinds = [one.model_fields[part].annotation for one in models if part in one.model_fields]
        if kinds:
            models = [nested for kind in kinds for nested in _models_in(kind)]
        elif isinstance(part, str):  # a dictionary's key, or a union's tag: the default of a field of its member
            tagged = [one for one in models if any(field.default == part for field in one.model_fields.values())]
            models = tagged or models
    return [field.alias or name for one in models for name, field in one.model_fields.items()]


def _models_in(kind: Any) -> list[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [model for part in get_args(kind) for model in _models_in(part)]
