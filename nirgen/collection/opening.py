"""One reader for dataset folders and translation folders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from nirgen.collection.datasets import DatasetReader
from nirgen.collection.translations import TranslationReader
from nirgen.dataset.folder import DATASET_JSON, is_dataset
from nirgen.errors import NirgenError
from nirgen.translate.journal import FOLDER
from nirgen.translate.manifest import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nirgen.collection.item import Item
    from nirgen.labels.file import Category


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
