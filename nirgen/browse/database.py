"""FiftyOne's MongoDB, and the FiftyOne dataset in it that belongs to a folder.

Without a database in its settings FiftyOne starts the mongod that it ships, and waits a minute for one that can't
start; so mongod or the server is checked first.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nirgen.browse.fields import INFO, SCHEMA
from nirgen.browse.mongod import own_mongod
from nirgen.errors import NirgenError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from nirgen.collection import Collection

SECONDS_TO_ANSWER = 5  # until an unreachable database is an error; a replica set may be electing a new primary


def open_fiftyone(
    database: str | None = None, *, track: bool = False, say: Callable[[str], None] = lambda _line: None
) -> Any:
    """Import FiftyOne, connect it to its database, and return the module.

    The mongod that FiftyOne starts is shared by the processes of one user. Of two that would start it at once, the
    second waits for the first. A mongod of another user or for another folder is never used.

    Args:
        database: URI of a MongoDB; by default that of FiftyOne's settings, else the mongod that FiftyOne ships.
        track: Let FiftyOne send usage statistics to its makers.
        say: Called with a line if another process is waited for.

    Raises:
        NirgenError: FiftyOne isn't installed, or its database is missing, unreachable or of an unsupported version.
    """
    fiftyone = _import()
    config = fiftyone.config
    config.do_not_track = not track
    if database is not None and database != config.database_uri:
        from fiftyone.core.odm import database as internals
        from fiftyone.factory import repo_factory

        internals._disconnect()
        repo_factory._db = None  # and the collections that it has cached
        repo_factory.RepositoryFactory.repos.clear()
        config.database_uri = database
    if config.database_uri is None:
        with own_mongod(Path(config.database_dir).absolute(), say):
            _connect(fiftyone)
        return fiftyone
    least = fiftyone.constants.MONGODB_MIN_VERSION if config.database_validation else None
    _check_server(config.database_uri, least)
    from fiftyone.core.odm import database as internals

    # FiftyOne has no setting for it and would wait for 30 s.
    internals._connection_kwargs["serverSelectionTimeoutMS"] = SECONDS_TO_ANSWER * 1000
    _connect(fiftyone)
    return fiftyone


def _import() -> Any:
    if util.find_spec("fiftyone") is None:
        raise NirgenError("FiftyOne isn't installed; pip install 'nirgen[browse]'")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside FiftyOne and its dependencies
            import fiftyone
    except ImportError as error:
        raise NirgenError(
            f"FiftyOne can't be imported ({one_line(error)}); pip install --upgrade 'nirgen[browse]'"
        ) from error
    return fiftyone


def _check_server(uri: str, least: Any) -> None:
    from pymongo import MongoClient
    from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure, PyMongoError

    place = where(uri)
    try:
        client: Any
        with MongoClient(uri, serverSelectionTimeoutMS=SECONDS_TO_ANSWER * 1000) as client:
            version = str(client.server_info()["version"])
            client.admin.command("ping")
    except (InvalidURI, ConfigurationError, ValueError) as error:
        raise NirgenError(
            f"{place}: not the URI of a MongoDB ({one_line(error)}); an example is mongodb://127.0.0.1:27017"
        ) from None
    except OperationFailure as error:
        reason = (error.details or {}).get("errmsg", str(error))
        raise NirgenError(
            f"{place}: MongoDB denies access ({reason}); check user name and password in --database-uri"
        ) from None
    except PyMongoError as error:
        raise NirgenError(
            f"{place}: no MongoDB answers there ({_short(error)}); start it, or name another with --database-uri"
        ) from None
    if least is not None and tuple(map(int, version.split(".")[:2])) < least.release[:2]:
        raise NirgenError(
            f"{place}: runs MongoDB {version}, and FiftyOne needs {least} or later; name another with --database-uri"
        )


def _connect(fiftyone: Any) -> None:
    """Let FiftyOne connect, and migrate its database where needed."""
    from fiftyone.core.config import FiftyOneConfigError
    from fiftyone.core.service import ServiceException
    from pymongo.errors import PyMongoError

    logger = logging.getLogger("fiftyone")
    level = logger.level
    logger.setLevel(logging.ERROR)  # its advice on MongoDB's version would go to standard output
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fiftyone.list_datasets()
    except (ServiceException, FiftyOneConfigError, PyMongoError, OSError, RuntimeError) as error:
        own = fiftyone.config.database_uri is None
        log = f" (its log: {fiftyone.config.database_dir}/log/mongo.log)" if own else ""
        raise NirgenError(
            f"FiftyOne can't use its database: {_short(error)}{log}; name another with --database-uri"
        ) from error
    finally:
        logger.setLevel(level)


@contextmanager
def database_errors(name: str) -> Generator[None]:
    """Turn failures of the database, and the loss of the dataset `name` in it, into a NirgenError."""
    from fiftyone.core.dataset import DatasetNotFoundError
    from mongoengine.errors import MongoEngineException
    from pymongo.errors import PyMongoError

    try:
        yield
    except DatasetNotFoundError:
        raise gone(name) from None
    except (PyMongoError, MongoEngineException) as error:
        raise NirgenError(
            f"FiftyOne's database failed at the dataset '{name}' ({_short(error)}); check that it runs, then run the "
            "same command again"
        ) from error


def gone(name: str) -> NirgenError:
    """Return the error for a FiftyOne dataset that was deleted while it was in use."""
    return NirgenError(f"the FiftyOne dataset '{name}' was deleted meanwhile; run 'nirgen browse' again to load it")


def where(uri: str) -> str:
    """Return the hosts of a URI without its user name and password.

    Example:
        >>> where("mongodb://anna:secret@db.example:27017/?tls=true")
        'mongodb://db.example:27017'
    """
    scheme, _, rest = uri.rpartition("://")
    host = rest.split("/")[0].split("?")[0].rpartition("@")[2]
    return f"{scheme}://{host}" if scheme else host


def _short(error: Exception) -> str:
    """Return an error's text without the state of each server, which pymongo appends."""
    return one_line(error).split(", Timeout:")[0].split(" (configured timeouts")[0][:200]


