"""A text file that names sources, one path a line."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from nirgen.errors import NirgenError
from nirgen.translate.url import Url, is_url

if TYPE_CHECKING:
    from nirgen.translate.url import Place


def read_listing(listing: Path, root: Place) -> list[str]:
    """The listed paths, relative to the root; blank lines are skipped."""
    try:
        text = listing.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise NirgenError(f"the list {str(listing)!r} can't be read ({error.strerror})") from error
    if "\0" in text:
        raise NirgenError(f"the list {str(listing)!r} is not a text file with one path a line")
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    return [_relative(line, root, listing) for line in lines if line]


def _relative(line: str, root: Place, listing: Path) -> str:
    if isinstance(root, Url):
        name = posixpath.normpath(line.removeprefix(f"{root}/"))
        if is_url(line.removeprefix(f"{root}/")) or name.startswith(("/", "../")) or name in {".", ".."}:
            raise NirgenError(
                f"{line!r} in {str(listing)!r} is not in {str(root)!r}; give the folder that has it as SRC"
            )
        return name
    base = os.path.abspath(root)  # noqa: PTH100 - resolving would follow links, and names are those that were given
    path = os.path.normpath(os.path.join(base, line))  # noqa: PTH118
    if os.path.commonpath([base, path]) != base or path == base:
        raise NirgenError(
            f"{line!r} in {str(listing)!r} is not in {base!r}; give the folder that has all of them as SRC"
        )
    return Path(path).relative_to(base).as_posix()
