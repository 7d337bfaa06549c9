"""Settings of a detector's training from a file, from `--set` and from options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nirgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nirgen.detect.config import DetectConfig


def read_settings(file: Path | None, changes: Sequence[str], given: Mapping[str, Any]) -> DetectConfig:
    """The resolved settings: a file's, with changes laid over them, and options over these.

    Args:
        file: YAML; None for the defaults.
        changes: Such as `augment.crop=0`.
        given: By name; None where an option wasn't given.

    Raises:
        ConfigError: The file can't be read, a name is unknown, or a value is out of range.
    """
    import yaml

    from nirgen.detect.config import DetectConfig

    values = {} if file is None else _read(file)
    for text in changes:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text}: no value; write it as --set augment.crop=0")
        try:
            _put(values, name, yaml.safe_load(value))
        except yaml.YAMLError:
            raise ConfigError(f"--set {text}: '{value}' is no YAML value") from None
    values |= {name: value for name, value in given.items() if value is not None}
    return DetectConfig.read(values, where="the command line" if file is None else str(file))


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: can't be read as YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{file}: holds a {type(values).__name__}; write settings as 'name: value'")
    return values


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    """Set a value by its dotted name."""
    *path, last = name.split(".")
    for part in path:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {name}: '{part}' is a value and has no '{last}'")
        values = inner
    values[last] = value