@dataclass(frozen=True, slots=True)
class Origin:
    """The folder that a FiftyOne dataset was loaded from, recorded in its `info`."""

    folder: str  # dataset or translation folder, absolute
    kind: str  # dataset or translation
    digest: str  # of the folder's content
    complete: bool = False  # loaded to its end
    state: str = ""  # digest of the samples
    scores: str = ""  # digest of the scores file; empty if loaded without scores
    embeddings: str = ""  # state of those that are shown; empty without any
    fields: tuple[str, ...] = ()  # loaded fields of attributes and counts, of earlier loads too
    views: tuple[str, ...] = ()  # names of saved views

    @classmethod
    def of(cls, dataset: Any) -> Self | None:
        """Read the origin of a FiftyOne dataset; None if nirgen didn't load it, and an error if a newer nirgen did."""
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
        """Write the origin to a FiftyOne dataset's `info`."""
        values = {"schema": SCHEMA, **asdict(self), "fields": list(self.fields), "views": list(self.views)}
        dataset.info = {**(dataset.info or {}), INFO: values}
        dataset.save()


@dataclass(frozen=True, slots=True)
class Target:
    """The FiftyOne dataset that a folder is loaded into."""

    name: str
    origin: Origin | None = None  # None if it doesn't exist yet
    moved_from: str | None = None  # the folder's path at the last load, if it differs


def target_for(fiftyone: Any, collection: Collection, name: str | None = None) -> Target:
    """Choose the FiftyOne dataset for a folder.

    Without a name it is the one that was loaded from the folder, or else that of the folder's name.
    """
    folder = str(collection.folder.resolve())
    name = name or loaded_as(folder) or collection.name
    if not fiftyone.dataset_exists(name):
        return Target(name)
    origin = Origin.of(fiftyone.load_dataset(name))
    if origin is None:
        raise NirgenError(
            f"FiftyOne has a dataset '{name}' that nirgen didn't make; give another name with --name, or delete it "
            f"with 'fiftyone datasets delete {name}'"
        )
    if origin.folder == folder:
        return Target(name, origin)
    gone = not Path(origin.folder).exists()
    if gone and origin.digest == collection.digest:
        return Target(name, origin, moved_from=origin.folder)
    state = ", which is gone" if gone else ""
    raise NirgenError(
        f"the FiftyOne dataset '{name}' shows another folder, {origin.folder}{state}; give {folder} another name with "
        f"--name, or delete the other with 'fiftyone datasets delete {name}'"
    )


def loaded_as(folder: str) -> str | None:
    """Return the name of the first FiftyOne dataset that was loaded from a folder, or None."""
    from fiftyone.core.odm import get_db_conn

    wanted = {f"info.{INFO}.folder": folder, "persistent": True}  # others are of loads that were killed at their start
    found = get_db_conn().datasets.find(wanted, {"name": 1}).sort("name", 1).limit(1)
    return next((str(each["name"]) for each in found), None)


def is_loaded(fiftyone: Any, collection: Collection) -> bool:
    """Return True if FiftyOne has a dataset of a folder, in whatever state, or of the place where it was before."""
    if loaded_as(str(collection.folder.resolve())) is not None:
        return True
    try:
        return target_for(fiftyone, collection).origin is not None
    except NirgenError:  # of that name it has another folder's dataset
        return False


def find_loaded(fiftyone: Any, collection: Collection, name: str | None = None) -> Any:
    """Return the FiftyOne dataset that shows a folder as it is now; `name` chooses if several show it."""
    target = target_for(fiftyone, collection, name)
    problem = None
    if target.origin is None:
        problem = f"not in FiftyOne as '{target.name}'"
    elif target.moved_from is not None:
        problem = f"'{target.name}' shows it at {target.moved_from}"
    elif target.origin.digest != collection.digest:
        problem = f"was built anew since '{target.name}' was loaded"
    elif not target.origin.complete:
        problem = f"'{target.name}' isn't loaded to its end"
    if problem:
        folder = collection.folder
        raise NirgenError(f"{folder}: {problem}; run 'nirgen browse --no-launch {folder}' first, which keeps decisions")
    return fiftyone.load_dataset(target.name)
