"""The table of all recipes, as `pipelines/README.md` has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nirgen.recipe.summary import NOT_MEASURED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nirgen.recipe.recipe import Recipe

_INTRODUCTION = """\
# Recipes

A recipe is a list of nirgen commands from data that you have to a result that you want. It is carried out by
`nirgen run pipelines/NAME.yaml`, with `--data NAME=PATH` for each of its data; [docs/recipes.md](../docs/recipes.md)
says how to write one. This page is generated from the recipes by `make recipes`.
"""


def render(recipes: Sequence[Recipe]) -> str:
    """The page of some recipes, in their order.

    Args:
        recipes: All that there are.
    """
    lines = [_INTRODUCTION, "| recipe | of the paper | data | GPU hours | expected and measured |", "| " + "--- | " * 5]
    lines[-1] = lines[-1].rstrip()
    lines += [
        f"| [{one.name}]({one.name}.yaml) | {one.table or '-'} | {', '.join(one.data) or 'makes its own'} | {one.cost} "
        f"| {_state(one)} |"
        for one in recipes
    ]
    for one in recipes:
        lines += ["", f"## {one.name}", "", one.about]
        if one.data:
            lines += ["", "| data | what | where to get it | licence |", "| --- | --- | --- | --- |"]
            lines += [f"| {name} | {root.about} | {root.get} | {root.licence} |" for name, root in one.data.items()]
        if one.expect:
            lines += ["", "| number | expected | measured |", "| --- | --- | --- |"]
            lines += [
                f"| {item.what}{f' ({item.source})' if item.source else ''} "
                f"| {'nothing known' if item.value is None else f'{item.value:g}'} | {item.measured} |"
                for item in one.expect
            ]
    return "\n".join([*lines, ""])


def _state(recipe: Recipe) -> str:
    known = sum(item.measured != NOT_MEASURED for item in recipe.expect)
    return f"{len(recipe.expect)} expected, {known or 'none'} measured"
