"""The end of a command on Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
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
