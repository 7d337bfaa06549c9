"""The images of a dataset, from its COCO files, its provenance, and where `run.json` says that the RGB images lie."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow.compute as pc

from nirgen.collection.coco import Entry, read_split
from nirgen.collection.item import Item
from nirgen.collection.roots import find_rgb, recorded_inputs, rgb_roots
from nirgen.dataset.folder import DATASET_JSON, PROVENANCE, read_dataset
from nirgen.dataset.provenance import open_provenance
from nirgen.errors import NirgenError
from nirgen.labels.names import safe_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class Origin(NamedTuple):
    """What provenance says of an image."""

    sha256: str
    input_sha256: str
    source: str | None
    source_sha256: str | None
    model_id: str | None


class DatasetReader:
    """Reads a dataset folder.

    Args:
        folder: The dataset.
        sources: Where RGB images are, by origin, if they have moved.

    Attributes:
        origins: Of its images.
        digest: Of the plan that it was made by.
        categories: In the order of their ids.
        count: How many images there are.

    Raises:
        NirgenError: It is damaged, or of another schema.
    """

    def __init__(self, folder: Path, sources: Mapping[str, Path]) -> None:
        info = read_dataset(folder)
        self._folder = folder
        self._names = {category.id: category.name for category in info.categories}
        self._sources = sources
        try:
            counts = {name: int(split["images"]) for name, split in info.splits.items()}
            self.origins = tuple(sorted({given["origin"] for given in info.values["labels"]}))
        except (KeyError, TypeError, AttributeError):
            raise NirgenError(f"{folder / DATASET_JSON}: damaged; build the dataset again") from None
        self._splits = tuple(name for name, images in counts.items() if images)
        self.count = sum(counts.values())
        self.digest = info.digest
        self.categories = info.categories

    def items(self) -> Iterator[Item]:
        """The images, sorted by key.

        Raises:
            NirgenError: The COCO files or the provenance can't be read, or one lacks an image of the other.
        """
        inputs = recorded_inputs(self._folder)
        roots = {origin: rgb_roots(given) for origin, given in inputs.items()}
        roots |= {origin: (root,) for origin, root in self._sources.items()}
        provenance = _read_provenance(self._folder)
        splits = [read_split(self._folder, split, self._names) for split in self._splits]
        for entry in heapq.merge(*splits, key=lambda entry: entry.image.key):
            known = provenance.get(entry.image.key)
            if known is None:
                raise NirgenError(
                    f"{self._folder / PROVENANCE}: knows nothing of {entry.image.key!r}; build the dataset again"
                )
            yield self._item(entry, known, roots.get(entry.image.origin, ()))

    def _item(self, entry: Entry, known: Origin, roots: tuple[Path, ...]) -> Item:
        image = entry.image
        source = None if known.source is None else safe_path(known.source, PROVENANCE)
        return Item(
            key=image.key,
            id=image.id,
            split=entry.split,
            origin=image.origin,
            generated=image.kind == "generated",
            path=self._folder / safe_path(image.file_name, entry.split),
            width=image.width,
            height=image.height,
            sha256=known.sha256,
            input_sha256=known.input_sha256,
            rgb=find_rgb(roots, source),
            rgb_name=source,
            rgb_sha256=known.source_sha256,
            attributes=_plain(image.attributes),
            sequence=image.sequence,
            model_id=known.model_id,
            boxes=entry.boxes,
        )


def _plain(attributes: Mapping[str, Any] | None) -> dict[str, str]:
    """The attributes of an image that are words or numbers, sorted by name."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in sorted((attributes or {}).items())
        if isinstance(value, str | int | float) and value != ""
    }


def _read_provenance(folder: Path) -> dict[str, Origin]:
    """What provenance says of each image, by key."""
    rows: dict[str, Origin] = {}
    with open_provenance(folder) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["kind", "key", *Origin._fields])
            images = table.filter(pc.equal(table["kind"], "image"))
            columns = [images[name].to_pylist() for name in Origin._fields]
            rows.update(zip(images["key"].to_pylist(), map(Origin._make, zip(*columns, strict=True)), strict=True))
    return rows
