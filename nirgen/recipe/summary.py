"""What a run came to, as Markdown: stages, times, commands, and expected numbers beside measured ones."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nirgen.recipe.run import command_line

if TYPE_CHECKING:
    from nirgen.recipe.recipe import Expectation, Recipe
    from nirgen.recipe.run import Outcome

NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Comparison:
    """An expected number beside the measured one, as words.

    Attributes:
        what: The number, and where the expectation is from.
        expected: Its value and how far off it may be.
        measured: What this run has.
        agrees: `-` where one of the two is not known.
    """

    what: str
    expected: str
    measured: str
    agrees: Literal["yes", "no", "-"]


def summary(recipe: Recipe, outcome: Outcome) -> str:
    """The summary as Markdown."""
    lines = [f"# {recipe.name}", "", recipe.about, "", "| stage | state | seconds | why |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {one.step.stage.name} | {one.phase} | {one.seconds:.1f} | {one.step.why} |" for one in outcome.progress
    ]
    if recipe.expect:
        lines += ["", "| number | expected | measured here | agrees |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {one.what} | {one.expected} | {one.measured} | {one.agrees} |" for one in comparisons(recipe, outcome)
        ]
    lines += ["", "## Commands", "", "```sh", *(command_line(one.step) for one in outcome.progress), "```", ""]
    lines += ["## Results", ""]
    lines += [f"- `${{{name}}}`: {path}" for name, path in outputs_of(outcome).items() if path.exists()]
    return "\n".join([*lines, *(["", f"**{outcome.problem}**"] if outcome.problem else []), ""])


def outputs_of(outcome: Outcome) -> dict[str, Path]:
    """Files and folders that stages write, by `stage.output`."""
    return {
        f"{one.step.stage.name}.{option}": path
        for one in outcome.progress
        for option, path in one.step.stage.outputs.items()
    }


def comparisons(recipe: Recipe, outcome: Outcome) -> list[Comparison]:
    """What a recipe expects beside what a run has."""
    outputs = outputs_of(outcome)
    return [_compare(expected, outputs) for expected in recipe.expect]


def _compare(expected: Expectation, outputs: dict[str, Path]) -> Comparison:
    number = measured(expected, outputs)
    wanted = "nothing known" if expected.value is None else f"{expected.value:g}"
    if expected.tolerance is not None:
        wanted += f" ± {expected.tolerance:g}"
    agrees: Literal["yes", "no", "-"] = "-"
    if number is not None and expected.value is not None and expected.tolerance is not None:
        agrees = "yes" if abs(number - expected.value) <= expected.tolerance else "no"
    source = f" ({expected.source})" if expected.source else ""
    return Comparison(f"{expected.what}{source}", wanted, NOT_MEASURED if number is None else f"{number:g}", agrees)


def measured(expected: Expectation, outputs: dict[str, Path]) -> float | None:
    """The number that a run has for an expectation; None if it has none.

    Args:
        expected: With the file and the place in it.
        outputs: Files and folders by `stage.output`.
    """
    if expected.file is None:
        return None
    text = re.sub(r"\$\{([^}]*)\}", lambda match: str(outputs.get(match[1], match[0])), expected.file)
    try:
        value: Any = json.loads(Path(text).read_bytes())
        for key in expected.at.split(".") if expected.at else []:
            value = _inner(value, key)
        return len(value) if isinstance(value, list) else float(value)
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return None


def _inner(value: Any, key: str) -> Any:
    """The entry of a mapping by its key, or of a list by what one of its keys is."""
    if not isinstance(value, list):
        return value[key]
    name, equals, wanted = key.partition("=")
    return next(one for one in value if str(one[name]) == wanted) if equals else value[int(key)]
