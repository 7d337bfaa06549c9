"""Terminal output: the first line, progress, tables, and the end of a command on Ctrl-C or SIGTERM."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, Protocol

import typer

from nirgen.escapes import printable, printable_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Iterable, Sequence
    from pathlib import Path

    from nirgen.train.loop import StepReport

    Cell = str | Sequence[tuple[str, str]]

_SECONDS_BETWEEN_LINES = 15
_WIDTH_OF_FILES = 120
_WIDTH_OF_BARS = 20
_SECONDS_BETWEEN_DRAWINGS = 0.1
_bar_is_drawn = threading.Event()


class Report(Protocol):
    """Progress callback; a `nirgen.progress.Progress` that takes a text beside the numbers too."""

    def __call__(self, stage: str, done: int, total: int | None, text: str = "", /) -> None:
        """Report that `done` of `total` steps of a stage are done; total is None while unknown."""


def echo(text: str = "", *, err: bool = False) -> None:
    """Print a line; line ends and other control characters in it, which names from data may have, become visible."""
    _clear_bar()
    typer.echo(printable(text), err=err)  # noqa: TID251 - the place where texts are escaped


def echo_text(text: str) -> None:
    """Print a text of several lines whose names are quoted, such as JSON; see `echo`."""
    _clear_bar()
    typer.echo(printable_lines(text))  # noqa: TID251


def announce(doing: str, *, quiet: bool = False) -> None:
    """Print on standard error what is being done; call it before heavy libraries are imported."""
    if not quiet:
        echo(f"{doing} ...", err=True)


_chained = ContextVar("chained", default=False)


@contextmanager
def chained() -> Generator[None]:
    """Leave out the next commands at the ends of commands that another one runs."""
    token = _chained.set(True)
    try:
        yield
    finally:
        _chained.reset(token)


def conclude(verdict: str, *, wrote: Iterable[object] = (), then: Sequence[object] = ()) -> None:
    """End a command: its verdict, a line of the files written, and the next command on standard error.

    A command with `--json` or `--quiet` doesn't call it.

    Args:
        verdict: Result in one line; empty if it has been printed.
        wrote: Files and folders written, unless the verdict names them.
        then: Words after `nirgen` of the command that most users run next, placeholders in capitals; or empty.
    """
    if verdict:
        echo(verdict)
    if files := ", ".join(map(str, wrote)):
        echo(f"wrote: {files}")
    if then and not _chained.get():
        echo(f"next: {command_line(then)}", err=True)


def command_line(words: Iterable[object]) -> str:
    """Return a nirgen command as a line for a shell.

    Example:
        >>> command_line(["validate", "my data"])
        "nirgen validate 'my data'"
    """
    return shlex.join(["nirgen", *map(str, words)])


@contextmanager
def stoppable(
    kept: str,
    *,
    second: Literal["exit", "raise"] | None = None,
    within: float | None = None,
    quiet: bool = False,
) -> Generator[Callable[[], bool]]:
    """End with one line and exit code 130 on Ctrl-C and SIGTERM.

    Args:
        kept: Text on the remains of interrupted work.
        second: None stops at once. Otherwise the first signal only asks the work to stop, and a second one exits the
            process (threads may hang in a read) or raises KeyboardInterrupt (which unwinds a process group).
        within: Seconds from the first signal until the process exits in any case; None: no limit.
        quiet: Print nothing at the first of two signals.

    Yields:
        Returns True once the work should stop; the work then returns or raises KeyboardInterrupt.
    """
    asked = threading.Event()

    def end() -> None:
        _write_line(f"interrupted: {printable(kept)}")
        os._exit(130)

    ended = threading.Event()

    def wait() -> None:  # in a thread that is there before a signal: a handler must not start one
        asked.wait()
        if not ended.wait(within):
            end()

    if within is not None:
        threading.Thread(target=wait, daemon=True, name="stop").start()

    def stop(_signal: int, _frame: object) -> None:
        if second is None or (second == "raise" and asked.is_set()):
            raise KeyboardInterrupt
        if asked.is_set():
            end()
        asked.set()
        if not quiet:
            _write_line("stopping: finishing what is in flight; press Ctrl-C again to stop at once")

    numbers = (signal.SIGTERM,) if second is None else (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield asked.is_set
    except KeyboardInterrupt:
        echo(f"interrupted: {kept}", err=True)
        raise typer.Exit(130) from None
    finally:
        ended.set()
        asked.set()
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_line(text: str) -> None:
    """Write a line at once, in a signal's handler too, in place of a bar that is on its line of the terminal."""
    _clear_bar()
    os.write(2, f"{text}\n".encode())


def _clear_bar() -> None:
    """Clear the line of the terminal that a bar is on; the bar is drawn again on the line that the cursor is on."""
    if _bar_is_drawn.is_set():
        os.write(2, b"\r\x1b[2K")


def note_unchecked(listing: Path) -> None:
    """Print a line if no report of `nirgen pairs check` lies beside a list of pairs."""
    from nirgen.pairs.listing import is_checked

    if not is_checked(listing):
        echo(
            f"note: {listing} has no report of 'nirgen pairs check {listing}', which finds misaligned and copied pairs",
            err=True,
        )


def note_outdated_scores(folder: Path, *, quiet: bool = False) -> None:
    """Print a line if the scores of a folder are of another version of nirgen."""
    from nirgen.dataset.folder import SCORES
    from nirgen.scores import is_outdated

    if not quiet and is_outdated(folder):
        echo(f"{folder / SCORES}: of another version of nirgen; all images are measured again", err=True)


@contextmanager
def progress(kept: str) -> Generator[Report]:
    """Report work that a signal stops at once; see `stoppable` and `bars`."""
    with stoppable(kept), bars() as report:
        yield report


