"""Get what the tests of the FiftyOne App need besides Python packages: a mongod that starts, and a Chromium.

`make test` runs it. What is there already is left alone. What can't be had is named in a line with the remedy, and the
tests that need it are skipped with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess

from nirgen.doctor import fix_database, mongod_of_fiftyone, openssl, problem_of
from nirgen.errors import NirgenError

_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> None:
    """Prepare both."""
    for problem in (_prepare_mongod(), _prepare_chromium()):
        if problem is not None:
            print(f"The tests of the FiftyOne App will be skipped: {problem}")


def _prepare_mongod() -> str | None:
    """See that mongod starts; what stands in the way, if anything does."""
    try:
        done = fix_database()
    except NirgenError as error:
        return str(error)
    if done is not None:
        print(done)
    mongod = mongod_of_fiftyone()
    if mongod is None:
        return "there is no mongod of FiftyOne's; install fiftyone-db==0.4.5"
    return problem_of(mongod, openssl.environment())


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
