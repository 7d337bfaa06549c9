"""Places that are named by URLs: object stores, by fsspec.

A `Url` has what this package needs of a path. It is no more than its text, so that it may go to another process; the
connection is made there, and kept by fsspec.

A store that doesn't answer is given up after half a minute at most, and one that says that it is busy after a minute.
For this, `s3://` is asked once by its library's layers, which else multiply their attempts to a hundred; those of the
other stores keep theirs.
"""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from nirgen.errors import NirgenError
from nirgen.files import retrying

if TYPE_CHECKING:
    from collections.abc import Callable


# Stores that put an object whole or not at all.
PROTOCOLS = ("s3", "gs", "gcs", "az", "abfs")
# So a silent store is asked twice, for 14 s each; one that refuses connections, or errs, five times within 8 s.
_PAUSES_SECONDS, _PATIENCE_SECONDS = (0.1, 0.5, 2.5, 5.0, 10.0, 10.0, 10.0, 10.0), 15.0
_CONNECT_SECONDS, _READ_SECONDS = 5.0, 14.0
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"}
_WRONG = {"ParamValidationError", "ProfileNotFound", "NoRegionError", "InvalidRegionError", "InvalidConfigError"}
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Entry:
    """What lies in a folder of a store.

    Attributes:
        name: Its last part.
        is_folder: Whether it is a folder; else it is an object.
    """

    name: str
    is_folder: bool


@dataclass(frozen=True, slots=True)
class Url:
    """A folder or an object of a store.

    Attributes:
        text: Such as `s3://bucket/frames`, without a slash at its end.
    """

    text: str

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
        """The folder that it lies in."""
        return Url(self.text.rpartition("/")[0])

    def resolve(self) -> Url:
        """Itself, for a URL is absolute."""
        return self

    def entries(self) -> list[Entry]:
        """What lies in this folder; nothing if there is no such folder.

        Raises:
            OSError: The store did not answer, or refused.
        """
        try:
            found, path = self._ask(lambda files, path: (files.ls(path, detail=True), path))
        except FileNotFoundError:
            return []
        own = path.rstrip("/")
        names = [(each["name"].rstrip("/"), each["type"] == "directory") for each in found]
        return [Entry(name.rpartition("/")[2], is_folder) for name, is_folder in names if name != own]

    def kind(self) -> str | None:
        """`folder`, `object`, or None if there is nothing.

        Raises:
            OSError: The store did not answer, or refused.
        """
        try:
            found, path = self._ask(lambda files, path: (files.ls(path, detail=True), path))
        except FileNotFoundError:
            return None
        alone = len(found) == 1 and found[0]["name"] == path and found[0]["type"] == "file"
        return "object" if alone else "folder"

    def exists(self) -> bool:
        """Whether there is such an object or folder.

        Raises:
            OSError: The store did not answer, or refused.
        """
        try:
            self._ask(lambda files, path: files.info(path))
        except FileNotFoundError:
            return False
        return True

    def size(self) -> int | None:
        """Of an object, in bytes; None for a folder.

        Raises:
            OSError: There is none, or the store did not answer, or refused.
        """
        found = self._ask(lambda files, path: files.info(path))
        return int(found["size"]) if found["type"] == "file" else None

    def read_bytes(self) -> bytes:
        """The whole object.

        Raises:
            OSError: There is none, or the store did not answer, or refused.
        """
        return bytes(self._ask(lambda files, path: files.cat_file(path)))

    def write_bytes(self, data: bytes) -> None:
        """Put an object, whole or not at all.

        Raises:
            OSError: The store did not answer, or refused.
        """
        self._ask(lambda files, path: files.pipe_file(path, data))

    def unlink(self) -> None:
        """Remove an object; nothing happens if there is none.

        Raises:
            OSError: The store did not answer, or refused.
        """
        try:
            self._ask(lambda files, path: files.rm_file(path))
        except FileNotFoundError:
            return

    def _ask(self, action: Callable[[Any, str], _Result]) -> _Result:
        files, path = self._connect()
        return retrying(
            lambda: _answer(lambda: action(files, path)),
            pauses_seconds=_PAUSES_SECONDS,
            patience_seconds=_PATIENCE_SECONDS,
        )

    def _connect(self) -> tuple[Any, str]:
        protocol = self.text.partition("://")[0]
        if protocol not in PROTOCOLS:
            known = " ".join(f"{each}://" for each in PROTOCOLS)
            raise NirgenError(f"{self.text!r} is a URL of a kind that isn't known; use a folder, or one of {known}")
        try:
            from fsspec.core import url_to_fs

            files, path = url_to_fs(self.text, use_listings_cache=False, **_settings(protocol))
        except ImportError as error:
            raise NirgenError(
                f"{self.text!r} is a URL, and what reads it is not installed ({error}); pip install 'nirgen[remote]'"
            ) from error
        if protocol == "s3":
            files.retries = 1
        return files, path


