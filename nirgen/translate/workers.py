"""Engine for several devices of one machine: a worker process for each.

This process hands sources out as workers ask, yields their rows, and alone writes the journal. A worker that dies loses
nothing: the sources that it had in flight are tried again, one at a time, which identifies one that kills its worker.
"""

from __future__ import annotations

import gc
import math
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

from nirgen.errors import NirgenError
from nirgen.translate.items import Row
from nirgen.translate.options import processors
from nirgen.translate.translators import Description, describe
from nirgen.translate.worker import ASK, FAILED, ROW, STOP, TIMES, Setup

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from nirgen.translate.items import Item
    from nirgen.translate.job import Job
    from nirgen.translate.stores import Sink
    from nirgen.translate.summary import Stopwatch
    from nirgen.translate.translators import Loader


class Workers:
    """An engine of one worker process for each device.

    Args:
        loader: Makes the model in each of them.
        devices: Such as `["cuda:0", "cuda:1"]`; a name may come more than once.

    Example:
        ```python
        workers = Workers(ModelLoader("compact"), ["cuda:0", "cuda:1"])
        translate_folder("photos", "nir", model=workers.describe(), engine=workers)
        ```
    """

    def __init__(self, loader: Loader, devices: Sequence[str]) -> None:
        self._loader = loader
        self._devices = list(devices)

    def describe(self) -> Description:
        """Return the model's description, which a run records."""
        described = describe(self._loader, self._devices[0], ",".join(self._devices))
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():  # leave that GPU's memory to its worker
            gc.collect()
            torch.cuda.empty_cache()
        return described

    def __call__(
        self, items: Iterable[Item], job: Job, stopwatch: Stopwatch, stopped: Callable[[], bool]
    ) -> Generator[Row]:
        """Translate and store; see `translate_items` and `Crew.rows`."""
        count, on_device = len(self._devices), Counter(self._devices)
        stopwatch.devices = count
        run = job.run.model_copy(update={"workers": math.ceil(job.run.workers / count)})
        job = replace(job, run=run, translator=Description.of(job.translator, ",".join(self._devices)))
        threads = max(1, processors() // count)
        crew = Crew(
            [
                Setup(self._loader, device, threads, replace(job, memory_share=1 / on_device[device]))
                for device in self._devices
            ]
        )
        try:
            yield from crew.rows(items, job.sink, stopwatch, stopped)
        finally:
            crew.close()


_COMMAND = "import sys; sys.path[:0] = [{path!r}]; from nirgen.translate.worker import main; main({descriptor})"
_PACKAGE_FOLDER = str(Path(__file__).parents[2])
# Period of the check for a stop, and the time that workers have to finish batches in flight.
_POLL_SECONDS, _FINISH_SECONDS = 0.1, 60.0


class WorkerError(RuntimeError):
    """A bug in a worker; the text is the worker's traceback."""


class Crew:
    """Worker processes, one for each setup, which serve any number of lists of sources."""

    def __init__(self, setups: Sequence[Setup]) -> None:
        self._items: Iterator[Item] = iter(())
        self._retry: deque[Item] = deque()  # sources of workers that died
        self._exhausted, self._stopping = True, False
        self._error: Exception | None = None
        self._missing: list[Setup] = list(setups)  # of workers to start before more sources are given out
        self._workers: list[_Worker] = []
        self._start_missing()

    def rows(
        self, items: Iterable[Item], sink: Sink, stopwatch: Stopwatch, stopped: Callable[[], bool] = lambda: False
    ) -> Iterator[Row]:
        """Translate sources as workers ask for them, and yield their rows; see `Engine`.

        Raises:
            NirgenError: A worker can't start, or nothing can be stored any more.
            WorkerError: A bug.
        """
        self._items, self._exhausted = iter(items), False
        if not self._stopping:
            self._start_missing()
        while not self._idle():
            if not self._stopping and stopped():
                self.stop()
            yield from self._turn(sink, stopwatch)
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Begin no more batches."""
        self._stopping = True
        for worker in self._workers:
            worker.send(STOP)

    def close(self) -> None:
        """End all workers: let them finish batches in flight, and kill those that take too long."""
        self.stop()
        for worker in self._workers:
            if worker.asks and not worker.in_round:
                worker.give(None)
        deadline = time.monotonic() + _FINISH_SECONDS
        while (busy := [each for each in self._workers if each.proven]) and time.monotonic() < deadline:
            for worker in busy:
                if worker.asks:
                    worker.give(None)
            for connection in wait([each.connection for each in busy], timeout=_POLL_SECONDS):
                worker = next(each for each in busy if each.connection is connection)
                try:
                    worker.asks = worker.connection.recv()[0] == ASK
                except (EOFError, OSError):
                    self._workers.remove(worker)
                    worker.end()
        for worker in self._workers:
            worker.end()

    def _idle(self) -> bool:
        left = not self._stopping and (self._retry or not self._exhausted)
        return not left and all(not worker.in_round for worker in self._workers)

    def _turn(self, sink: Sink, stopwatch: Stopwatch) -> Iterator[Row]:
        """Answer the workers that ask, and take the messages that have come."""
        for worker in self._workers:
            if worker.asks:
                self._answer(worker)
        by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(by_connection), timeout=_POLL_SECONDS):
            yield from self._listen(by_connection[connection], sink, stopwatch)  # type: ignore[index]

    def _answer(self, worker: _Worker) -> None:
        """Give a worker a source, or end its round; between rounds, let it wait if there is none."""
        if not self._stopping and not (worker.in_round and worker.careful):
            if self._retry and not worker.in_round:
                worker.give(self._retry.popleft(), careful=True)
                return
            if (item := self._next()) is not None:
                worker.give(item)
                return
        if worker.in_round:
            worker.give(None)

    def _next(self) -> Item | None:
        item = None if self._exhausted else next(self._items, None)
        self._exhausted = item is None
        return item

    def _listen(self, worker: _Worker, sink: Sink, stopwatch: Stopwatch) -> Iterator[Row]:
        """Take one message."""
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._handle_exit(worker)
            return
        word = message[0]
        if word == ASK:
            worker.asks = worker.proven = True
        elif word == ROW:
            _, row, images, size = message
            del worker.in_flight[row.source]
            sink.images += images - worker.stored[0]
            sink.stored_bytes += size - worker.stored[1]
            worker.stored = images, size
            yield row
        elif word == TIMES:
            worker.in_round = False
            stopwatch.merge(message[1])
        elif word == FAILED:
            _, error, text = message
            self._error = self._error or error or WorkerError(f"in the worker on {worker.setup.device}:\n{text}")
            self.stop()

    def _handle_exit(self, worker: _Worker) -> Iterator[Row]:
        """Take the sources that a dead worker had in flight, and start another if there is more to do."""
        self._workers.remove(worker)
        how = _ended(worker.end())
        if self._stopping:
            return
        if not worker.proven:
            self._error = NirgenError(
                f"the worker on {worker.setup.device} {how} while it loaded the model; perhaps memory does not "
                f"suffice for {len(self._workers) + 1} workers: name fewer devices"
            )
            self.stop()
            return
        if worker.careful:
            for item in worker.in_flight.values():
                yield _crash_row(item, worker.setup, how)
        else:
            self._retry.extend(worker.in_flight.values())
        self._missing.append(worker.setup)
        if self._retry or not self._exhausted:
            self._start_missing()

    def _start_missing(self) -> None:
        while self._missing:
            self._workers.append(_Worker.start(self._missing.pop(0)))


@dataclass(eq=False)
class _Worker:
    """A worker, as its parent sees it."""

    setup: Setup
    process: subprocess.Popen[bytes]
    connection: Connection  # this end of the pipe
    in_flight: dict[str, Item] = field(default_factory=dict)  # by source
    asks: bool = False  # it waits for a source
    in_round: bool = False  # it got a source, and has not ended the round yet
    careful: bool = False  # the round is of one source that may have killed a worker
    proven: bool = False  # it has loaded the model
    stored: tuple[int, int] = (0, 0)  # images and bytes

    @classmethod
    def start(cls, setup: Setup) -> _Worker:
        """Start a process, in a session of its own: Ctrl-C reaches the parent alone."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = _COMMAND.format(path=_PACKAGE_FOLDER, descriptor=theirs.fileno())
            try:
                process = subprocess.Popen(  # noqa: S603 - our own program, and no shell
                    [sys.executable, "-P", "-c", command],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                ours.close()
                raise NirgenError(
                    f"no worker for {setup.device} can be started: {error.strerror}; name fewer devices"
                ) from error
        worker = cls(setup, process, Connection(ours.detach()))
        worker.send(sys.path)
        worker.send(setup)
        return worker

    def send(self, message: object) -> None:
        """Send a message; the death of a worker is noticed on receiving."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(message)

    def give(self, item: Item | None, *, careful: bool = False) -> None:
        """Answer with a source, or None: the end of the round."""
        self.asks = False
        if item is not None:
            self.in_round, self.careful = True, careful
            self.in_flight[item.source] = item
        self.send(item)

    def end(self) -> int:
        """End the process, and return its exit code; below 0, the signal that killed it."""
        self.connection.close()  # a living worker ends by itself
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(_POLL_SECONDS)
        self.process.kill()
        return self.process.wait()


def _crash_row(item: Item, setup: Setup, how: str) -> Row:
    """The row of a source that ended two workers."""
    error = (
        f"{item.source!r}: two workers ended with it; the second had nothing else to do and {how}; "
        "perhaps memory does not suffice: use a smaller --size, or fewer devices"
    )
    return Row(item.source, setup.job.translator.id, setup.job.options.id, "failed", error=error)


def _ended(code: int) -> str:
    """Say how a process ended, for an error."""
    if code >= 0:
        return f"ended with code {code}"
    with suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"
