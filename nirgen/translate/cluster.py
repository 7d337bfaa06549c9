"""The engine for a cluster: Ray Data hands tasks of some sources to actors, and each actor has a worker process.

Ray takes care of machines: it starts actors where there is room, and gives the task of one that died to another. The
worker process below an actor takes care of images: one that kills its process is told from the others there, as on a
single machine.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen.errors import ConfigError, NirgenError
from nirgen.translate.options import processors
from nirgen.translate.summary import Stopwatch
from nirgen.translate.worker import Elsewhere, Setup, describe
from nirgen.translate.workers import Crew, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    import pyarrow as pa

    from nirgen.translate.items import Item, Row, Source, Translator
    from nirgen.translate.options import RunOptions, TranslateOptions
    from nirgen.translate.stores import FolderSink, UrlSink
    from nirgen.translate.summary import Totals
    from nirgen.translate.worker import Loader


# Sources of a task: what is translated again after an actor died, and what comes back at once.
_SOURCES_IN_TASK = {"cpu": 8, "cuda": 64}
# Tasks that Ray is given at once; it starts its actors anew for the next ones, and holds all of them in memory.
_TASKS_AT_ONCE = 1_000
_COLUMN = "pickled"
_CONNECT_SECONDS = 10.0


class Cluster:
    """An engine of actors on a cluster of Ray.

    Sources, outputs and model files must be reachable by the same names from every machine: URLs, or paths of a shared
    file system; and so must this package, in the same version.

    Args:
        loader: Makes the model in each worker.
        address: Of the cluster, such as `10.0.0.1:6379`; None for one on this machine that ends with the run.
        workers: How many; None for one a GPU, or else one a machine.
        device: `cpu` or `cuda`; None for `cpu`, if the cluster has no GPUs.

    Raises:
        NirgenError: Ray is not installed.
        ConfigError: The device is another.
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

    def describe(self) -> Elsewhere:
        """What a run records of the model, which is loaded on this machine's processor for it.

        Raises:
            NirgenError: It can't be loaded.
        """
        return describe(self._loader("cpu"), "ray")

    def __call__(
        self,
        items: Iterable[Item],
        *,
        source: Source,
        sink: FolderSink | UrlSink,
        translator: Translator,
        options: TranslateOptions,
        run: RunOptions,
        stopwatch: Stopwatch | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Generator[Row]:
        """Translate and store; see `translate_items`. Tasks that are not through when it is to stop are given up.

        Raises:
            NirgenError: There is no such cluster, a worker can't begin, or nothing can be stored any more.
            WorkerError: A bug.
        """
        waiting, watch = iter(items), stopwatch or Stopwatch()
        first = next(waiting, None)
        if first is None:
            return
        with _connected(self._address):
            place = _Place.choose(self._device, self._workers)
            watch.devices = place.workers
            setup = Setup(
                loader=self._loader,
                device=place.device,
                model=describe(translator, "ray"),
                source=source,
                sink=sink,
                options=options,
                run=run.model_copy(update={"workers": max(1, min(run.workers, place.processors))}),
                threads=place.processors,
                memory_share=place.memory_share,
            )
            for answer in _answers(chain([first], waiting), setup, place, stopped):
                sink.images += answer.images
                sink.bytes += answer.bytes
                watch.merge(answer.times)
                yield from answer.rows
                if answer.error is not None:
                    raise answer.error


@dataclass(frozen=True, slots=True)
class _Place:
    """Where workers go, by what the cluster has.

    Attributes:
        device: `cpu` or `cuda`.
        workers: How many.
        processors: Of each worker.
        memory_share: Of a device's memory, what one worker may use.
    """

    device: str
    workers: int
    processors: int
    memory_share: float

    @classmethod
    def choose(cls, device: str | None, workers: int | None) -> _Place:
        """Choose for the cluster that this process is connected to.

        Raises:
            ConfigError: It has fewer processors or GPUs than that, or has GPUs and nobody said whether to use them.
        """
        import ray

        has = ray.cluster_resources()  # type: ignore[no-untyped-call]
        gpus, cores = int(has.get("GPU", 0)), int(has.get("CPU", 1))
        machines = sum(node["Alive"] for node in ray.nodes())  # type: ignore[no-untyped-call]
        if gpus and device is None:
            raise ConfigError(f"the cluster has {gpus} GPUs; say --device cuda to use them, or --device cpu")
        of, room, wanted = ("GPUs", gpus, gpus) if device == "cuda" else ("processors", cores, machines)
        workers = workers or wanted
        if not 1 <= workers <= room:
            raise ConfigError(f"the cluster has {room} {of} for {workers} workers; use fewer, or another --device")
        on_one_machine = -(-workers // machines)
        return cls(
            device or "cpu",
            workers,
            max(1, cores // max(workers, machines)),
            1.0 if device == "cuda" else 1 / on_one_machine,
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of a task.

    Attributes:
        rows: Of its sources.
        images: How many outputs were stored.
        bytes: How large they are together.
        times: The stopwatch's totals.
        error: What ended it; None if nothing did.
    """

    rows: list[Row]
    images: int
    bytes: int
    times: Totals
    error: Exception | None


class _Actor:
    """Translates tasks by a worker process of its own.

    Args:
        setup: Pickled.
        folder: Which relative paths are relative to.
    """

    def __init__(self, setup: bytes, folder: str) -> None:
        self._setup: Setup = _unpickled(setup)
        self._folder = folder
        self._crew: Crew | None = None

    def __call__(self, task: pa.Table) -> pa.Table:
        """Give an answer for a table of sources."""
        import pyarrow as pa

        answer = self._answer([_unpickled(item) for item in task[_COLUMN].to_pylist()])
        return pa.table({_COLUMN: pa.array([pickle.dumps(answer)], pa.large_binary())})

    def _answer(self, items: Sequence[Item]) -> _Answer:
        sink, stopwatch = self._setup.sink, Stopwatch()
        error: Exception | None = None
        images, size = sink.images, sink.bytes
        rows: list[Row] = []
        try:
            self._enter()
            self._crew = self._crew or Crew([self._setup])
            rows.extend(self._crew.rows(items, sink=sink, stopwatch=stopwatch))
        except (NirgenError, WorkerError) as problem:
            error = problem
        return _Answer(rows, sink.images - images, sink.bytes - size, stopwatch.totals(), error)

    def _enter(self) -> None:
        try:
            os.chdir(self._folder)
        except OSError as error:
            raise NirgenError(
                f"{self._folder!r} can't be entered on {os.uname().nodename}: {error.strerror}; run from a folder that "
                "all machines share"
            ) from error


def _answers(items: Iterator[Item], setup: Setup, place: _Place, stopped: Callable[[], bool]) -> Generator[_Answer]:
    """Let Ray Data do tasks, and take their answers as they come."""
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
    """Be connected to a cluster; one that is begun here ends here."""
    ray = _import_ray()
    ours = not ray.is_initialized()
    if ours:
        _connect(address)
    try:
        yield
    finally:
        if ours:
            ray.shutdown()


def _connect(address: str | None) -> None:
    import ray.data

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
        reason = " ".join(str(error).split())
        raise NirgenError(f"no cluster of Ray answers at {address or 'local'!r}: {reason}") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _import_ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError:
        raise NirgenError("--engine ray needs Ray: pip install 'nirgen[ray]'") from None
    return ray
