"""The mongod that FiftyOne runs, shared by processes that start at once, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(
    tmp_path: Path, fiftyone_environment: dict[str, str], environment_with_mongod: dict[str, str]
) -> Iterator[Start]:
    """Start a command that uses FiftyOne's own mongod, in a database folder of the test's."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: object, database: str = "fresh", **more: str) -> subprocess.Popen[str]:
        environment = os.environ | fiftyone_environment | environment_with_mongod | more
        environment |= {"FIFTYONE_DATABASE_DIR": str(tmp_path / database)}
        del environment["FIFTYONE_DATABASE_URI"]
        command = [sys.executable, *map(str, arguments)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.PIPE}
        started.append(subprocess.Popen(command, text=True, env=environment, **pipes))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


BROWSE = ("-m", "nirgen", "browse", "--no-launch", "--no-scores")
CONNECT = """
from pathlib import Path
from nirgen.browse.database import open_fiftyone
fiftyone = open_fiftyone()
from fiftyone.core.odm import get_db_conn
print(get_db_conn().client.admin.command("getCmdLineOpts")["parsed"]["storage"]["dbPath"], flush=True)
input()
"""


def test_two_at_once_on_a_fresh_database_both_load_and_the_second_waits(
    start: Start, dataset_folder: Callable[..., Path]
) -> None:
    folder = dataset_folder("D")
    names = ("one", "two")
    both = [start(*BROWSE, folder, "--name", name) for name in names]
    ends = [process.communicate(timeout=600) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert sorted(out for out, _ in ends) == [
        f"{name}: 6 images, 9 samples with RGB; 9 added\n" for name in ("one", "two")
    ]
    assert any("waiting for another 'nirgen' that starts FiftyOne's database\n" in error for _, error in ends)


def test_a_mongod_of_another_folder_is_not_used(start: Start, tmp_path: Path) -> None:
    other = start("-c", CONNECT, database="other")
    assert other.stdout is not None
    assert other.stdout.readline() == f"{tmp_path}/other\n"
    # FiftyOne by itself takes the service that runs, whatever its folder, and a port in the environment
    mine = start("-c", CONNECT, FIFTYONE_PRIVATE_DATABASE_PORT="1")
    assert mine.communicate("\n", timeout=600)[0] == f"{tmp_path}/fresh\n"


def test_a_mongod_that_another_program_runs_on_the_folder_is_named(
    start: Start, start_mongod: Callable[..., Any], tmp_path: Path
) -> None:
    mongod = start_mongod()
    script = "from nirgen.browse import mongod; mongod._SECONDS_TO_END = 1\n" + _REPORTED
    process = start("-c", script, database="own-mongodb/data")
    out, error = process.communicate(timeout=600)
    assert out == (
        f"{tmp_path}/own-mongodb/data: in use by process {mongod.process.pid}, a mongod that FiftyOne doesn't run; end "
        "it, or name it with --database-uri\n"
    ), error
    mongod.process.send_signal(signal.SIGTERM)


_REPORTED = """
from nirgen.browse.database import open_fiftyone
from nirgen.errors import NirgenError
try:
    open_fiftyone()
except NirgenError as error:
    print(error)
"""
