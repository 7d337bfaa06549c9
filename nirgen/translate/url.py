"""Places named by path or URL. URLs are reached through fsspec; a `Url` is its text, so that it can be pickled.

A store that does not answer is given up after half a minute, one that reports to be busy after a minute. For this,
the layers of `s3://` make one attempt each, where the default is a hundred; other stores keep their own retries.
"""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from nirgen.errors import NirgenError, OutputError, one_line
from nirgen.files import open_regular, retrying

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

# Stores that write an object whole or not at all.
PROTOCOLS = ("s3", "gs", "gcs", "az", "abfs")
# A silent store gets two attempts of 14 s each; one that refuses connections, or errs, five within 8 s.
_PAUSES_SECONDS, _PATIENCE_SECONDS = (0.1, 0.5, 2.5, 5.0, 10.0, 10.0, 10.0, 10.0), 15.0
_CONNECT_SECONDS, _READ_SECONDS = 5.0, 14.0
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"}
_INVALID = {"ParamValidationError", "ProfileNotFound", "NoRegionError", "InvalidRegionError", "InvalidConfigError"}
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder of a listing."""

    name: str  # the last part of its path
    is_folder: bool


@dataclass(frozen=True, slots=True)
class Url:
    """A folder or an object of a store; its methods raise OSError if the store does not answer, or refuses."""

    text: str  # such as `s3://bucket/frames`, without a trailing slash

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, name: str) -> Url:
        return Url(f"{self.text}/{name}".rstrip("/"))

    @property
    def name(self) -> str:
        """The last part."""
        return self.text.rpartition("/")[2]

    @property
    def parent(self) -> Url:
        """The folder that holds it."""
        return Url(self.text.rpartition("/")[0])

    def resolve(self) -> Url:
        """Return the URL itself, which is absolute."""
        return self

    def entries(self) -> list[Entry]:
        """List the folder; empty if it does not exist."""
        found, path = self._list()
        names = ((each["name"].rstrip("/"), each["type"] == "directory") for each in found)
        return [Entry(name.rpartition("/")[2], is_folder) for name, is_folder in names if name != path.rstrip("/")]

    def kind(self) -> str | None:
        """Return `folder`, `object`, or None if there is neither."""
        found, path = self._list()
        if not found:
            return None
        alone = len(found) == 1 and found[0]["name"] == path and found[0]["type"] == "file"
        return "object" if alone else "folder"

    def exists(self) -> bool:
        """Return True if there is such an object or folder."""
        try:
            self._ask(lambda store, path: store.info(path))
        except FileNotFoundError:
            return False
        return True

    def size(self) -> int | None:
        """Return the bytes of an object; None for a folder."""
        found = self._ask(lambda store, path: store.info(path))
        return int(found["size"]) if found["type"] == "file" else None

    def read_bytes(self) -> bytes:
        """Read the object."""
        return bytes(self._ask(lambda store, path: store.cat_file(path)))

    def write_bytes(self, data: bytes) -> None:
        """Write the object, whole or not at all."""
        self._ask(lambda store, path: store.pipe_file(path, data))

    def unlink(self) -> None:
        """Remove the object if it exists."""
        with suppress(FileNotFoundError):
            self._ask(lambda store, path: store.rm_file(path))

    def _list(self) -> tuple[list[dict[str, Any]], str]:
        try:
            return self._ask(lambda store, path: (store.ls(path, detail=True), path))
        except FileNotFoundError:
            return [], ""

    def _ask(self, action: Callable[[Any, str], _Result]) -> _Result:
        protocol = self.text.partition("://")[0]
        if protocol not in PROTOCOLS:
            known = " ".join(f"{each}://" for each in PROTOCOLS)
            raise NirgenError(f"{self.text!r} is a URL of an unknown kind; use a folder, or one of {known}")
        options: dict[str, Any] = {}
        if protocol == "s3":  # a new mapping for each connection: botocore changes it
            timeouts = {"connect_timeout": _CONNECT_SECONDS, "read_timeout": _READ_SECONDS}
            options["config_kwargs"] = {**timeouts, "retries": {"total_max_attempts": 1}}
        try:
            from fsspec.core import url_to_fs

            store, path = url_to_fs(self.text, use_listings_cache=False, **options)
        except ImportError as error:
            raise NirgenError(
                f"{self.text!r} is a URL, and its reader is not installed ({error}); pip install 'nirgen[remote]'"
            ) from error
        if protocol == "s3":
            store.retries = 1

        def attempt() -> _Result:
            with _os_errors():
                return action(store, path)

        return retrying(attempt, pauses_seconds=_PAUSES_SECONDS, patience_seconds=_PATIENCE_SECONDS)


Place: TypeAlias = Path | Url


def is_url(text: str) -> bool:
    """Return True for a URL, False for a path."""
    return "://" in text and text.partition("://")[0].isalnum()


def to_place(named: str | Path | Url) -> Place:
    """Return the path or URL of a name; NirgenError for a URL that was made a Path, and so lost a slash."""
    if isinstance(named, Url):
        return named
    text = str(named)
    if is_url(text):
        return Url(text.rstrip("/"))
    if isinstance(named, Path) and text.partition(":/")[0] in PROTOCOLS:
        raise NirgenError(f"{text!r} was a URL before it was made a Path; give it as text")
    return Path(named)


def exists(place: Place) -> bool:
    """Return True if the path or URL exists, a broken link included; errors as `reading`."""
    if isinstance(place, Path):
        return os.path.lexists(place)
    with reading(place):
        return place.exists()


def sha256_of(place: Place) -> str | None:
    """Return the sha256 of a file or object; None if it does not exist, or is no file that can be read."""
    try:
        if isinstance(place, Path):
            with open_regular(place) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        return hashlib.sha256(place.read_bytes()).hexdigest()
    except OSError as error:
        if isinstance(place, Url) and not isinstance(error, FileNotFoundError):
            raise unreachable(place, error) from error
        return None


def lies_in(inner: Place, outer: Place) -> bool:
    """Return True if a place is the other one, or lies in it; links are followed."""
    if isinstance(inner, Path) and isinstance(outer, Path):
        return inner.resolve().is_relative_to(outer.resolve())
    if isinstance(inner, Url) and isinstance(outer, Url):
        return f"{inner}/".startswith(f"{outer}/")
    return False


def unreachable(place: Place, error: OSError) -> NirgenError:
    """Return the error of a store that did not answer, or refused."""
    remedy = "check the credentials" if isinstance(error, PermissionError) else "check the name and the connection"
    return NirgenError(f"{str(place)!r} can't be read: {reason(error)}; {remedy}, and run again")


@contextmanager
def reading(place: Place) -> Generator[None]:
    """Raise NirgenError for a store that does not answer in the block, or refuses."""
    try:
        yield
    except OSError as error:
        raise unreachable(place, error) from error


@contextmanager
def writing(place: Url) -> Generator[None]:
    """Raise OutputError for a store that refuses a write in the block."""
    try:
        yield
    except OSError as error:
        denied = isinstance(error, PermissionError)
        what = "credentials" if denied else "bucket's name, the credentials and the connection"
        raise OutputError(
            f"{str(place)!r} can't be written: {reason(error)}; what is done stays; check the {what}, and run again"
        ) from error


def reason(error: OSError) -> str:
    """Return the text of an error as one line, without its number."""
    return " ".join(error.strerror.split()) if error.strerror else one_line(error)


@contextmanager
def _os_errors() -> Generator[None]:
    """Raise the errors of a store's library as OSError, with EIO where another attempt may help."""
    try:
        yield
    except OSError as error:
        if error.errno is None and not isinstance(error, (FileNotFoundError, PermissionError)):
            raise OSError(errno.EIO, str(error)) from error
        raise
    except Exception as error:
        kind = type(error)
        if kind.__module__ == "builtins":
            raise
        if kind.__name__ in _NO_CREDENTIALS:
            raise PermissionError(errno.EACCES, str(error)) from error
        raise OSError(errno.EINVAL if kind.__name__ in _INVALID else errno.EIO, str(error)) from error
