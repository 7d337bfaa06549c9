"""From a recipe to command lines: references followed, options checked, stages in the order of their needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen.errors import ConfigError, nearest
from nirgen.recipe.commands import ROLES, Roles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nirgen.recipe.commands import Command
    from nirgen.recipe.recipe import Recipe


_REFERENCE = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage that could start.

    Attributes:
        name: Of the stage.
        command: Its words, such as `pairs list`.
        words: The command line behind `nirgen`.
        options: The options as the recipe has them, references unresolved; with those that are always given.
        inputs: Files and folders to read that no stage writes, by the text that names them in `options`.
        outputs: Files and folders to write, by option.
        needs: Stages whose results it reads, sorted.
        folder: The stage's own folder.
        keeps: See `Roles`.
        partial: Whether exit code 3 lets the recipe go on.
    """

    name: str
    command: str
    words: tuple[str, ...]
    options: dict[str, Any]
    inputs: dict[str, Path]
    outputs: dict[str, Path]
    needs: tuple[str, ...]
    folder: Path
    keeps: str
    partial: bool


def resolve(
    recipe: Recipe, commands: Mapping[str, Command], out: Path, data: Mapping[str, Path], *, look: bool = True
) -> list[Stage]:
    """Check a recipe and resolve it.

    Args:
        recipe: The recipe.
        commands: The commands that there are.
        out: The folder of the run.
        data: The roots that the user gives.
        look: Whether inputs must be there.

    Returns:
        The stages, each behind those that it needs, else in the order of the file.

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
    stages = {name: _stage(recipe, name, commands, out, data, outputs) for name in recipe.stages}
    graph = {name: stage.needs for name, stage in stages.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise ConfigError(f"{recipe.name}: stages need each other: {' -> '.join(reversed(error.args[1]))}") from None
    if look:
        for stage in stages.values():
            for text, path in stage.inputs.items():
                if not path.exists():
                    why = (
                        "recipes read local files; copy it to a folder first"
                        if "://" in text
                        else "no such file or folder"
                    )
                    raise ConfigError(f"{recipe.name}: stage '{stage.name}': {path}: {why} ({text})")
    return _ordered(stages)


def _ordered(stages: dict[str, Stage]) -> list[Stage]:
    """Each behind those that it needs, else as they are."""
    order: list[Stage] = []
    left = dict(stages)
    while left:
        done = {stage.name for stage in order}
        order.append(left.pop(next(name for name, stage in left.items() if done.issuperset(stage.needs))))
    return order


def _outputs(recipe: Recipe, name: str, commands: Mapping[str, Command], out: Path) -> dict[str, Path]:
    run, options = recipe.stages[name].run, recipe.stages[name].options
    where = f"{recipe.name}: stage '{name}'"
    if run not in commands:
        raise ConfigError(f"{where}: no command '{run}'{nearest(run, commands)}")
    if run not in ROLES:
        raise ConfigError(f"{where}: '{run}' can't be a stage{nearest(run, ROLES)} (there are {', '.join(ROLES)})")
    result = {}
    for option, default in ROLES[run].outputs.items():
        if option in commands[run].options or option in ROLES[run].before:
            value = options.get(option, default)
            if value is None:
                continue
            if not isinstance(value, str) or "${" in value or Path(value).is_absolute() or ".." in Path(value).parts:
                raise ConfigError(f"{where}: {option}: {value!r} must be a name in the stage's own folder")
            result[option] = out / "stages" / name / value
    return result


def _stage(  # noqa: PLR0917 - what a recipe is resolved against
    recipe: Recipe,
    name: str,
    commands: Mapping[str, Command],
    out: Path,
    data: Mapping[str, Path],
    outputs: Mapping[str, Mapping[str, Path]],
) -> Stage:
    config = recipe.stages[name]
    command, roles = commands[config.run], ROLES[config.run]
    where = f"{recipe.name}: stage '{name}'"
    given = _given(config.options, command, roles, where)
    names = _Names(recipe, data, outputs, where)
    words: list[str] = []
    arguments: dict[str, list[str]] = {}
    inputs: dict[str, Path] = {}
    for option, value in given.items():
        resolved = str(outputs[name][option]) if option in outputs[name] else names.resolved(value)
        if option in roles.inputs:
            inputs |= _inputs(value, resolved, names, hub=option in roles.hubs)
        spec = command.options.get(option)
        if spec is None:
            arguments[option] = [str(resolved)]
        elif spec.flags[0]:
            words += spec.words(resolved, f"{where}: {option}")
        else:
            arguments[option] = spec.words(resolved, f"{where}: {option}")
    for output in outputs[name].keys() - given.keys():
        spec = command.options.get(output)
        text = str(outputs[name][output])
        if spec is not None and spec.flags[0]:
            words += [spec.flags[0], text]
        else:
            arguments[output] = [text]
    order = roles.before or [option for option, spec in command.options.items() if not spec.flags[0]]
    there = given.keys() | outputs[name].keys()
    missing = [option for option in roles.before if option not in there] or [
        option for option, spec in command.options.items() if spec.required and option not in there and not roles.before
    ]
    if missing and not (missing == list(roles.before[:1]) and roles.instead in given):
        raise ConfigError(f"{where}: '{missing[0]}' is missing; 'nirgen {config.run}' needs it")
    return Stage(
        name=name,
        command=config.run,
        words=(*config.run.split(), *words, *(word for option in order for word in arguments.get(option, []))),
        options=given,
        inputs=inputs,
        outputs=dict(outputs[name]),
        needs=tuple(sorted(names.needs)),
        folder=out / "stages" / name,
        keeps=roles.keeps,
        partial=config.allow == "partial",
    )


def _given(options: Mapping[str, Any], command: Command, roles: Roles, where: str) -> dict[str, Any]:
    """The options of a stage with the fixed ones, known by their names."""
    for option in options:
        if option in roles.fixed:
            raise ConfigError(f"{where}: '{option}' is not for recipes; leave it out")
        if option not in roles.before:
            split = {} if not roles.before else {one: command.options[one] for one in command.options if one == "paths"}
            if option in split:
                raise ConfigError(f"{where}: write '{roles.before[0]}' in place of '{option}'")
            command.option(option, where)
    return {**options, **roles.fixed}


def _inputs(value: Any, resolved: Any, names: _Names, *, hub: bool) -> dict[str, Path]:
    """What a value names that is there before the recipe starts, by its text in the recipe.

    Args:
        value: As the recipe has it.
        resolved: With references followed.
        names: What references stand for.
        hub: Whether a path that isn't there may be the name of a model of a hub.
    """
    found = {}
    texts = value if isinstance(value, list) else [value]
    paths = resolved if isinstance(resolved, list) else [resolved]
    for text, full in zip(texts, paths, strict=True):
        if not isinstance(full, str) or names.of_stage(text):
            continue
        before, equals, behind = full.partition("=")
        path = Path(behind if equals and "/" not in before else full)
        looks_like_one = not hub and ("/" in text or path.suffix)
        if "${data." in text or looks_like_one or path.exists():  # else a name, such as a preset's
            found[text] = path
    return found


class _Names:
    """What references stand for; it notes the stages that are referred to."""

    def __init__(
        self, recipe: Recipe, data: Mapping[str, Path], outputs: Mapping[str, Mapping[str, Path]], where: str
    ) -> None:
        self.recipe, self.data, self.outputs, self.where = recipe, data, outputs, where
        self.needs: set[str] = set()

    def resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.resolved(one) for one in value]
        return _REFERENCE.sub(self._replace, value) if isinstance(value, str) else value

    def of_stage(self, text: Any) -> bool:
        references = _REFERENCE.findall(text) if isinstance(text, str) else []
        return any(not reference.startswith("data.") for reference in references)

    def _replace(self, match: re.Match[str]) -> str:
        first, _, second = match[1].partition(".")
        if first == "data":
            if second not in self.data:
                raise ConfigError(f"{self.where}: {match[0]}: no such data{nearest(second, self.recipe.data)}")
            return str(self.data[second])
        if first not in self.outputs:
            raise ConfigError(f"{self.where}: {match[0]}: no such stage{nearest(first, self.outputs)}")
        known = self.outputs[first]
        if second not in known:
            there = ", ".join(known) or "none"
            raise ConfigError(f"{self.where}: {match[0]}: no such output{nearest(second, known)} (there are {there})")
        self.needs.add(first)
        return str(known[second])
