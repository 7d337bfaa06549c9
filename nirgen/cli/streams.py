"""Standard streams that are closed, full or broken, and errors that mean too little memory."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

from nirgen.errors import OutputError

_BROKEN_PIPE = 141  # exit code: 128 + SIGPIPE, as a shell has it
# Of torch, of the dynamic loader, and of Python's threads.
_SHORT = ("allocate memory", "failed to map segment", "can't start new thread", "out of memory")


def prepare() -> None:
    """Make the standard streams of this process safe to use.

    A closed one is opened to nothing: otherwise the next file that is opened gets its number, and messages are written
    into that file. What can't be printed is one line on standard error; what can't be said there is dropped.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = _wrap(_Output, sys.stdout, 1)
    sys.stderr = _wrap(_Messages, sys.stderr, 2)


def is_short_of_memory(error: BaseException) -> bool:
    """Return True for an error that means that the process may not have more memory or threads."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or any(part in text for part in _SHORT)
    )


class _Output(io.TextIOWrapper):
    """Standard output; a reader that has gone ends the process, any other failure is an OutputError."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise self._failure(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> BaseException:
        # what is in the buffer can never be written; without this each later flush would fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
        if error.errno == errno.EPIPE:
            return SystemExit(_BROKEN_PIPE)
        return OutputError(f"standard output can't be written ({error.strerror}); what was to be printed is lost")


class _Messages(io.TextIOWrapper):
    """Standard error; work doesn't end because nobody can read of it."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError:
            return self._dropped(len(text))

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            self._dropped(0)

    def _dropped(self, count: int) -> int:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
        return count


def _wrap(kind: type[io.TextIOWrapper], stream: Any, number: int) -> Any:
    """Return a stream of a kind for a descriptor; letters that its encoding lacks are escaped."""
    if stream is not None and not isinstance(stream, io.TextIOWrapper):
        return stream  # somebody else's
    if stream is None:
        return kind(open(number, "wb", closefd=False), encoding="utf-8", errors="backslashreplace")
    errors = "backslashreplace" if stream.errors == "strict" else stream.errors
    lines = stream.line_buffering
    return kind(stream.detach(), encoding=stream.encoding, errors=errors, line_buffering=lines, write_through=False)
