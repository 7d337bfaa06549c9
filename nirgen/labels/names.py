"""The names of images in label files, which come from strangers."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from nirgen.errors import NirgenError

_DRIVE = re.compile(r"[A-Za-z]:")


def safe_path(name: str, where: str) -> str:
    """Make sure that a path from a file stays below the folder that it is relative to.

    Args:
        name: The path as the file has it.
        where: What has it, for the error: such as `labels.json: image 17`.

    Returns:
        The same path in its shortest spelling: `./a//b.jpg` becomes `a/b.jpg`.

    Raises:
        NirgenError: It is empty or absolute, or has `..`, a backslash, a drive letter or a control character.

    Example:
        >>> safe_path("./a/b.jpg", "labels.json")
        'a/b.jpg'
        >>> safe_path("../b.jpg", "l.json")
        Traceback (most recent call last):
        nirgen.errors.NirgenError: l.json: the name '../b.jpg' has '..'; write a path relative to the images' folder
    """
    fault = _fault(name)
    if fault:
        raise NirgenError(f"{where}: the name {name!r} {fault}; write a path relative to the images' folder")
    return PurePosixPath(name).as_posix()


def _fault(name: str) -> str | None:
    """What is wrong with a path, or None."""
    if "\\" in name:
        return "has a backslash (folders are parted by '/')"
    if not name.isprintable() and any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return "has a control character"
    if name.startswith("/") or _DRIVE.match(name):
        return "is absolute"
    parts = PurePosixPath(name).parts
    if ".." in parts:
        return "has '..'"
    return None if parts else "is empty"
