"""Errors that a user can fix.

```
NirgenError           exit code 1, one line: file, value, remedy
├── ConfigError       configuration value or key
├── ImageError        one image file; in bulk work it becomes a row of the manifest
│   └── DamagedError  its data are corrupt
├── ModelError        model file or model name
├── OutputError       output folder or its content
│   └── FullError     no space left for outputs
└── ShapeError        array size that a network can't take
```

Any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class NirgenError(Exception):
    """Error that the user can fix; its text is one line with the remedy."""

    exit_code = 1


class ConfigError(NirgenError):
    """Configuration that can't be used."""


class ImageError(NirgenError):
    """Image that can't be read or written."""


class DamagedError(ImageError):
    """Image whose data are corrupt, in the words of its decoder."""

    damage: str = ""
    """Words of the decoder, in one line, without the file's name."""

    @classmethod
    def of(cls, name: str, damage: str) -> DamagedError:
        """Return the error of a file, with the remedy."""
        error = cls(f"{name!r} is damaged ({damage}); copy it again or remove it")
        error.damage = damage
        return error


class ModelError(NirgenError):
    """Model that can't be found, read or trusted."""


class OutputError(NirgenError):
    """Output folder that can't be written, or whose content must not be mixed."""


class FullError(OutputError):
    """No space is left for outputs."""


class ShapeError(NirgenError):
    """Array of a size that a network can't take."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a clause that suggests the known name nearest to a mistyped one; empty if none is near.

    Example:
        >>> nearest("compct", ["compact", "paper"])
        "; did you mean 'compact'?"
        >>> nearest("zzz", ["compact"])
        ''
    """
    close = get_close_matches(name, sorted(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def first_line(error: BaseException) -> str:
    """Return the first line of a library error's text, or its class's name if it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun, whose plural has an s unless it is given.

    Example:
        >>> counted(1, "image"), counted(1200, "box", "boxes")
        ('1 image', '1,200 boxes')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def one_line(error: BaseException, limit: int | None = None) -> str:
    r"""Return an error's text as one line of at most `limit` characters.

    Example:
        >>> one_line(ValueError("bad\n  value"), 7)
        'bad val'
        >>> one_line(KeyboardInterrupt())
        'KeyboardInterrupt'
    """
    return " ".join(str(error).split())[:limit] or type(error).__name__
