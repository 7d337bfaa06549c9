"""A dataset or a translation folder as one sequence of images with their sources and boxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

from nirgen.dataset.folder import DATASET_JSON, is_dataset, read_dataset
from nirgen.dataset.read import Image, read, translated_from
from nirgen.errors import NirgenError
from nirgen.files import HeldFolder, find_below, sha256_of
from nirgen.translate.journal import FOLDER, journal_path
from nirgen.translate.manifest import NAME, is_named, read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from nirgen.labels.file import Category
    from nirgen.translate.items import Row


@dataclass(frozen=True)
class Collection:
    """The images of a folder."""

    folder: Path
    kind: Literal["dataset", "translation"]
    name: str  # of the folder
    digest: str  # of its content: another one for other images or labels
    categories: tuple[Category, ...]  # in the order of their ids; none in a translation folder
    count: int  # images
    origins: tuple[str, ...]  # inputs of a dataset; the name of a translation folder
    _read: Callable[[], Iterator[Image]] = field(repr=False)
    _held: HeldFolder = field(repr=False)
    _record: tuple[str, str] = field(repr=False)  # the file that lists its images, and its sha256
    misnamed: int = 0  # images of a translation folder that are left out, as their names can't be used

    def items(self) -> Iterator[Image]:
        """Read the images one at a time, sorted by key."""
        return self._read()

    def check(self) -> None:
        """Raise a NirgenError if the folder was removed or replaced since it was opened, or lists other images."""
        name, sha256 = self._record
        try:
            if self._held.is_at(self.folder) and sha256_of(self.folder / name) == sha256:
                return
        except OSError:
            pass
        raise NirgenError(
            f"{self.folder}: was removed, replaced or changed while it was read; run the same command again"
        )


def open_collection(folder: Path, sources: Mapping[str, Path] | None = None) -> Collection:
    """Open a dataset or a translation folder.

    Args:
        folder: Output of `nirgen build-dataset` or `nirgen translate`.
        sources: Folders of RGB images that have moved, by origin; the origin of a translation folder is its name.

    Raises:
        NirgenError: It is neither, damaged or unfinished; or `sources` has an unknown origin or a missing folder.
    """
    sources = dict(sources or {})
    if is_dataset(folder):
        found = _open_dataset(folder, sources)
    elif (folder / NAME).is_file() or (folder / FOLDER).is_dir():
        found = _open_translation(folder, sources)
    else:
        what = f"neither a dataset (no {DATASET_JSON}) nor translated (no {NAME})" if folder.exists() else "not there"
        raise NirgenError(f"{folder}: {what}; name a folder that 'nirgen build-dataset' or 'nirgen translate' wrote")
    for origin, root in sources.items():
        if origin not in found.origins:
            raise NirgenError(f"{folder}: has no origin {origin!r}; its origins: {', '.join(found.origins)}")
        if not root.is_dir():
            raise NirgenError(f"{root}: no folder; name that of the RGB images of '{origin}'")
    return found


def _open_dataset(folder: Path, sources: Mapping[str, Path]) -> Collection:
    held, record = _stamp(folder, DATASET_JSON)
    info = read_dataset(folder)
    try:
        count = sum(int(split["images"]) for split in info.splits.values())
        origins = tuple(sorted({given["origin"] for given in info.values["labels"]}))
    except (KeyError, TypeError, AttributeError):
        raise NirgenError(f"{folder / DATASET_JSON}: damaged; build the dataset again") from None
    return Collection(
        folder,
        "dataset",
        folder.resolve().name,
        info.digest,
        info.categories,
        count,
        origins,
        _read=partial(read, info, sources=sources),
        _held=held,
        _record=record,
    )


def _open_translation(folder: Path, sources: Mapping[str, Path]) -> Collection:
    if journal_path(folder).exists():
        raise NirgenError(f"{folder}: its translation hasn't ended; finish it with the same 'nirgen translate'")
    if not (folder / NAME).is_file():
        raise NirgenError(f"{folder}: no translation folder (no {NAME}); 'nirgen translate' writes one")
    held, record = _stamp(folder, NAME)
    manifest = read_manifest(folder)
    if manifest is None:
        raise NirgenError(f"{folder}: was removed while it was read; run the same command again")
    name = folder.resolve().name
    done = sorted((row for row in manifest.rows if row.status == "done"), key=lambda row: row.source)
    rows = [row for row in done if is_named(row)]
    root = sources.get(name) or translated_from(folder)
    return Collection(
        folder,
        "translation",
        name,
        digest=record[1],
        categories=(),
        count=len(rows),
        origins=(name,),
        _read=partial(_translated, folder, name, rows, () if root is None else (root,)),
        _held=held,
        _record=record,
        misnamed=len(done) - len(rows),
    )


def _stamp(folder: Path, name: str) -> tuple[HeldFolder, tuple[str, str]]:
    """Return a folder, held open, and a file of it with its sha256; a NirgenError if they can't be read."""
    try:
        return HeldFolder(folder), (name, sha256_of(folder / name))
    except OSError as error:
        raise NirgenError(f"{folder / name}: can't be read ({error.strerror}); restore it") from None


def _translated(folder: Path, origin: str, rows: Sequence[Row], roots: Sequence[Path]) -> Iterator[Image]:
    for row in rows:
        yield Image(
            key=f"{origin}/{row.source}",
            id=None,
            split=None,
            origin=origin,
            generated=True,
            path=folder / str(row.output),
            width=row.width or 0,
            height=row.height or 0,
            sha256=row.output_sha256 or "",
            input_sha256=row.output_sha256 or "",
            rgb=find_below(roots, row.source),
            rgb_name=row.source,
            rgb_sha256=row.source_sha256,
            attributes={},
            sequence=None,
            model_id=row.model_id,
            boxes=(),
            labelled=False,
        )
