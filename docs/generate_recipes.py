"""Write `pipelines/README.md` from the recipes; a test checks that it is current."""

from __future__ import annotations

from pathlib import Path

from nirgen.recipe.recipe import Recipe, render_table

PIPELINES = Path(__file__).parents[1] / "pipelines"
PAGE = PIPELINES / "README.md"


def every_recipe() -> list[Recipe]:
    """The recipes, by name."""
    return [Recipe.load(path) for path in sorted(PIPELINES.glob("*.yaml"))]


if __name__ == "__main__":
    PAGE.write_text(render_table(every_recipe()), encoding="utf-8")
    print(f"wrote {PAGE}")
