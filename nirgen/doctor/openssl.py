"""OpenSSL 1.1 for the mongod that FiftyOne ships: newer systems lack it, and a Python package has it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from nirgen.errors import NirgenError, OutputError
from nirgen.files import write_output

FOLDER = Path(sys.prefix) / "openssl-1.1"
"""The libraries, in the Python environment that FiftyOne is installed in."""

_WHEEL = "psycopg2-binary==2.9.5"  # its wheel holds OpenSSL 1.1
_SHA256 = "bcda1c84a1c533c528356da5490d464a139b6e84eb77cc0b432e38c5c6dd7882"
_MACHINE = "x86_64"
_SECONDS = 300  # for the download


def is_missing(problem: str) -> bool:
    """Return True if a program's error says that it lacks OpenSSL 1.1.

    Example:
        >>> is_missing("mongod: error while loading shared libraries: libcrypto.so.1.1: cannot open shared object file")
        True
    """
    return "libcrypto.so.1.1" in problem or "libssl.so.1.1" in problem


def environment(folder: Path = FOLDER) -> dict[str, str]:
    """Return the environment in which a program finds the libraries, if they are there."""
    paths = [str(folder), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    return os.environ | ({"LD_LIBRARY_PATH": ":".join(paths)} if folder.is_dir() else {})


def get(folder: Path = FOLDER) -> None:
    """Download the package with pip, and put its libraries into a folder under the names that mongod asks for.

    Raises:
        NirgenError: This machine is of another kind, or the package can't be had.
        OutputError: The folder can't be written.
    """
    if sys.platform != "linux" or platform.machine() != _MACHINE:
        raise NirgenError(f"OpenSSL 1.1 for mongod is had for Linux on {_MACHINE} only; install libssl1.1 by yourself")
    with tempfile.TemporaryDirectory() as temporary:
        wheel = _download(Path(temporary))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(wheel) as archive:
                for name in archive.namelist():
                    if name.startswith("psycopg2_binary.libs/"):
                        write_output(folder / Path(name).name, [archive.read(name)])
            for name in ("libssl", "libcrypto"):
                link = folder / f"{name}.so.1.1"
                link.unlink(missing_ok=True)
                link.symlink_to(next(folder.glob(f"{name}-*.so.1.1")).name)
        except OSError as error:
            raise OutputError(f"{folder}: can't be written ({error.strerror or error})") from error


def _download(folder: Path) -> Path:
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{_WHEEL} --hash=sha256:{_SHA256}\n", encoding="utf-8")
    kind = ["--only-binary=:all:", "--python-version=3.11", f"--platform=manylinux2014_{_MACHINE}", "--no-deps"]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--require-hashes"]
    command = [*pip, *kind, "-d", str(folder), "-r", str(wanted)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)  # noqa: S603
        problem = (done.stderr.strip().splitlines() or ["pip says nothing"])[-1] if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    if problem:
        raise NirgenError(f"{_WHEEL}, which has OpenSSL 1.1, can't be had ({problem}); install libssl1.1 by yourself")
    return next(folder.glob("*.whl"))
