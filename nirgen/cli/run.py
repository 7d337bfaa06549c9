"""`nirgen run`: run the stages of a recipe, and `nirgen sample-data`: write data to try recipes on."""

from __future__ import annotations

import re
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nirgen.cli import options
from nirgen.cli.options import argument, flag, option, refuse
from nirgen.cli.output import announce, conclude, echo, show, stoppable
from nirgen.escapes import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from nirgen.recipe.run import StageProgress


def run(
    ctx: typer.Context,
    recipe: str | None = argument(
        "RECIPE", "Recipe of the package by its name, or a file; docs/recipes.md has the format.", default=None
    ),
    listing: bool = flag("List the recipes of the package.", "--list"),
    data: list[str] | None = option("Path of one of the recipe's data; repeatable.", "NAME=PATH"),
    out: Path | None = option("Run folder.  [default: runs/NAME]", "--out DIR"),
    changes: list[str] | None = option("Option to change; repeatable.", "--set STAGE.OPTION=VALUE"),
    start: str | None = option("Stage to run again, with all that depend on it.", "--from STAGE"),
    only: str | None = option("Only stage to run.", "STAGE"),
    any_code: bool = flag("Reuse results of another version of nirgen.", "--any-code"),
    demo: bool = flag("Run it small, on images that it makes itself; its numbers mean nothing.", "--demo"),
    dry_run: bool = options.DRY_RUN,
) -> None:
    """Run the stages of a recipe that are not up to date.

    Writes a run folder with stages/, logs/, run.json and summary.md. The same command resumes a stopped
    run. Exits with the code of the stage that failed.

    \b
    Examples:
      nirgen run smoke --dry-run
      nirgen run table2 --demo
      nirgen run table2 --data ranus=data/RANUS --from evaluate
    """
    refuse(recipe is None and not listing, "name a recipe, or see those of the package with --list")
    announce("reading the recipe", quiet=listing)
    from nirgen.recipe.commands import commands_of
    from nirgen.recipe.plan import RecipeRun
    from nirgen.recipe.recipe import Recipe, built_in, changed, demo_of, find_recipe
    from nirgen.recipe.run import SUMMARY, command_line, plan_recipe, run_recipe

    if recipe is None:
        rows = [(name, re.split(r"[.,;](?: |$)", Recipe.load(path).about)[0]) for name, path in built_in().items()]
        show(("", ""), rows)
        conclude("", then=["run", "smoke"])
        return
    loaded = Recipe.load(find_recipe(recipe))
    read = changed(demo_of(loaded) if demo else loaded, changes or [])
    folder = (out or Path("runs") / read.name).absolute()
    roots = {name: path.absolute() for name, path in options.parse_all_named(data, "--data").items()}
    job = RecipeRun(read, commands_of(ctx.find_root().command), folder, roots, start, only, any_code)
    if dry_run:
        for step in plan_recipe(job):
            what = ("resume" if step.resumes else "run") if step.runs else "skip"
            echo(f"{what} {step.stage.name}: {step.why}")
            echo(f"  {command_line(step)}")
        return
    with stoppable("the same command goes on from there"), _display() as watch:
        outcome = run_recipe(job, watch)
    if outcome.problem:
        echo(f"error: {outcome.problem}", err=True)
    phases = Counter(one.phase for one in outcome.progress)
    counts = ", ".join(f"{count} {phase}" for phase, count in phases.items())
    conclude(f"{read.name}: stages: {counts}", wrote=[folder / SUMMARY])
    raise typer.Exit(outcome.exit_code)


@contextmanager
def _display() -> Generator[Callable[[list[StageProgress]], None]]:
    """Show all stages as a live table on a terminal, else a line when a stage begins or ends."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    with Live(console=Console(stderr=True), refresh_per_second=4) as live:

        def draw(progress: list[StageProgress]) -> None:
            table = Table("stage", "state", "seconds", "why", box=None)
            for one in progress:
                texts = (one.step.stage.name, one.phase, f"{one.seconds:.0f}", one.step.why)
                table.add_row(*(Text(printable(text)) for text in texts))
            live.update(table)

        yield draw


def _lines() -> Callable[[list[StageProgress]], None]:
    shown: dict[str, str] = {}

    def watch(progress: list[StageProgress]) -> None:
        for one in progress:
            name = one.step.stage.name
            if one.phase not in {"waiting", shown.get(name)}:
                shown[name] = one.phase
                note = f" ({one.step.why})" if one.phase in {"running", "skipped"} else f" after {one.seconds:.1f} s"
                echo(f"{name}: {one.phase}{note}", err=True)

    return watch


def sample_data(
    out: Path = argument("OUT", "Folder to write; new or empty."),
    frames: int | None = option(
        "Frames per recording; there are three.", min=2, max=1000, of="recipe.sample:write_sample"
    ),
    seed: int | None = option("Random seed of the scenes.", min=0, of="recipe.sample:write_sample"),
) -> None:
    """Write synthetic sample data.

    Writes RGB-NIR pairs, labelled RGB frames and labelled NIR frames to try commands and recipes on; the same every
    time. They are too simple to train a useful network.
    """
    announce("drawing images")
    from nirgen.recipe.sample import write_sample

    write_sample(out, **options.given(frames=frames, seed=seed))
    conclude(f"{out}: pairs, labelled frames and labelled NIR images of three recordings", then=_tried(out))


def _tried(sample: Path) -> list[object]:
    real = ["--real", sample / "pairs/nir", sample / "real.json"]
    return ["make", sample / "frames", sample / "frames.json", "out", *real, "--yes"]
