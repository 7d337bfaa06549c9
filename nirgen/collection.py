"""A dataset or a translation folder as one sequence of images with their sources and boxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from nirgen.dataset.folder import DATASET_JSON, hash_input, is_dataset
from nirgen.dataset.read import DatasetReader, Item, ItemBox, find_rgb, translated_from
from nirgen.errors import NirgenError
from nirgen.files import safe_path
from nirgen.translate.journal import FOLDER, journal_path
from nirgen.translate.manifest import NAME, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nirgen.labels.file import Category


__all__ = ["Collection", "Item", "ItemBox", "open_collection"]


class TranslationReader:
    """Reads the rows of a manifest that are done.

    Args:
        folder: The translation folder.
        sources: Where the RGB images are, by the folder's name, if they have moved.

    Attributes:
        origins: The folder's name.
        digest: Of the manifest.
        categories: None.
        count: How many images there are.

    Raises:
        NirgenError: Its translation hasn't ended, or its manifest can't be read.
    """

    def __init__(self, folder: Path, sources: Mapping[str, Path]) -> None:
        if journal_path(folder).exists():
            raise NirgenError(f"{folder}: its translation hasn't ended; finish it with the same 'nirgen translate'")
        manifest = read_manifest(folder)
        if manifest is None:
            raise NirgenError(f"{folder}: no translation folder (no {NAME}); 'nirgen translate' writes one")
        name = folder.resolve().name
        self._folder = folder
        self._rows = sorted((row for row in manifest.rows if row.status == "done"), key=lambda row: row.source)
        root = sources.get(name) or translated_from(folder)
        self._roots = () if root is None else (root,)
        self.origins = (name,)
        self.digest = hash_input(folder / NAME)
        self.categories: tuple[Category, ...] = ()
        self.count = len(self._rows)

    def items(self) -> Iterator[Item]:
        """The images, sorted by key."""
        (origin,) = self.origins
        for row in self._rows:
            source = safe_path(row.source, NAME)
            yield Item(
                key=f"{origin}/{row.source}",
                id=None,
                split=None,
                origin=origin,
                generated=True,
                path=self._folder / safe_path(str(row.output), NAME),
                width=row.width or 0,
                height=row.height or 0,
                sha256=row.output_sha256 or "",
                input_sha256=row.output_sha256 or "",
                rgb=find_rgb(self._roots, source),
                rgb_name=source,
                rgb_sha256=row.source_sha256,
                attributes={},
                sequence=None,
                model_id=row.model_id,
                boxes=(),
            )


@dataclass(frozen=True)
class Collection:
    """The images of a folder.

    Attributes:
        folder: As it was given.
        kind: What `nirgen build-dataset` or `nirgen translate` wrote.
        name: The folder's.
        digest: Of what it holds: another one for other images or labels.
        categories: In the order of their ids; none in a translation folder.
        count: How many images there are.
        origins: Where they come from: the inputs of a dataset; of a translation folder its name.
    """

    folder: Path
    kind: Literal["dataset", "translation"]
    name: str
    digest: str
    categories: tuple[Category, ...]
    count: int
    origins: tuple[str, ...]
    _reader: DatasetReader | TranslationReader = field(repr=False)

    def items(self) -> Iterator[Item]:
        """Read the images, one at a time.

        Yields:
            The images, sorted by key.

        Raises:
            NirgenError: A file that says what they are can't be read.
        """
        return self._reader.items()


def open_collection(folder: Path, sources: Mapping[str, Path] | None = None) -> Collection:
    """Open a dataset or a translation folder.

    Args:
        folder: What `nirgen build-dataset` or `nirgen translate` wrote.
        sources: By origin, where RGB images are if they have moved; the origin of a translation folder is its name.

    Raises:
        NirgenError: It is neither, or damaged; its translation hasn't ended; or a folder of sources isn't there, or its
            origin.
    """
    sources = dict(sources or {})
    reader: DatasetReader | TranslationReader
    kind: Literal["dataset", "translation"]
    if is_dataset(folder):
        reader, kind = DatasetReader(folder, sources), "dataset"
    elif (folder / NAME).is_file() or (folder / FOLDER).is_dir():
        reader, kind = TranslationReader(folder, sources), "translation"
    else:
        what = (
            "not there" if not folder.exists() else f"neither a dataset (no {DATASET_JSON}) nor translated (no {NAME})"
        )
        raise NirgenError(f"{folder}: {what}; name a folder that 'nirgen build-dataset' or 'nirgen translate' wrote")
    _check(sources, reader.origins, folder)
    return Collection(
        folder=folder,
        kind=kind,
        name=folder.resolve().name,
        digest=reader.digest,
        categories=reader.categories,
        count=reader.count,
        origins=reader.origins,
        _reader=reader,
    )


def _check(sources: Mapping[str, Path], origins: tuple[str, ...], folder: Path) -> None:
    for origin, root in sources.items():
        if origin not in origins:
            raise NirgenError(f"{folder}: has no origin {origin!r}; its origins: {', '.join(origins)}")
        if not root.is_dir():
            raise NirgenError(f"{root}: no folder; name that of the RGB images of '{origin}'")