@contextmanager
def bars(*, final: str = "", hidden: bool = False) -> Generator[Report]:
    """Show a bar for each stage on a terminal, elsewhere a line every 15 seconds; both on standard error.

    Args:
        final: Stage whose first and last steps are printed as lines, too.
        hidden: Show nothing.
    """
    # Pillow warns of odd metadata; nirgen reports what matters of an image itself.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    if hidden or not sys.stderr.isatty() or "RANK" in os.environ:
        yield (lambda *_: None) if hidden else _lines(final)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    stage_name, numbers = (TextColumn(f"{{task.{name}}}", markup=False) for name in ("description", "fields[text]"))
    # Drawn by `report` alone: no other thread draws a bar while a line is printed.
    quiet: dict[str, Any] = {"auto_refresh": False, "redirect_stdout": False, "redirect_stderr": False}
    columns = stage_name, BarColumn(_WIDTH_OF_BARS), numbers
    with Bars(*columns, console=console, transient=True, **quiet) as shown, _drawing():
        tasks: dict[str, Any] = {}
        drawn = 0.0

        def report(stage: str, done: int, total: int | None, text: str = "", /) -> None:
            nonlocal drawn
            if stage in tasks and done != total and time.monotonic() - drawn < _SECONDS_BETWEEN_DRAWINGS:
                return
            drawn = time.monotonic()
            for each in shown.tasks:  # one line: what others print would tear several apart
                if each.visible and each.id != tasks.get(stage):
                    shown.update(each.id, visible=False)
            if stage not in tasks:
                tasks[stage] = shown.add_task(printable(stage), text="")
            task = shown.tasks[tasks[stage]]
            shown.update(task.id, completed=done, total=total, visible=True)
            rest = text or _pace(task.speed, task.time_remaining)
            room = console.width - len(task.description) - _WIDTH_OF_BARS - 3
            shown.update(task.id, text=fitted(f"{_count(done, total)}{', ' if rest else ''}{rest}", room))
            shown.refresh()

        yield report


@contextmanager
def _drawing() -> Generator[None]:
    _bar_is_drawn.set()
    try:
        yield
    finally:
        _bar_is_drawn.clear()


def _lines(final: str) -> Report:
    began: dict[str, tuple[float, int]] = {}
    printed = time.monotonic()

    def report(stage: str, done: int, total: int | None, text: str = "", /) -> None:
        nonlocal printed
        now = time.monotonic()
        ends = stage == final and (done == total or (bool(text) and stage not in began))
        since, first = began.setdefault(stage, (now, done))
        if not ends and now - printed < _SECONDS_BETWEEN_LINES:
            return
        printed = now
        rate = (done - first) / (now - since) if now - since > 1 else None
        left = (total - done) / rate if total is not None and rate else None
        rest = text or _pace(rate, left)
        echo(f"{stage}: {_count(done, total)}{', ' if rest else ''}{rest}", err=True)

    return report


def _count(done: int, total: int | None) -> str:
    return f"{done}" if total is None else f"{done}/{total}"


def _pace(rate: float | None, left: float | None) -> str:
    """Return a rate in steps per second, and the seconds left, as text; what is unknown or over is left out.

    Example:
        >>> _pace(85134.33, 200), _pace(0.4, None), _pace(2.5, 0)
        ('85,000/s, 3 min to go', '2.5 s each', '2.5/s')
    """
    rates = f"{float(f'{rate:.2g}'):,.{1 if rate < 10 else 0}f}/s" if rate and rate >= 1 else ""
    rates = f"{1 / rate:.1f} s each" if rate and rate < 1 else rates
    return ", ".join(filter(None, (rates, f"{duration(left)} to go" if left else "")))


def duration(seconds: float) -> str:
    """Return a time in a fitting unit.

    Example:
        >>> duration(41.7), duration(1000), duration(9000)
        ('42 s', '17 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def fitted(text: str, width: int) -> str:
    """Return a text without its last parts, which commas end, if it is wider than `width` characters.

    Example:
        >>> fitted("3/9, 2.1 steps/s, 4 min to go: l1 0.123, ssim 0.456", 42)
        '3/9, 2.1 steps/s, 4 min to go: l1 0.123'
    """
    while len(text) > width and ", " in text:
        text = text.rpartition(", ")[0]
    return text


def step_text(at: StepReport) -> str:
    """Return pace and loss terms of a training step, for `Report`."""
    terms = ", ".join(f"{name} {value:.3f}" for name, value in at.terms.items())
    return f"{at.rate:.2f} steps/s, {at.minutes_left:.0f} min to go: {terms}"


def show(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, right: Container[int] = (), ruled: bool = False
) -> None:
    """Print a table as wide as the terminal, or 120 characters into a file, without blanks at the ends of lines.

    Args:
        columns: Headings; all empty for a table without any.
        rows: Cells of each row: a line, or parts of a text, each with its style. Control characters become visible.
        right: Positions of the columns that are set right.
        ruled: Draw a line below the headings.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    look: dict[str, Any] = {"box": box.SIMPLE_HEAD} if ruled else {"box": None, "padding": (0, 2, 0, 0)}
    table = Table(show_header=any(columns), pad_edge=False, show_edge=False, **look)
    for number, column in enumerate(columns):
        table.add_column(printable(column), justify="right" if number in right else "left", overflow="fold")
    for row in rows:
        parts = ([(printable(cell), "")] if isinstance(cell, str) else cell for cell in row)
        table.add_row(*(Text.assemble(*((printable_lines(text), style) for text, style in cell)) for cell in parts))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH_OF_FILES
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    _clear_bar()
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))  # noqa: TID251 - has styles
