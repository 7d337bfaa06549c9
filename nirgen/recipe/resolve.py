"""From a recipe to command lines: references followed, options checked, stages in the order of their needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen.errors import ConfigError, nearest
from nirgen.recipe.commands import ROLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nirgen.recipe.commands import Commands
    from nirgen.recipe.recipe import Recipe


_REFERENCE = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage that can run."""

    name: str
    command: str  # its words, such as `pairs list`
    words: tuple[str, ...]  # the command line after `nirgen`
    options: dict[str, Any]  # of the recipe, references unresolved, and the fixed ones of the command's `Roles`
    inputs: dict[str, Path]  # to read, written by no stage; by their text in `options`
    outputs: dict[str, Path]  # to write, by option
    needs: tuple[str, ...]  # names of the stages whose results it reads, sorted
    folder: Path  # for its outputs alone
    keeps: str  # see `Roles`
    partial: bool  # exit code 3 does not stop the run


def resolve(recipe: Recipe, commands: Commands, out: Path, data: Mapping[str, Path]) -> list[Stage]:
    """Check a recipe and return its stages, each after those that it needs, else in the order of the file.

    `out` is the run folder, `data` has the paths of the recipe's data.

    Raises:
        ConfigError: A command, option, root or reference is unknown, a value is wrong, an input is missing, or stages
            need each other.
    """
    for name in data:
        if name not in recipe.data:
            raise ConfigError(f"--data {name}: {recipe.name} has no such data{nearest(name, recipe.data)}")
    for name, root in recipe.data.items():
        if name not in data:
            raise ConfigError(f"{recipe.name}: its data '{name}' ({root.about}) isn't given; say --data {name}=PATH")
    outputs = {name: _outputs(recipe, name, commands, out) for name in recipe.stages}
    paths = {f"data.{name}": path for name, path in data.items()}
    paths |= {f"{name}.{option}": path for name, written in outputs.items() for option, path in written.items()}
    stages = {
        name: _stage(recipe, name, commands, out / "stages" / name, outputs[name], paths=paths)
        for name in recipe.stages
    }
    try:
        TopologicalSorter({name: stage.needs for name, stage in stages.items()}).prepare()
    except CycleError as error:
        raise ConfigError(f"{recipe.name}: stages need each other: {' -> '.join(reversed(error.args[1]))}") from None
    for stage in stages.values():
        for text, path in stage.inputs.items():
            if not path.exists():
                remote = "recipes read local files; copy it to a folder first"
                why = remote if "://" in text else "no such file or folder"
                raise ConfigError(f"{recipe.name}: stage '{stage.name}': {path}: {why} ({text})")
    order: list[Stage] = []
    while stages:
        done = {stage.name for stage in order}
        order.append(stages.pop(next(name for name, stage in stages.items() if done.issuperset(stage.needs))))
    return order


def _outputs(recipe: Recipe, name: str, commands: Commands, out: Path) -> dict[str, Path]:
    run, options = recipe.stages[name].run, recipe.stages[name].options
    where = f"{recipe.name}: stage '{name}'"
    if run not in commands:
        raise ConfigError(f"{where}: no command '{run}'{nearest(run, commands)}")
    if run not in ROLES:
        raise ConfigError(f"{where}: '{run}' can't be a stage{nearest(run, ROLES)} (there are {', '.join(ROLES)})")
    result = {}
    for option, default in ROLES[run].outputs.items():
        value = options.get(option, default)
        if value is None or not (option in commands[run] or option in ROLES[run].before):
            continue
        if not isinstance(value, str) or "${" in value or Path(value).is_absolute() or ".." in Path(value).parts:
            raise ConfigError(f"{where}: {option}: {value!r} must be a name in the stage's own folder")
        result[option] = out / "stages" / name / value
    return result


