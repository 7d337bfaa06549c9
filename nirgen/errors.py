"""Errors that the user can correct.

```
NirgenError           exit code 1, one line: the file, the value, the remedy
├── ConfigError       a configuration value or key
├── ImageError        one image file; in bulk work it becomes a row of the manifest
├── ModelError        a model file or a model name
├── OutputError       the output folder, or what is already in it
│   └── FullError     no space is left for outputs
└── ShapeError        an array whose size a network can't take
```

Anything else that is raised is a bug, and keeps its traceback.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class NirgenError(Exception):
    """A mistake that the user can mend; its text is one line with the remedy."""

    exit_code = 1


class ConfigError(NirgenError):
    """A configuration that can't be used."""


class ImageError(NirgenError):
    """An image that can't be read or written."""


class ModelError(NirgenError):
    """A model that can't be found, read or trusted."""


class OutputError(NirgenError):
    """An output folder that can't be written, or holds what must not be mixed."""


class ShapeError(NirgenError):
    """An array of a size that a network can't take."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint naming the known name that is nearest to a mistyped one.

    Args:
        name: What the user wrote.
        known: The names that exist.

    Returns:
        A clause that begins with a semicolon, or an empty string where nothing is near.

    Example:
        >>> nearest("compct", ["compact", "paper"])
        "; did you mean 'compact'?"
        >>> nearest("zzz", ["compact"])
        ''
    """
    close = get_close_matches(name, sorted(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


class FullError(OutputError):
    """There is no more space for outputs."""


def first_line(error: BaseException) -> str:
    """Return the first line of a library error's text, or its class's name if it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def one_line(error: BaseException, limit: int | None = None) -> str:
    r"""Return an error's text as one line.

    Args:
        error: Any error, of a library's making.
        limit: The longest text, in characters.

    Example:
        >>> one_line(ValueError("bad\n  value"), 7)
        'bad val'
        >>> one_line(KeyboardInterrupt())
        'KeyboardInterrupt'
    """
    return " ".join(str(error).split())[:limit] or type(error).__name__
