"""Which FiftyOne dataset belongs to a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nirgen.browse.names import INFO, SCHEMA
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from nirgen.collection import Collection


@dataclass(frozen=True, slots=True)
class Origin:
    """What a FiftyOne dataset was loaded from, as its `info` says.

    Attributes:
        folder: The dataset or translation folder, as an absolute path.
        kind: `dataset` or `translation`.
        digest: Of what the folder held.
        complete: Whether it was loaded to its end.
        state: A digest of what its samples were made of; empty if not known.
        scores: A digest of the scores; empty if it was loaded without.
        fields: The fields that were loaded.
        views: The names of the saved views that were made.
    """

    folder: str
    kind: str
    digest: str
    complete: bool = False
    state: str = ""
    scores: str = ""
    fields: tuple[str, ...] = ()
    views: tuple[str, ...] = ()

    @classmethod
    def of(cls, dataset: Any) -> Self | None:
        """What a FiftyOne dataset says; None if nirgen didn't load it.

        Raises:
            NirgenError: A newer nirgen has loaded it.
        """
        values = (dataset.info or {}).get(INFO)
        if not isinstance(values, dict) or "folder" not in values:
            return None
        if values.get("schema") != SCHEMA:
            raise NirgenError(
                f"the FiftyOne dataset '{dataset.name}' has schema {values.get('schema')}, and this nirgen reads "
                f"{SCHEMA}; delete it with 'fiftyone datasets delete {dataset.name}', or use --name"
            )
        known = {name: values[name] for name in cls.__slots__ if name in values}
        known |= {name: tuple(known[name]) for name in ("fields", "views") if name in known}
        return cls(**known)

    def write(self, dataset: Any) -> None:
        """Put it into a FiftyOne dataset's `info`."""
        values = {name: getattr(self, name) for name in self.__slots__}
        values |= {name: list(values[name]) for name in ("fields", "views")}
        dataset.info = {**(dataset.info or {}), INFO: {"schema": SCHEMA, **values}}
        dataset.save()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a folder is, or is to be, loaded.

    Attributes:
        name: Of the FiftyOne dataset.
        origin: What it was loaded from; None if it isn't there yet.
        moved_from: Where the folder was when it was loaded, if that was elsewhere.
    """

    name: str
    origin: Origin | None = None
    moved_from: str | None = None


def place_for(fiftyone: Any, collection: Collection, name: str | None = None) -> Place:
    """Choose the FiftyOne dataset to load a folder into.

    Args:
        fiftyone: The module, connected.
        collection: The folder's.
        name: Of the FiftyOne dataset; by default of the one that was loaded from the folder before, or else the
            folder's own.

    Raises:
        NirgenError: The name belongs to something else.
    """
    folder = str(collection.folder.resolve())
    name = name or loaded_as(folder) or collection.name
    if not fiftyone.dataset_exists(name):
        return Place(name)
    origin = Origin.of(fiftyone.load_dataset(name))
    if origin is None:
        raise NirgenError(
            f"FiftyOne has a dataset '{name}' that nirgen didn't make; give another name with --name, or delete it "
            f"with 'fiftyone datasets delete {name}'"
        )
    if origin.folder == folder:
        return Place(name, origin)
    gone = not Path(origin.folder).exists()
    if gone and origin.digest == collection.digest:
        return Place(name, origin, moved_from=origin.folder)
    state = ", which is gone" if gone else ""
    raise NirgenError(
        f"the FiftyOne dataset '{name}' shows another folder, {origin.folder}{state}; give {folder} another name with "
        f"--name, or delete the other with 'fiftyone datasets delete {name}'"
    )


def loaded_as(folder: str) -> str | None:
    """The name of the FiftyOne dataset that was loaded from a folder, the first of several; None if there is none."""
    from fiftyone.core.odm import get_db_conn

    found = get_db_conn().datasets.find({f"info.{INFO}.folder": folder}, {"name": 1}).sort("name", 1).limit(1)
    return next((str(each["name"]) for each in found), None)


def find_loaded(fiftyone: Any, collection: Collection, name: str | None = None) -> Any:
    """The FiftyOne dataset that shows a folder as it is now.

    Args:
        fiftyone: The module, connected.
        collection: The folder's.
        name: Of the FiftyOne dataset, if several show it.

    Raises:
        NirgenError: There is none, or it shows what the folder held before.
    """
    place = place_for(fiftyone, collection, name)
    again = f"run 'nirgen browse --no-launch {collection.folder}'"
    if place.origin is None:
        raise NirgenError(f"{collection.folder}: not in FiftyOne as '{place.name}'; {again} first")
    if place.moved_from is not None:
        raise NirgenError(f"{collection.folder}: '{place.name}' shows it at {place.moved_from}; {again} first")
    if place.origin.digest != collection.digest:
        raise NirgenError(
            f"{collection.folder}: was built anew since '{place.name}' was loaded; {again} first, which keeps decisions"
        )
    if not place.origin.complete:
        raise NirgenError(f"{collection.folder}: '{place.name}' isn't loaded to its end; {again} first")
    return fiftyone.load_dataset(place.name)
