"""Terminal output that all commands share."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nirgen.cli.output import conclude

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_the_end_of_a_command_is_a_verdict_its_files_and_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    conclude("8 images translated", wrote=[Path("my nir"), "preview.png"], then=["labels", "LABELS", Path("my nir")])

    printed = capsys.readouterr()
    assert printed.out == "8 images translated\nwrote: my nir, preview.png\n"
    assert printed.err == "next: nirgen labels LABELS 'my nir'\n"


def test_a_command_without_files_ends_in_its_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    conclude("nothing found in dataset")

    assert capsys.readouterr().out == "nothing found in dataset\n"


SHOWING = """
import os, signal, time
from nirgen.cli.output import bars, conclude, echo, stoppable

with stoppable("what is done stays", second="exit"), bars() as report:
    for number in range(1, 11):
        report("check images", number, 10)
        if number == 5:
            echo("warning: a line meanwhile", err=True)
            echo("a line on standard output")
        time.sleep(0.05)
    for number in range(1, 11):
        report("train", number, 10, "0.52 steps/s, 12 min to go: adversarial 0.123, pixels 0.234, perceptual 0.345")
        if number == 5:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
conclude("10 images checked", wrote=["out"])
"""
SAID = [
    "warning: a line meanwhile",
    "a line on standard output",
    "stopping: finishing what is in flight; press Ctrl-C again to stop at once",
    "10 images checked",
    "wrote: out",
]
BAR = "━"


def on_a_terminal(script: str, columns: int) -> bytes:
    """What a Python script writes on a terminal of a number of columns."""
    process, terminal = pty.fork()
    if process == 0:
        os.environ |= {"COLUMNS": str(columns), "TERM": "xterm-256color"}
        os.execv(sys.executable, [sys.executable, "-c", script])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    written = b""
    with suppress(OSError):  # of a terminal whose last process has ended
        while part := os.read(terminal, 65536):
            written += part
    os.close(terminal)
    assert os.waitpid(process, 0)[1] == 0, written
    return written


def screens(written: bytes) -> Iterator[list[str]]:
    """The lines of the screen after each carriage return and line feed."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|.", written.decode(), flags=re.DOTALL):
        if token in {"\r", "\n"}:
            yield list(lines)
            row, column = (row, 0) if token == "\r" else (row + 1, column)
            lines += [""] * (row + 1 - len(lines))
        elif token == "\x1b[2K":
            lines[row] = ""
        elif token.endswith("A"):
            row -= int(token[2:-1])
        elif not token.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + 1 :]
            column += 1
    yield list(lines)


@pytest.mark.parametrize("columns", [80, 100])
def test_bars_and_lines_share_no_line_and_no_bar_is_left(columns: int) -> None:
    seen = list(screens(on_a_terminal(SHOWING, columns)))

    lines = [line.rstrip() for screen in seen for line in screen if line.strip()]
    bars = [line for line in lines if BAR in line]
    assert bars
    assert [line for line in bars if any(said[:8] in line for said in SAID)] == []
    assert max(map(len, lines)) <= columns
    assert {line.rpartition(", ")[2] for line in bars if "10/10, 0.52" in line} == (
        {"12 min to go: adversarial 0.123"} if columns == 80 else {"pixels 0.234"}
    )
    assert [line.rstrip() for line in seen[-1] if line.strip()] == SAID
