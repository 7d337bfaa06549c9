"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_TEMPORARY = re.compile(r"\.nirgen-[0-9a-f]{8}\.tmp")


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Write a file so that a reader, or a crash, sees the old content or the new one and nothing between.

    The temporary file lies in the target's folder; its name is short, because the target's may be as long as a file
    system allows.

    Args:
        path: The file; its folder exists.

    Yields:
        A temporary path to write instead; it takes the file's place when the block ends.

    Raises:
        OSError: It can't be written; as for any error in the block, no temporary file is left.
    """
    temporary = path.parent / f".nirgen-{secrets.token_hex(4)}.tmp"
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_whole(path: Path, data: bytes) -> None:
    """Write bytes as a file, whole or not at all (see `replacing`).

    Args:
        path: The file; its folder exists.
        data: The whole content.

    Raises:
        OSError: It can't be written; no temporary file is left.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def is_temporary(name: str) -> bool:
    """Whether a file name is one that `replacing` gives while it works; such a file is what a killed run left.

    Example:
        >>> is_temporary(".nirgen-0123abcd.tmp"), is_temporary("photo.tmp")
        (True, False)
    """
    return _TEMPORARY.fullmatch(name) is not None
