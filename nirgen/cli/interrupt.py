"""The end of a command on Ctrl-C or SIGTERM."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


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
