"""One picture of a few sources beside their outputs, to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nirgen import images
from nirgen.errors import OutputError
from nirgen.files import write_whole
from nirgen.translate.manifest import read_manifest

if TYPE_CHECKING:
    from pathlib import Path


def write_preview(out: Path, root: Path, picture: Path, *, count: int = 4) -> int:
    """Write a picture with a row for each of the first images of a translation folder: the source, then the output.

    Args:
        out: The translation folder.
        root: The folder that its sources are relative to.
        picture: The PNG file to write.
        count: How many images to show at most.

    Returns:
        How many are shown; 0 if none is done, and then nothing is written.

    Raises:
        ImageError: A source or an output can't be read any more.
        OutputError: The picture can't be written.
    """
    manifest = read_manifest(out)
    done = [row for row in manifest.rows if row.output is not None][:count] if manifest is not None else []
    rows = [(images.read(root / row.source), images.read(out / str(row.output))) for row in done]
    if rows:
        try:
            write_whole(picture, images.encode(images.side_by_side(rows), "png"))
        except OSError as error:
            raise OutputError(f"the picture {str(picture)!r} can't be written: {error.strerror}") from error
    return len(rows)
