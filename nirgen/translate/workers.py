"""Engine for several devices of one machine: a worker process for each, which runs the local engine.

The parent hands sources out as workers ask, yields their rows, and alone writes the journal. A worker that dies loses
nothing: the sources that it had in flight are tried again, one at a time, which identifies one that kills its worker.
The sources until the parent has no more are a round, at whose end a worker sends its times; an empty round is the end.

A worker says every second that it lives, and which images take too long: the parent ends one that is silent, or that
an image holds up, and starts another.
"""

from __future__ import annotations

import gc
import logging
import math
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

from nirgen.errors import NirgenError
from nirgen.translate.items import Item, Row
from nirgen.translate.job import Description, Job, Loader, describe
from nirgen.translate.options import processors
from nirgen.translate.worker import ASK, BEAT, FAILED, ROW, STOP, TIMES, Setup

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from nirgen.translate.stores import Sink
    from nirgen.translate.summary import Stopwatch

_COMMAND = "import sys; sys.path[:0] = [{path!r}]; from nirgen.translate.worker import main; main({descriptor}, {tied})"
_PACKAGE_FOLDER = str(Path(__file__).parents[2])
# Period of the check for a stop, and the time that workers have to finish batches in flight.
_POLL_SECONDS, _FINISH_SECONDS = 0.1, 60.0
# After Ctrl-C they have less. Time in which the parent itself did not look counts at most once.
_STOP_SECONDS, _LOOK_SECONDS = 6.0, 1.0
_SILENCE = 30.0, 120.0  # seconds without a beat until a line says so, and until the worker is replaced
_BEGINNING = 5  # times as long for a worker that begins: a machine under load takes a while to start one
_STARTS = 3  # of a worker that falls silent before it has loaded the model
_DOING = {"decode": "decoding", "model": "translating", "encode": "encoding"}
_log = logging.getLogger(__name__)


class WorkerError(RuntimeError):
    """A bug in a worker; the text is the worker's traceback."""


