"""URLs where none are understood: refused as they are parsed, whatever the command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What takes URLs.
TAKES_URLS = frozenset({("translate", "paths")})
_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
_OTHERS = ("http", "https", "ftp", "sftp", "file", "hdfs")
# In a text, perhaps behind a name, as in `bdd=s3://bucket/bdd`. A web page may well be in a text.
_IN_TEXT = re.compile(rf"(?:[^=/\s]*=)?((?:{'|'.join(_STORES)})://.*)", re.DOTALL)
# A path has lost one of the slashes.
_AS_PATH = re.compile(rf"({'|'.join((*_STORES, *_OTHERS))}):/+(.*)", re.DOTALL)


def without_urls(command: Any) -> Any:
    """Have every command refuse URLs in its arguments and options, but for those in `TAKES_URLS`.

    A URL that is taken for a path would be looked for, or made, as a folder `s3:` of this machine.

    Args:
        command: What `typer.main.get_command` gives; it is changed.

    Returns:
        The same.
    """
    for name, parameter in parameters(command):
        if (name, parameter.name) not in TAKES_URLS:
            parameter.callback = _refusing(name, parameter.callback)
    return command


def parameters(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The arguments and options of all commands, each with the words of its command."""
    for name, child in getattr(command, "commands", {}).items():
        yield from parameters(child, (*words, name))
    if not hasattr(command, "commands"):
        yield from ((" ".join(words), parameter) for parameter in command.params)


def _refusing(command: str, callback: Callable[..., Any] | None) -> Callable[..., Any]:
    def check(context: Any, parameter: Any, value: Any) -> Any:
        for each in value if isinstance(value, (list, tuple)) else (value,):
            url = _url(each)
            if url is not None:
                said = next((flag for flag in parameter.opts if flag.startswith("--")), parameter.metavar)
                raise NirgenError(
                    f"{said or parameter.name.upper()} {url!r} is a URL, and 'nirgen {command}' works on local files "
                    "there; copy it to a folder first (only SRC and OUT of 'nirgen translate' may be URLs)"
                )
        return value if callback is None else callback(context, parameter, value)

    return check


def _url(value: Any) -> str | None:
    """The URL in a value, as it was written; None if it has none."""
    if isinstance(value, Path):
        match = _AS_PATH.fullmatch(str(value))
        return f"{match[1]}://{match[2]}" if match else None
    match = _IN_TEXT.fullmatch(value) if isinstance(value, str) else None
    return match[1] if match else None
