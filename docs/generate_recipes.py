"""Write `nirgen/recipe/recipes/README.md` from the recipes; a test checks that it is current."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from nirgen.recipe.recipe import NOT_MEASURED, Recipe
from nirgen.templates import markdown_table

if TYPE_CHECKING:
    from collections.abc import Sequence

RECIPES = Path(__file__).parents[1] / "nirgen" / "recipe" / "recipes"
PAGE = RECIPES / "README.md"

_INTRODUCTION = """\
# Recipes

A recipe is a list of nirgen commands that leads from your data to a result. Run it with
`nirgen run NAME`, and `--data NAME=PATH` for each of its data; [docs/recipes.md](../../../docs/recipes.md)
explains how to write one. This page is generated from the recipes by `make recipes`.
"""


def render_table(recipes: Sequence[Recipe]) -> str:
    """Return the page of all recipes."""
    headings = ("recipe", "of the paper", "data", "GPU hours", "expected and measured")
    rows = []
    for one in recipes:
        known = sum(item.measured != NOT_MEASURED for item in one.expect)
        counts = f"{len(one.expect)} expected, {known or 'none'} measured"
        link = f"[{one.name}]({one.name}.yaml)"
        rows.append((link, one.table or "-", ", ".join(one.data) or "makes its own", one.cost, counts))
    lines = [_INTRODUCTION, *markdown_table(headings, rows)]
    for one in recipes:
        lines += ["", f"## {one.name}", "", one.about]
        if one.data:
            roots = [(name, root.about, root.get, root.licence) for name, root in one.data.items()]
            lines += ["", *markdown_table(("data", "what", "where to get it", "licence"), roots)]
        if one.demo is not None:
            lines += ["", f"`nirgen run {one.name} --demo` runs it small, on images that it makes itself."]
        known = [item for item in one.expect if item.measured != NOT_MEASURED]
        if known:
            numbers = [
                (
                    f"{item.what}{f' ({item.source})' if item.source else ''}",
                    "nothing known" if item.value is None else f"{item.value:g}",
                    item.measured,
                )
                for item in known
            ]
            lines += ["", *markdown_table(("number", "expected", "measured"), numbers)]
        unknown = Counter(item.source or item.what for item in one.expect if item not in known)
        lines += ["" for _ in range(bool(unknown))]
        lines += [f"- not measured: {count} of {source}" for source, count in unknown.items()]
    return "\n".join([*lines, ""])


def every_recipe() -> list[Recipe]:
    """Return the recipes by name."""
    return [Recipe.load(path) for path in sorted(RECIPES.glob("*.yaml"))]


if __name__ == "__main__":
    PAGE.write_text(render_table(every_recipe()), encoding="utf-8")
    print(f"wrote {PAGE}")
