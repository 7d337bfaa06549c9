"""`nirgen run`: run the stages of a recipe."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nirgen.cli import options
from nirgen.cli.output import stoppable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from nirgen.recipe.run import StageProgress


def run(
    ctx: typer.Context,
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.yaml", help="Recipe file; docs/recipes.md has the format.")],
    data: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PATH", help="Path of one of the recipe's data; repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Run folder.  [default: runs/NAME]")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="STAGE.OPTION=VALUE", help="Option to change; repeatable."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="Stage to run again, with all that depend on it.")
    ] = None,
    only: Annotated[str | None, typer.Option(metavar="STAGE", help="Only stage to run.")] = None,
    any_code: Annotated[bool, typer.Option("--any-code", help="Reuse results of another version of nirgen.")] = False,
    dry_run: options.DryRun = False,
) -> None:
    """Run the stages of a recipe that are not up to date.

    Writes a run folder with stages/, logs/, run.json and summary.md. The same command resumes a stopped
    run. Exits with the code of the stage that failed.

    \b
    Examples:
      nirgen run pipelines/smoke.yaml --dry-run
      nirgen run pipelines/table2.yaml --data ranus=data/RANUS --from evaluate
    """
    from nirgen.recipe.commands import commands_of
    from nirgen.recipe.plan import RecipeRun
    from nirgen.recipe.recipe import Recipe, changed
    from nirgen.recipe.run import SUMMARY, command_line, plan_recipe, run_recipe

    read = changed(Recipe.load(recipe), changes or [])
    folder = (out or Path("runs") / read.name).absolute()
    roots = {name: path.absolute() for name, path in options.parse_all_named(data, "--data").items()}
    job = RecipeRun(read, commands_of(ctx.find_root().command), folder, roots, start, only, any_code)
    if dry_run:
        for step in plan_recipe(job):
            what = ("resume" if step.resumes else "run") if step.runs else "skip"
            typer.echo(f"{what} {step.stage.name}: {step.why}\n  {command_line(step)}")
        return
    with stoppable("the same command goes on from there"), _display() as watch:
        outcome = run_recipe(job, watch)
    if outcome.problem:
        typer.echo(f"error: {outcome.problem}".replace("\n", " "), err=True)
    typer.echo(f"{folder / SUMMARY}")
    raise typer.Exit(outcome.exit_code)


@contextmanager
def _display() -> Generator[Callable[[list[StageProgress]], None]]:
    """Show all stages as a live table on a terminal, else a line when a stage begins or ends."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), refresh_per_second=4) as live:
        yield lambda progress: live.update(_table(progress))


def _table(progress: list[StageProgress]) -> Any:
    from rich.table import Table

    table = Table("stage", "state", "seconds", "why", box=None)
    for one in progress:
        table.add_row(one.step.stage.name, one.phase, f"{one.seconds:.0f}", one.step.why)
    return table


def _lines() -> Callable[[list[StageProgress]], None]:
    shown: dict[str, str] = {}

    def watch(progress: list[StageProgress]) -> None:
        for one in progress:
            name = one.step.stage.name
            if one.phase not in {"waiting", shown.get(name)}:
                shown[name] = one.phase
                note = f" ({one.step.why})" if one.phase in {"running", "skipped"} else f" after {one.seconds:.1f} s"
                typer.echo(f"{name}: {one.phase}{note}", err=True)

    return watch
