"""The mongod that FiftyOne runs, shared by processes that start at once, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from nirgen.browse import mongod
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[..., "Started"]

_SECONDS = 300


@dataclass
class Started:
    """A command whose outputs go to files: FiftyOne's services inherit them, and would hold a pipe open."""

    process: subprocess.Popen[str]
    outputs: tuple[Path, Path]

    def said(self) -> tuple[str, str]:
        return self.outputs[0].read_text(), self.outputs[1].read_text()


def ends(*commands: Started) -> list[tuple[str, str]]:
    """Wait for commands and return what each said; FiftyOne's mongod ends once all are gone, so all are waited for."""
    deadline = time.monotonic() + _SECONDS
    while None in [command.process.poll() for command in commands]:
        assert time.monotonic() < deadline, [command.said() for command in commands]
        time.sleep(0.1)
    return [command.said() for command in commands]


@pytest.fixture
def start(
    tmp_path: Path, fiftyone_environment: dict[str, str], environment_with_mongod: dict[str, str]
) -> Iterator[Start]:
    """Start a command that uses FiftyOne's own mongod, in a database folder of the test's."""
    started: list[Started] = []

    def run(*arguments: object, database: str = "fresh", **more: str) -> Started:
        environment = os.environ | fiftyone_environment | environment_with_mongod | more
        environment |= {"FIFTYONE_DATABASE_DIR": str(tmp_path / database)}
        del environment["FIFTYONE_DATABASE_URI"]
        command = [sys.executable, *map(str, arguments)]
        outputs = tmp_path / f"{len(started)}.out", tmp_path / f"{len(started)}.err"
        with outputs[0].open("w") as out, outputs[1].open("w") as error:
            pipes: dict[str, Any] = {"stdout": out, "stderr": error, "stdin": subprocess.PIPE}
            started.append(Started(subprocess.Popen(command, text=True, env=environment, **pipes), outputs))
        return started[-1]

    yield run
    for each in started:
        each.process.kill()
        each.process.wait()
        if each.process.stdin is not None:
            each.process.stdin.close()


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
    said = ends(*both)
    assert [command.process.returncode for command in both] == [0, 0], said
    assert sorted(out for out, _ in said) == [
        f"{name}: 6 images, 9 samples with RGB; 9 added\n" for name in ("one", "two")
    ]
    assert any("waiting for another 'nirgen' that starts FiftyOne's database\n" in error for _, error in said)


def test_a_mongod_of_another_folder_is_not_used(start: Start, tmp_path: Path) -> None:
    other = start("-c", CONNECT, database="other")
    deadline = time.monotonic() + _SECONDS
    while other.said()[0] != f"{tmp_path}/other\n":
        assert other.process.poll() is None, other.said()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    # FiftyOne by itself takes the service that runs, whatever its folder, and a port in the environment
    mine = start("-c", CONNECT, FIFTYONE_PRIVATE_DATABASE_PORT="1")
    assert mine.process.stdin is not None
    mine.process.stdin.write("\n")
    mine.process.stdin.flush()
    [(out, error)] = ends(mine)
    assert out == f"{tmp_path}/fresh\n", error


def test_a_mongod_that_another_program_runs_on_the_folder_is_named(
    start: Start, start_mongod: Callable[..., Any], tmp_path: Path
) -> None:
    mongod = start_mongod()
    script = "from nirgen.browse import mongod; mongod._SECONDS_TO_END = 1\n" + _REPORTED
    [(out, error)] = ends(start("-c", script, database="own-mongodb/data"))
    assert out == (
        f"{tmp_path}/own-mongodb/data: in use by process {mongod.process.pid}, a mongod that FiftyOne doesn't run; end "
        "it, or name it with --database-uri\n"
    ), error
    mongod.process.send_signal(signal.SIGTERM)


def test_a_mongod_without_openssl_is_one_line_that_names_the_command_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "mongod"
    program.write_text("#!/bin/sh\necho $0: error while loading shared libraries: libcrypto.so.1.1 >&2; exit 127\n")
    program.chmod(0o755)
    monkeypatch.setattr(mongod, "mongod_of_fiftyone", lambda: program)
    said = r"libcrypto\.so\.1\.1\); run 'nirgen doctor --fix', which gets OpenSSL 1\.1"
    with pytest.raises(NirgenError, match=said), mongod.own_mongod(tmp_path / "database", print):
        pass


_REPORTED = """
from nirgen.browse.database import open_fiftyone
from nirgen.errors import NirgenError
try:
    open_fiftyone()
except NirgenError as error:
    print(error)
"""
