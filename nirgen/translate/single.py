"""Translation of one image file to another one, without a translation folder."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nirgen.errors import OutputError
from nirgen.files import read_bytes, write_whole
from nirgen.translate.manifest import iter_rows
from nirgen.translate.run import execute

if TYPE_CHECKING:
    from nirgen.translate.items import Row
    from nirgen.translate.run import Request


def check_target(request: Request, target: Path) -> None:
    """Raise OutputError if a file can't be written: its folder is missing, or it exists and is not to be redone."""
    if not target.parent.is_dir():
        raise OutputError(f"the folder {str(target.parent)!r} of OUT does not exist; make it first")
    if not target.exists():
        return
    if isinstance(request.source, Path) and request.source.exists() and target.samefile(request.source):
        raise OutputError(f"OUT {str(target)!r} is SRC itself; name another file")
    if not request.run.redo:
        raise OutputError(f"OUT {str(target)!r} exists already; name another file, or replace it with --redo")


def translate_file(request: Request, target: Path) -> Row:
    """Translate the image file of a request, and write the result to a file that `check_target` allows.

    Returns:
        Its row, as in a manifest; nothing is written if it failed.

    Raises:
        NirgenError: As `nirgen.translate.run.execute`, or the file can't be written.
    """
    with tempfile.TemporaryDirectory(prefix="nirgen-") as folder:
        out = Path(folder) / "out"
        execute(replace(request, out=out))
        (row,) = iter_rows(out)
        if row.output is None:
            return row
        try:
            write_whole(target, read_bytes(out / row.output))
        except OSError as error:
            raise OutputError(f"OUT {str(target)!r} can't be written: {error.strerror}; name another file") from error
    return replace(row, output=target.name)
