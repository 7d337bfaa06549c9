"""The sources that a run is told to translate: a folder, a single file, or a list of files; on disk or by URL."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nirgen.errors import NirgenError, OutputError, nearest
from nirgen.translate.listed import read_listing
from nirgen.translate.listing import Disk, Names, check_no_translation
from nirgen.translate.remote import UrlTree, refuse_translation
from nirgen.translate.url import Url, lies_in, unreachable

if TYPE_CHECKING:
    from nirgen.translate.plan import Tree
    from nirgen.translate.url import Place


def find_sources(source: Place | None, out: Place, listing: Path | None) -> tuple[Place, Tree, str]:
    """Find where the sources' names come from.

    Args:
        source: A folder or an image file. With a listing: the folder that the listed names are relative to; None for
            the listing's own folder.
        out: The output folder, which need not exist.
        listing: A text file with one path a line.

    Returns:
        The folder that the names are relative to, the names, and what to call them.

    Raises:
        NirgenError: There is nothing of that name, source and output folders overlap, or the sources are outputs.
    """
    if listing is not None:
        root = listing.parent if source is None else source
        names = read_listing(listing, root)
        _require_folder(root)
        return root, _named(root, names, out), f"the list {str(listing)!r}"
    if source is None:
        raise NirgenError("nothing to translate: give a folder, an image file, or a list of files")
    if _is_folder(source):
        _check_apart(source, out)
        return (
            source,
            UrlTree(source) if isinstance(source, Url) else Disk(source, out if isinstance(out, Path) else None),
            repr(str(source)),
        )
    _require_existing(source)
    return source.parent, _named(source.parent, [source.name], out), repr(str(source))


def _named(root: Place, names: list[str], out: Place) -> Names:
    tree = Names(root, names, out)
    for folder in tree.folders():
        if isinstance(folder, Url):
            _check_url(folder)
        else:
            check_no_translation(folder)
    return tree


def _check_url(folder: Url) -> None:
    try:
        refuse_translation(folder, {entry.name for entry in folder.entries()})
    except OSError as error:
        raise unreachable(folder, error) from error


def _is_folder(source: Place) -> bool:
    return _kind(source) == "folder" if isinstance(source, Url) else source.is_dir()


def _kind(url: Url) -> str | None:
    try:
        return url.kind()
    except OSError as error:
        raise unreachable(url, error) from error


def _require_existing(source: Place) -> None:
    if isinstance(source, Url):
        if _kind(source) is None:
            raise NirgenError(f"{str(source)!r} does not exist; check the names of bucket and folder")
        return
    if not (source.exists() or source.is_symlink()):
        siblings = os.listdir(source.parent) if source.parent.is_dir() else []  # noqa: PTH208 - names are what is needed
        raise NirgenError(f"{str(source)!r} does not exist{nearest(source.name, siblings)}")


def _require_folder(root: Place) -> None:
    _require_existing(root)
    if not _is_folder(root):
        raise NirgenError(
            f"{str(root)!r} is not a folder; with a list, SRC is the folder that the listed names are relative to"
        )


def _check_apart(root: Place, out: Place) -> None:
    """Refuse folders that overlap: outputs would become sources of the next run."""
    inside, around = lies_in(out, root), lies_in(root, out)
    if inside and around:
        raise OutputError(f"OUT {str(out)!r} is SRC itself; use another folder")
    if inside:
        raise OutputError(f"OUT {str(out)!r} lies inside SRC {str(root)!r}; use a folder outside of it")
    if around:
        raise OutputError(f"SRC {str(root)!r} lies inside OUT {str(out)!r}; use another OUT")
