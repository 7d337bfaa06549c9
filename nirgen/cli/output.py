"""Terminal output: tables, progress bars, and the end of a command on Ctrl-C or SIGTERM."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Sequence

    from rich.progress import TaskID
    from rich.table import Table


@contextmanager
def interruptible(kept: Callable[[], str]) -> Generator[None]:
    """End with one line and code 130 on Ctrl-C and on SIGTERM.

    Args:
        kept: Says, once the work has ended, what of it stays.
    """

    def stop(_signal: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"interrupted: {kept()}", err=True)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def stoppable(kept: str, *, quiet: bool) -> Generator[Callable[[], bool]]:
    """End with code 130 on Ctrl-C and on SIGTERM: on the first, once what is in flight is done; on the second, at once.

    Args:
        kept: Says what stays of work that was stopped.
        quiet: Say nothing of the first signal while work goes on.

    Yields:
        Whether to stop. The work asks it where it can, and then raises KeyboardInterrupt.
    """
    asked = threading.Event()

    def stop(_signal: int, _frame: object) -> None:
        if asked.is_set():
            os.write(2, f"interrupted: {kept}\n".encode())
            os._exit(130)  # threads may hang in a read; what they leave, the next start clears away
        asked.set()
        if not quiet:
            os.write(2, b"stopping: what is in flight is being finished; once more stops at once\n")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    except KeyboardInterrupt:
        typer.echo(f"interrupted: {kept}", err=True)
        raise typer.Exit(130) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def working(what: str) -> Generator[Callable[[int, int], None]]:
    """Work that can be interrupted and then leaves nothing, with a bar on standard error where that is a terminal.

    Args:
        what: Stands before the bar.

    Yields:
        What is told how many steps are done, of how many.
    """
    with stages(lambda: "nothing was written") as report:
        report(what, 0, None)
        yield lambda done, total: report(what, done, total)


@contextmanager
def stages(kept: Callable[[], str]) -> Generator[Callable[[str, int, int | None], None]]:
    """Work of several stages that can be interrupted, with a bar for each on standard error where that is a terminal.

    Args:
        kept: Says, once the work has been interrupted, what of it stays.

    Yields:
        What is told the stage, how many of its steps are done, and of how many; None if that isn't known yet.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    # Pillow warns of odd metadata; what matters of an image is said by us.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    tasks: dict[str, TaskID] = {}
    with (
        interruptible(kept),
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
    ):

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage)
            bar.update(tasks[stage], completed=done, total=total)

        yield report


_WIDTH_OF_FILES = 120


def show(table: Table) -> None:
    """Print a table as wide as the terminal, or 120 characters into a file, without blanks at the ends of lines."""
    from rich.console import Console

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH_OF_FILES
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Container[int]) -> None:
    """A table on standard output, some columns set right; nothing if it has no rows."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)
    typer.echo()
