"""`nirgen run`: a recipe's stages, those that are not done yet."""

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

    from nirgen.recipe.plan import Step
    from nirgen.recipe.recipe import Recipe
    from nirgen.recipe.run import Progress


def run(
    ctx: typer.Context,
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE.yaml", help="The recipe; docs/recipes.md says how to write one.")
    ],
    data: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PATH", help="Place of one of the recipe's data; repeatable.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The run folder.  [default: runs/NAME]")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="STAGE.OPTION=VALUE", help="Change an option; repeatable.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="Run it again, and all that need it.")
    ] = None,
    only: Annotated[str | None, typer.Option(metavar="STAGE", help="Run no other stage.")] = None,
    any_code: Annotated[bool, typer.Option("--any-code", help="Keep results of another version of nirgen.")] = False,
    dry_run: options.DryRun = False,
) -> None:
    """Run the stages of a recipe, but for those that are done and unchanged.

    The run folder has stages/, logs/, run.json, summary.md and summary.html. The same command goes on where a run
    stopped. Exit codes: 3, a stage did a part only; 130, interrupted; else that of the stage that failed.
    """
    from nirgen.recipe.commands import commands_of
    from nirgen.recipe.plan import Hashes, make_plan
    from nirgen.recipe.recipe import Recipe, changed
    from nirgen.recipe.resolve import resolve

    read = changed(Recipe.load(recipe), changes or [])
    folder = (out or Path("runs") / read.name).absolute()
    stages = resolve(
        read,
        commands_of(ctx.find_root().command),
        folder,
        {name: path.absolute() for name, path in options.parse_all_named(data, "--data").items()},
    )
    hashes = Hashes(folder / "hashes.json")

    def plan() -> list[Step]:
        return make_plan(stages, folder, hashes, start=start, only=only, any_code=any_code)

    if dry_run:
        _print_plan(plan())
        return
    _run(read, folder, hashes, plan)


def _print_plan(steps: list[Step]) -> None:
    from nirgen.recipe.run import command_line

    for step in steps:
        what = ("resume" if step.resumes else "run") if step.runs else "skip"
        typer.echo(f"{what} {step.stage.name}: {step.why}\n  {command_line(step)}")


def _run(recipe: Recipe, folder: Path, hashes: Any, plan: Callable[[], list[Step]]) -> None:
    from datetime import UTC, datetime

    from nirgen.files import locked, make_folder, write_whole
    from nirgen.recipe.page import render
    from nirgen.recipe.run import run_steps, summary, write_record

    make_folder(folder)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    with locked(folder / ".lock", busy=f"{folder}: another 'nirgen run' is at work there; wait for it"):
        with stoppable("the same command goes on from there"):
            steps = plan()
            hashes.save()
            with _display() as watch:
                outcome = run_steps(steps, folder, watch)
        write_record(folder, recipe.name, outcome, began)
        write_whole(folder / "summary.md", summary(recipe, outcome).encode())
        write_whole(folder / "summary.html", render(recipe, outcome, folder).encode())
    if outcome.problem:
        typer.echo(f"error: {outcome.problem}".replace("\n", " "), err=True)
    typer.echo(f"{folder / 'summary.html'}")
    raise typer.Exit(outcome.exit_code)


@contextmanager
def _display() -> Generator[Callable[[list[Progress]], None]]:
    """All stages with their state and time, live on a terminal; else a line for each that begins or ends."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), refresh_per_second=4) as live:
        yield lambda progress: live.update(_table(progress))


def _table(progress: list[Progress]) -> Any:
    from rich.table import Table

    table = Table("stage", "state", "seconds", "why", box=None)
    for one in progress:
        table.add_row(one.step.stage.name, one.phase, f"{one.seconds:.0f}", one.step.why)
    return table


def _lines() -> Callable[[list[Progress]], None]:
    said: dict[str, str] = {}

    def watch(progress: list[Progress]) -> None:
        for one in progress:
            name = one.step.stage.name
            if one.phase not in {"waiting", said.get(name)}:
                said[name] = one.phase
                note = f" ({one.step.why})" if one.phase in {"running", "skipped"} else f" after {one.seconds:.1f} s"
                typer.echo(f"{name}: {one.phase}{note}", err=True)

    return watch
