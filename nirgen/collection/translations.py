"""The images of a translation folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nirgen.collection.item import Item
from nirgen.collection.roots import find_rgb, translated_from
from nirgen.dataset.reading import hash_input
from nirgen.errors import NirgenError
from nirgen.labels.names import safe_path
from nirgen.translate.journal import journal_path
from nirgen.translate.manifest import NAME, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nirgen.labels.file import Category


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
