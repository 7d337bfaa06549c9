"""A bar for work of a known number of steps."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nirgen.cli.interrupt import interruptible

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


@contextmanager
def working(what: str) -> Generator[Callable[[int, int], None]]:
    """Work that can be interrupted and then leaves nothing, with a bar on standard error where that is a terminal.

    Args:
        what: Stands before the bar.

    Yields:
        What is told how many steps are done, of how many.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    # Pillow warns of odd metadata; what matters of an image is said by us.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with (
        interruptible(lambda: "nothing was written"),
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