def _stage(
    recipe: Recipe, name: str, commands: Commands, folder: Path, outputs: dict[str, Path], *, paths: Mapping[str, Path]
) -> Stage:
    """Return a stage that writes `outputs`; it may refer to `paths`, by `data.NAME` or `STAGE.OPTION`."""
    config, where = recipe.stages[name], f"{recipe.name}: stage '{name}'"
    command, roles = commands[config.run], ROLES[config.run]
    for option in config.options:
        if option in roles.fixed:
            raise ConfigError(f"{where}: '{option}' is not for recipes; leave it out")
        if roles.before and option == "paths":
            raise ConfigError(f"{where}: write '{roles.before[0]}' in place of '{option}'")
        if option not in roles.before and option not in command:
            raise ConfigError(f"{where}: 'nirgen {config.run}' has no option '{option}'{nearest(option, command)}")
    given = {**config.options, **roles.fixed}
    texts = {option: str(path) for option, path in outputs.items()}
    values = {option: _resolved(value, paths, where) for option, value in given.items()} | texts
    words: list[str] = []
    arguments: dict[str, list[str]] = {}
    for option in [*given, *sorted(texts.keys() - given.keys())]:
        spec = command.get(option)
        own = [str(values[option])] if spec is None else spec.words(values[option], f"{where}: {option}")
        if spec is not None and spec.flags[0]:
            words += own
        else:
            arguments[option] = own
    order = roles.before or [option for option, spec in command.items() if not spec.flags[0]]
    needed = roles.before or [option for option, spec in command.items() if spec.required]
    missing = [option for option in needed if option not in values]
    if missing and not (missing == list(roles.before[:1]) and roles.instead in given):
        raise ConfigError(f"{where}: '{missing[0]}' is missing; 'nirgen {config.run}' needs it")
    inputs: dict[str, Path] = {}
    for option in (option for option in given if option in roles.inputs):
        listed = given[option] if isinstance(given[option], list) else [given[option]]
        for part in (part for text in listed for part in _parts(text, labelled=option in roles.labelled)):
            inputs |= _input(part, _resolved(part, paths, where), hub=option in roles.hubs)
    needs = {reference.partition(".")[0] for reference in _REFERENCE.findall(str(given))} - {"data"}
    return Stage(
        name=name,
        command=config.run,
        words=(*config.run.split(), *words, *(word for option in order for word in arguments.get(option, []))),
        options=given,
        inputs=inputs,
        outputs=outputs,
        needs=tuple(sorted(needs)),
        folder=folder,
        keeps=roles.keeps,
        partial=config.allow == "partial",
    )


def _resolved(value: Any, paths: Mapping[str, Path], where: str) -> Any:
    """Return a value with its references replaced by paths."""
    if isinstance(value, list):
        return [_resolved(one, paths, where) for one in value]
    if not isinstance(value, str):
        return value
    for name in _REFERENCE.findall(value):
        if name not in paths:
            there = f"{nearest(name, paths)} (there are {', '.join(paths) or 'none'})"
            raise ConfigError(f"{where}: ${{{name}}}: no such data or output{there}")
    return _REFERENCE.sub(lambda match: str(paths[match[1]]), value)


def _parts(text: Any, *, labelled: bool) -> list[Any]:
    """Return a value of an option, or both parts of a folder with its labels."""
    folder, colon, labels = text.rpartition(":") if labelled and isinstance(text, str) else ("", "", "")
    return [folder, labels] if colon and not labels.startswith("//") else [text]


def _input(text: Any, full: Any, *, hub: bool) -> dict[str, Path]:
    """Return the path that an option names and no stage writes, by its text in the recipe; empty if it names none.

    With `hub`, a path that does not exist may be the name of a model of a hub.
    """
    if not isinstance(full, str) or not all(name.startswith("data.") for name in _REFERENCE.findall(text)):
        return {}
    before, equals, behind = full.partition("=")
    path = Path(behind if equals and "/" not in before else full)
    like_a_path = not hub and ("/" in text or path.suffix)
    # else a name, such as a preset's
    return {text: path} if "${data." in text or like_a_path or path.exists() else {}
