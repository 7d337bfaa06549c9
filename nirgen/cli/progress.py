"""A bar for work of a known number of steps."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nirgen.cli.interrupt import interruptible

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rich.progress import TaskID


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
