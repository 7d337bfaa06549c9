"""One picture of a run: its first sources beside their outputs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nirgen import images
from nirgen.errors import ImageError, OutputError
from nirgen.files import write_whole
from nirgen.translate.journal import join
from nirgen.translate.manifest import iter_rows
from nirgen.translate.url import Url

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nirgen.translate.run import Request


def check_preview(picture: Path, request: Request) -> None:
    """Refuse, before any work, a picture that could not or should not be written after it.

    Raises:
        OutputError: It does not end in `.png`, is a folder, its folder does not exist or can't be written, or lies in
            OUT or SRC, where it could replace an output or a photo.
    """
    if isinstance(request.source, Url) or isinstance(request.out, Url):
        raise OutputError("--preview shows folders of this machine, and no URLs; leave it out")
    folder, target = picture.resolve().parent, request.out.resolve()
    if picture.suffix.lower() != ".png":
        raise OutputError(f"the preview {str(picture)!r} is written as PNG; give it a name that ends in .png")
    if picture.is_dir():
        raise OutputError(f"the preview {str(picture)!r} is a folder; name a file")
    if target in (folder, *folder.parents):
        raise OutputError(f"the preview {str(picture)!r} lies inside OUT {str(request.out)!r}; put it outside of it")
    if request.source is not None and request.source.resolve() in (picture.resolve(), folder, *folder.parents):
        raise OutputError(f"the preview {str(picture)!r} lies inside SRC {str(request.source)!r}; put it outside of it")
    if folder in target.parents and not folder.exists():  # the run creates it
        return
    if not folder.is_dir():
        raise OutputError(f"the preview's folder {str(picture.parent)!r} does not exist; make it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"the preview's folder {str(picture.parent)!r} can't be written; use another")


def write_preview(picture: Path, request: Request, *, count: int = 4) -> int:
    """Write a picture with a row for each of the first images of a run: the source, then the output.

    Returns:
        The number of rows, at most `count`: failed and unreadable images are skipped. If 0, nothing is written.

    Raises:
        OutputError: The picture can't be written.
    """
    root, out, limit = Path(str(request.plan.root)), Path(str(request.out)), request.run.pixel_limit
    rows: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
    for item, row in join(request.plan, iter_rows(out)):
        if item is None or row is None or row.output != item.output:
            continue
        try:
            source = images.read(root / item.source, pixel_limit=limit)
            rows.append((source, images.read(out / item.output, pixel_limit=max(limit, images.PIXEL_LIMIT))))
        except (ImageError, MemoryError):
            continue
        if len(rows) == count:
            break
    if rows:
        try:
            write_whole(picture, images.encode(images.side_by_side(rows), "png"))
        except OSError as error:
            raise OutputError(
                f"the preview {str(picture)!r} can't be written: {error.strerror}; use another"
            ) from error
    return len(rows)
