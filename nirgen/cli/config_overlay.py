"""Settings from a file or preset, overlaid by `--set` and by options."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nirgen.detect.config import DetectConfig
    from nirgen.train.config import TrainConfig


def read_detect_settings(file: Path | None, changes: Sequence[str], given: Mapping[str, Any]) -> DetectConfig:
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

    values = {} if file is None else _read_yaml(file)
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


def _read_yaml(file: Path) -> dict[str, Any]:
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


def read_train_settings(config: str, changes: list[str], given: dict[str, Any]) -> TrainConfig:
    """The resolved settings: a preset or a file, with changes laid over it."""
    import yaml

    from nirgen.errors import ConfigError
    from nirgen.train.config import PRESETS, TrainConfig

    values: dict[str, Any] = {"preset": config}
    if config not in PRESETS:
        try:
            values = yaml.safe_load(Path(config).read_text(encoding="utf-8")) or {}
        except FileNotFoundError:
            raise ConfigError(f"{config}: no such file, and no preset (there are {', '.join(PRESETS)})") from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"{config}: can't be read as YAML ({' '.join(str(error).split())})") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{config}: holds a {type(values).__name__}; write settings as 'name: value'")
    base = TrainConfig.read(values, where=config).model_dump(mode="json")
    for text in changes:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text}: no value; write it as --set losses.ssim=5")
        if name == "preset":
            raise ConfigError(f"--set {text}: name the preset in CONFIG's place")
        try:
            base = _with_value(base, name, yaml.safe_load(value))
        except yaml.YAMLError:
            raise ConfigError(f"--set {text}: '{value}' is no YAML value") from None
    for name, value in given.items():
        base = _with_value(base, name, value)
    return TrainConfig.read(base, where=config if not changes else f"{config} with --set")


def _with_value(base: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """The settings with one of them exchanged; a number in its dotted name is a position in a list."""
    from nirgen.errors import ConfigError

    result = copy.deepcopy(base)
    inner: Any = result
    *path, last = name.split(".")
    for position, part in enumerate([*path, last]):
        if isinstance(inner, list):
            if not part.isdigit() or int(part) >= len(inner):
                where = ".".join([*path, last][:position])
                raise ConfigError(f"--set {name}: '{where}' has the positions 0 to {len(inner) - 1}")
        elif not isinstance(inner, dict):
            raise ConfigError(f"--set {name}: '{'.'.join([*path, last][:position])}' is a value and has no '{part}'")
        if position < len(path):
            inner = inner[int(part)] if isinstance(inner, list) else inner.setdefault(part, {})
    if isinstance(inner, list):
        inner[int(last)] = value
    else:
        inner[last] = value
    return result