class Workers:
    """An engine of one worker process for each device.

    Args:
        loader: Makes the model in each of them.
        devices: Such as `["cuda:0", "cuda:1"]`; a name may come more than once.
        silence: Seconds without a sign of life until a line names the worker, and until it is replaced.

    Example:
        ```python
        workers = Workers(ModelLoader("compact"), ["cuda:0", "cuda:1"])
        translate_folder("photos", "nir", model=workers.describe(), engine=workers)
        ```
    """

    def __init__(self, loader: Loader, devices: Sequence[str], *, silence: tuple[float, float] = _SILENCE) -> None:
        self._loader = loader
        self._silence = silence
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
        threads = max(1, processors() // count) if count > 1 else None
        jobs = [replace(job, memory_share=1 / on_device[device], host_share=1 / count) for device in self._devices]
        setups = [Setup(self._loader, *each) for each in zip(self._devices, [threads] * count, jobs, strict=True)]
        crew = Crew(setups, silence=self._silence)
        try:
            yield from crew.rows(items, job.sink, stopwatch, stopped)
        finally:
            crew.close()


class Crew:
    """Worker processes, one for each setup, which serve any number of lists of sources."""

    def __init__(self, setups: Sequence[Setup], *, silence: tuple[float, float] = _SILENCE) -> None:
        self._silence = silence
        self._starts = 0  # of workers that fell silent before they had loaded the model
        self._looked = time.monotonic()
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
        self._looked, deadline = time.monotonic(), math.inf
        while self._is_busy():
            if deadline == math.inf and stopped():
                self.stop()
                deadline = time.monotonic() + _STOP_SECONDS
            if time.monotonic() > deadline:
                self._kill()
                return
            for worker in self._workers:
                if worker.asks and not worker.reason:
                    self._answer(worker)
            by_connection = {worker.connection: worker for worker in self._workers}
            for connection in wait(list(by_connection), timeout=_POLL_SECONDS):
                yield from self._listen(by_connection[connection], sink, stopwatch)  # type: ignore[index]
            self._look_after_silent()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Begin no more batches."""
        self._stopping = True
        for worker in self._workers:
            worker.send(STOP)

    def _kill(self) -> None:
        """End all workers at once; sources in flight have no row."""
        for worker in self._workers:
            worker.process.kill()
            worker.end()
        self._workers.clear()

    def _look_after_silent(self) -> None:
        """Name workers that give no sign of life, and end those that do so for too long."""
        now = time.monotonic()
        passed, self._looked = min(now - self._looked, _LOOK_SECONDS), now
        for worker in self._workers:
            worker.silent += passed if worker.heard else passed / _BEGINNING
            named = f"the worker on {worker.setup.device} (process {worker.process.pid})"
            if worker.silent >= self._silence[1] and not worker.reason:
                worker.reason = f"gave no sign of life for {self._silence[1]:.0f} s"
                _log.warning("%s %s, and is replaced", named, worker.reason)
                worker.process.kill()
            elif worker.silent >= self._silence[0] and not worker.named:
                worker.named = True
                _log.warning("%s gives no sign of life for %.0f s; after %.0f s it is replaced", named, *self._silence)

    def _end_overdue(self, worker: _Worker, overdue: Sequence[tuple[str, str]]) -> Iterator[Row]:
        """End a worker that images hold up: a single one fails, those of a batch are tried again one by one."""
        found = [(source, stage) for source, stage in overdue if source in worker.in_flight]
        if not found or worker.reason:
            return
        job = worker.setup.job
        limit = f"{job.run.image_timeout:g} s"
        worker.reason = f"was ended, as an image took over {limit}"
        batch = [source for source, stage in found if stage == "model"]
        for source, stage in found:
            if stage == "model" and len(batch) > 1:
                continue
            item = worker.in_flight.pop(source)
            error = (
                f"{item.source!r}: {_DOING[stage]} it took over {limit}; raise --image-timeout if you trust the file"
            )
            yield Row(source, job.translator.id, job.options.id, "failed", error=error)
        self._retry.extend(worker.in_flight.pop(source) for source in batch if source in worker.in_flight)
        self._items, self._exhausted = chain(list(worker.in_flight.values()), self._items), False
        worker.in_flight.clear()
        worker.process.kill()

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
            by_connection = {worker.connection: worker for worker in busy}
            for connection in wait(list(by_connection), timeout=_POLL_SECONDS):
                worker = by_connection[connection]  # type: ignore[index]
                try:
                    word = worker.connection.recv()[0]
                    worker.asks = word == ASK or (word == BEAT and worker.asks)
                except (EOFError, OSError):
                    self._workers.remove(worker)
                    worker.end()
        for worker in self._workers:
            worker.end()

    def _is_busy(self) -> bool:
        left = self._retry or not self._exhausted
        return bool(left and not self._stopping) or any(worker.in_round for worker in self._workers)

    def _answer(self, worker: _Worker) -> None:
        """Give a worker a source, or end its round; between rounds, let it wait if there is none."""
        if not self._stopping and not (worker.in_round and worker.careful):
            if self._retry and not worker.in_round:
                worker.give(self._retry.popleft(), careful=True)
                return
            item = None if self._exhausted else next(self._items, None)
            self._exhausted = item is None
            if item is not None:
                worker.give(item)
                return
        if worker.in_round:
            worker.give(None)

    def _listen(self, worker: _Worker, sink: Sink, stopwatch: Stopwatch) -> Iterator[Row]:
        """Take one message."""
        try:
            word, *values = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._handle_exit(worker)
            return
        worker.silent, worker.named, worker.heard = 0.0, False, True
        if word == ASK:
            worker.asks = worker.proven = True
        elif word == BEAT:
            yield from self._end_overdue(worker, values[0])
        elif word == ROW:
            row, images, size = values
            if worker.in_flight.pop(row.source, None) is None:  # it was given up
                return
            sink.images += images - worker.stored[0]
            sink.stored_bytes += size - worker.stored[1]
            worker.stored = images, size
            yield row
        elif word == TIMES:
            worker.in_round = False
            stopwatch.merge(values[0])
        elif word == FAILED:
            error, text = values
            self._error = self._error or error or WorkerError(f"in the worker on {worker.setup.device}:\n{text}")
            self.stop()

    def _handle_exit(self, worker: _Worker) -> Iterator[Row]:
        """Take the sources that a dead worker had in flight, and start another if there is more to do."""
        self._workers.remove(worker)
        code = worker.end()
        how = worker.reason or _ended(code)
        if self._stopping:
            return
        self._starts += bool(worker.reason) and not worker.proven
        if not worker.proven and (not worker.reason or self._starts >= _STARTS):
            self._error = NirgenError(
                f"the worker on {worker.setup.device} {how} while it loaded the model; perhaps memory does not "
                f"suffice for {len(self._workers) + 1} workers: name fewer devices"
            )
            self.stop()
            return
        if worker.careful:
            job = worker.setup.job
            for source in worker.in_flight:
                error = (
                    f"{source!r}: two workers ended with it; the second had nothing else to do and {how}; "
                    "perhaps memory does not suffice: use a smaller --size, or fewer devices"
                )
                yield Row(source, job.translator.id, job.options.id, "failed", error=error)
        else:
            self._retry.extend(worker.in_flight.values())
        self._missing.append(worker.setup)
        if self._retry or not self._exhausted:
            self._start_missing()

    def _start_missing(self) -> None:
        while self._missing:
            self._workers.append(_Worker(self._missing.pop(0)))


class _Worker:
    """A worker, as its parent sees it, in a session of its own: Ctrl-C reaches the parent alone."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.in_flight: dict[str, Item] = {}  # by source
        self.asks = False  # it waits for a source
        self.in_round = False  # it got a source, and has not ended the round yet
        self.careful = False  # the round is of one source that may have killed a worker
        self.proven = False  # it has loaded the model
        self.silent = 0.0  # seconds since its last message
        self.heard = False  # it has sent a message
        self.named = False  # a line said that it is silent
        self.reason = ""  # why the parent ended it
        self.stored = 0, 0  # images and bytes
        ours, theirs = socket.socketpair()
        with theirs:
            tied = threading.current_thread() is threading.main_thread()  # whose end is that of this process
            command = _COMMAND.format(path=_PACKAGE_FOLDER, descriptor=theirs.fileno(), tied=tied)
            try:
                self.process = subprocess.Popen(  # noqa: S603 - our own program, and no shell
                    [sys.executable, "-P", "-c", command], start_new_session=True, pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                )  # fmt: skip
            except OSError as error:
                ours.close()
                raise NirgenError(
                    f"no worker for {setup.device} can be started: {error.strerror}; name fewer devices"
                ) from error
        self.connection: Connection = Connection(ours.detach())
        self.send(sys.path)
        self.send(setup)

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


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    with suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"