Place: TypeAlias = Path | Url


def is_url(text: str) -> bool:
    """Whether something that was named is a URL, and no path.

    Example:
        >>> is_url("s3://bucket/frames"), is_url("frames/a:b")
        (True, False)
    """
    return "://" in text and text.partition("://")[0].isalnum()


def to_place(named: str | Path | Url) -> Place:
    """A path, or a URL if it is one.

    Raises:
        NirgenError: It is a URL that has become a path, which has lost a slash.
    """
    if isinstance(named, Url):
        return named
    text = str(named)
    if is_url(text):
        return Url(text.rstrip("/"))
    start = text.partition(":/")[0]
    if isinstance(named, Path) and start in PROTOCOLS:
        raise NirgenError(f"{text!r} was a URL before it was made a Path; give it as text")
    return Path(named)


def exists(place: Place) -> bool:
    """Whether there is something, be it a broken link.

    Raises:
        NirgenError: The store did not answer, or refused.
    """
    if isinstance(place, Path):
        return os.path.lexists(place)
    try:
        return place.exists()
    except OSError as error:
        raise unreachable(place, error) from error


def sha256_of(place: Place) -> str | None:
    """Of a file's or object's bytes; None if it is not there, or is a file that can't be read.

    Raises:
        NirgenError: A store did not answer, or refused, which says nothing of the object.
    """
    try:
        return hashlib.sha256(place.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
    except OSError as error:
        if isinstance(place, Url):
            raise unreachable(place, error) from error
        return None


def lies_in(inner: Place, outer: Place) -> bool:
    """Whether a place is another one, or lies in it; links are followed."""
    if isinstance(inner, Path) and isinstance(outer, Path):
        below, above = inner.resolve(), outer.resolve()
        return below == above or above in below.parents
    if isinstance(inner, Url) and isinstance(outer, Url):
        return f"{inner}/".startswith(f"{outer}/")
    return False


def unreachable(place: Place, error: OSError) -> NirgenError:
    """What to say of a store that did not answer, or refused."""
    remedy = "check the credentials" if isinstance(error, PermissionError) else "check the name and the connection"
    return NirgenError(f"{str(place)!r} can't be read: {reason(error)}; {remedy}, and run again")


def reason(error: OSError) -> str:
    """What an error says, in one line."""
    return " ".join(str(error.strerror or error).split())


def _settings(protocol: str) -> dict[str, Any]:
    """What a store's library is to do otherwise than by default; a new one each time, for botocore changes it."""
    if protocol != "s3":
        return {}
    timeouts = {"connect_timeout": _CONNECT_SECONDS, "read_timeout": _READ_SECONDS}
    return {"config_kwargs": {**timeouts, "retries": {"total_max_attempts": 1}}}


def _answer(action: Callable[[], _Result]) -> _Result:
    """Do something with a store; what its library raises of its own becomes an OSError that may pass."""
    try:
        return action()
    except OSError as error:
        if error.errno is None and not isinstance(error, (FileNotFoundError, PermissionError)):
            raise OSError(errno.EIO, str(error)) from error
        raise
    except Exception as error:
        if type(error).__name__ in _NO_CREDENTIALS:
            raise PermissionError(errno.EACCES, str(error)) from error
        if type(error).__name__ in _WRONG:
            raise OSError(errno.EINVAL, str(error)) from error
        if type(error).__module__ == "builtins":
            raise
        raise OSError(errno.EIO, str(error)) from error
