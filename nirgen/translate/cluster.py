"""Engine for a cluster: Ray Data gives tasks of some sources to actors, and each actor has a worker process.

Ray starts actors where there is room, and gives the task of one that died to another. An image that kills the worker
process below an actor is identified there, as on a single machine.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen.errors import ConfigError, NirgenError, one_line
from nirgen.translate.job import Description, Job, Loader, describe
from nirgen.translate.options import processors
from nirgen.translate.stores import Sink
from nirgen.translate.summary import Stopwatch, Totals
from nirgen.translate.worker import Setup
from nirgen.translate.workers import Crew, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    import pyarrow as pa

    from nirgen.translate.items import Item, Row

_SOURCES_IN_TASK = {"cpu": 8, "cuda": 64}  # come back together, and are translated again after their actor died
_TASKS_AT_ONCE = 1_000  # Ray holds all of them in memory, and starts its actors anew for the next ones
_COLUMN = "pickled"
_CONNECT_SECONDS = 10.0


class Cluster:
    """An engine of actors on a cluster of Ray.

    Sources, outputs, model files and this package must have the same names on every machine: URLs, or paths of a shared
    file system. By default the cluster is started on this machine for the run, and has a worker for each GPU, else for
    each machine. `device` is `cpu` or `cuda`; None for `cpu`, if the cluster has no GPUs.
    """

    def __init__(
        self, loader: Loader, *, address: str | None = None, workers: int | None = None, device: str | None = None
    ) -> None:
        if device not in {None, "cpu", "cuda"}:
            raise ConfigError(f"device is {device!r}; on a cluster it is cpu or cuda, and Ray chooses which GPU")
        _import_ray()
        self._loader = loader
        self._address = address
        self._workers = workers
        self._device = device

    def describe(self) -> Description:
        """Return the model's description, which a run records."""
        return describe(self._loader, "cpu", "ray")

    def __call__(
        self, items: Iterable[Item], job: Job, stopwatch: Stopwatch, stopped: Callable[[], bool]
    ) -> Generator[Row]:
        """Translate and store; see `Crew.rows`. Tasks that are under way when the run is stopped are given up."""
        with _connected(self._address):
            place = _Place.choose(self._device, self._workers)
            stopwatch.devices = place.workers
            run = job.run.model_copy(update={"workers": max(1, min(job.run.workers, place.processors))})
            described = Description.of(job.translator, "ray")
            shares = place.memory_share, place.host_share
            sink = Sink.at(job.sink.out)  # the number of a folder may differ between machines
            there = replace(job, translator=described, run=run, sink=sink, memory_share=shares[0], host_share=shares[1])
            setup = Setup(self._loader, place.device, place.processors, there)
            for answer in _answers(iter(items), setup, place, stopped):
                job.sink.images += answer.images
                job.sink.stored_bytes += answer.bytes
                stopwatch.merge(answer.times)
                yield from answer.rows
                if answer.error is not None:
                    raise answer.error


@dataclass(frozen=True, slots=True)
class _Place:
    """The distribution of workers over a cluster."""

    device: str  # `cpu` or `cuda`
    workers: int
    processors: int  # of each worker
    memory_share: float  # of a device's memory, for one worker
    host_share: float  # of a machine's

    @classmethod
    def choose(cls, device: str | None, workers: int | None) -> _Place:
        """Choose for the cluster that this process is connected to."""
        ray = _import_ray()
        has = ray.cluster_resources()
        gpus, cores = int(has.get("GPU", 0)), int(has.get("CPU", 1))
        machines = sum(node["Alive"] for node in ray.nodes())
        if gpus and device is None:
            raise ConfigError(f"the cluster has {gpus} GPUs; say --device cuda to use them, or --device cpu")
        of, room, wanted = ("GPUs", gpus, gpus) if device == "cuda" else ("processors", cores, machines)
        workers = workers or wanted
        if not 1 <= workers <= room:
            raise ConfigError(f"the cluster has {room} {of} for {workers} workers; use fewer, or another --device")
        share = 1 / -(-workers // machines)
        of_device = 1.0 if device == "cuda" else share
        return cls(device or "cpu", workers, max(1, cores // max(workers, machines)), of_device, share)


@dataclass(frozen=True, slots=True)
class _Answer:
    """The result of a task."""

    rows: list[Row]
    images: int  # outputs that were stored
    bytes: int
    times: Totals
    error: Exception | None  # that ended it


class _Actor:
    """Translates tasks by a worker process of its own, in the working folder of the run."""

    def __init__(self, pickled_setup: bytes, folder: str) -> None:
        self._setup: Setup = _unpickled(pickled_setup)
        self._folder = folder
        self._crew: Crew | None = None

    def __call__(self, task: pa.Table) -> pa.Table:
        """Translate a table of sources, and return a table of one answer."""
        import pyarrow as pa

        answer = self._answer([_unpickled(item) for item in task[_COLUMN].to_pylist()])
        return pa.table({_COLUMN: pa.array([pickle.dumps(answer)], pa.large_binary())})

    def _answer(self, items: Sequence[Item]) -> _Answer:
        sink, stopwatch = self._setup.job.sink, Stopwatch()
        error: Exception | None = None
        images, size = sink.images, sink.stored_bytes
        rows: list[Row] = []
        try:
            self._enter()
            self._crew = self._crew or Crew([self._setup])
            rows.extend(self._crew.rows(items, sink, stopwatch))
        except (NirgenError, WorkerError) as problem:
            error = problem
        return _Answer(rows, sink.images - images, sink.stored_bytes - size, stopwatch.totals(), error)

    def _enter(self) -> None:
        try:
            os.chdir(self._folder)
        except OSError as error:
            raise NirgenError(
                f"{self._folder!r} can't be entered on {os.uname().nodename}: {error.strerror}; run from a folder that "
                "all machines share"
            ) from error


def _answers(items: Iterator[Item], setup: Setup, place: _Place, stopped: Callable[[], bool]) -> Generator[_Answer]:
    """Run tasks by Ray Data, and yield their answers as they come."""
    import ray.data

    each = _SOURCES_IN_TASK[place.device]
    while window := list(islice(items, each * _TASKS_AT_ONCE)):
        count = -(-len(window) // each)
        tasks = ray.data.from_items([{_COLUMN: pickle.dumps(item)} for item in window], override_num_blocks=count)
        done = tasks.map_batches(
            _Actor,
            batch_size=each,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=min(place.workers, count)),
            num_cpus=place.processors,
            num_gpus=1 if place.device == "cuda" else None,
            fn_constructor_args=(pickle.dumps(setup), str(Path.cwd())),
        )
        tables: Any = done.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        with closing(iter(tables)) as answered:
            for table in answered:
                for answer in table[_COLUMN].to_pylist():
                    yield _unpickled(answer)
                if stopped():
                    return


def _unpickled(data: bytes) -> Any:
    return pickle.loads(data)  # noqa: S301 - another process of this very run has pickled it


@contextmanager
def _connected(address: str | None) -> Generator[None]:
    """Connect to a cluster; one that is started here ends here."""
    ray = _import_ray()
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is not None and "://" not in address:  # Ray itself would try for minutes
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
        if address is None:
            ray.init("local", num_cpus=processors(), include_dashboard=False, **quiet)
        else:
            ray.init(address, **quiet)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise NirgenError(f"no cluster of Ray answers at {address or 'local'!r}: {one_line(error)}") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def _import_ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError:
        raise NirgenError("--engine ray needs Ray: pip install 'nirgen[ray]'") from None
    return ray
