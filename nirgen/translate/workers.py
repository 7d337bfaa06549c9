"""Engine for several devices of one machine: a worker process for each.

This process hands sources out as workers ask, gives their rows, and alone writes the journal. A worker that dies loses
nothing: what it had in flight is given out again, one source at a time, which tells the one that kills its worker.
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
from dataclasses import dataclass, field
from itertools import chain
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from nirgen.errors import NirgenError
from nirgen.translate.items import Row
from nirgen.translate.options import processors
from nirgen.translate.summary import Stopwatch
from nirgen.translate.worker import ASK, FAILED, ROW, STOP, TIMES, Elsewhere, Setup, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from nirgen.translate.items import Item, Source, Translator
    from nirgen.translate.options import RunOptions, TranslateOptions
    from nirgen.translate.stores import FolderSink, UrlSink
    from nirgen.translate.worker import Loader


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

    def describe(self) -> Elsewhere:
        """What a run records of the model, which is loaded once for it on the first device.

        Raises:
            NirgenError: It can't be loaded.
        """
        described = describe(self._loader(self._devices[0]), ",".join(self._devices))
        if torch.cuda.is_initialized():  # what this process keeps of that GPU, its worker lacks
            gc.collect()
            torch.cuda.empty_cache()
        return described

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
        """Translate and store; see `translate_items` and `Crew.rows`."""
        waiting, watch = iter(items), stopwatch or Stopwatch()
        first = next(waiting, None)
        if first is None:  # nothing to start processes for
            return
        on_device = Counter(self._devices)
        watch.devices = len(self._devices)
        each = run.model_copy(update={"workers": math.ceil(run.workers / len(self._devices))})
        setups = [
            Setup(
                loader=self._loader,
                device=device,
                model=describe(translator, ",".join(self._devices)),
                source=source,
                sink=sink,
                options=options,
                run=each,
                threads=max(1, processors() // len(self._devices)),
                memory_share=1 / on_device[device],
            )
            for device in self._devices
        ]
        crew = Crew(setups)
        try:
            yield from crew.rows(chain([first], waiting), sink=sink, stopwatch=watch, stopped=stopped)
        finally:
            crew.close()


_COMMAND = "import sys; sys.path[:0] = [{path!r}]; from nirgen.translate.worker import main; main({descriptor})"
_PACKAGE_FOLDER = str(Path(__file__).parents[2])
# How often to ask whether to stop, and how long workers may take to finish what is in flight.
_POLL_SECONDS, _FINISH_SECONDS = 0.1, 60.0


class WorkerError(RuntimeError):
    """A bug that showed in a worker; the text is the worker's traceback."""


class Crew:
    """Worker processes, which stay for any number of lists of sources.

    Args:
        setups: One for each worker.
    """

    def __init__(self, setups: Sequence[Setup]) -> None:
        self._items: Iterator[Item] = iter(())
        self._suspects: deque[Item] = deque()
        self._exhausted, self._stopping = True, False
        self._error: Exception | None = None
        self._lost: list[Setup] = list(setups)  # of workers that are to be started before there is more to do
        self._workers: list[_Worker] = []
        self._start_lost()

    def rows(
        self,
        items: Iterable[Item],
        *,
        sink: FolderSink | UrlSink,
        stopwatch: Stopwatch,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[Row]:
        """Translate sources.

        Args:
            items: What to translate; taken as workers ask.
            sink: Is told how much the workers have stored.
            stopwatch: Is told where their time went.
            stopped: Once it is true, no more sources are handed out, and what is in flight is finished.

        Yields:
            The row of each source, as it is stored.

        Raises:
            NirgenError: A worker can't begin, or nothing can be stored any more.
            WorkerError: A bug.
        """
        self._items, self._exhausted = iter(items), False
        if not self._stopping:
            self._start_lost()
        while not self._idle():
            if not self._stopping and stopped():
                self.stop()
            yield from self._turn(sink, stopwatch)
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Begin nothing any more."""
        self._stopping = True
        for worker in self._workers:
            worker.send(STOP)

    def close(self) -> None:
        """End all workers: let them finish what is in flight, and kill those that take too long."""
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
        """Whether nothing is left to do, and nobody does anything."""
        left = not self._stopping and (self._suspects or not self._exhausted)
        return not left and all(not worker.in_round for worker in self._workers)

    def _turn(self, sink: FolderSink | UrlSink, stopwatch: Stopwatch) -> Iterator[Row]:
        """Answer those who ask, and listen to those who say something."""
        for worker in self._workers:
            if worker.asks:
                self._answer(worker)
        by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(by_connection), timeout=_POLL_SECONDS):
            yield from self._listen(by_connection[connection], sink, stopwatch)  # type: ignore[index]

    def _answer(self, worker: _Worker) -> None:
        """Give a worker a source, or end its round; between rounds, let it wait if there is nothing."""
        if not self._stopping and not (worker.in_round and worker.careful):
            if self._suspects and not worker.in_round:
                worker.give(self._suspects.popleft(), careful=True)
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

    def _listen(self, worker: _Worker, sink: FolderSink | UrlSink, stopwatch: Stopwatch) -> Iterator[Row]:
        """Take one message."""
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._bury(worker)
            return
        word = message[0]
        if word == ASK:
            worker.asks = worker.proven = True
        elif word == ROW:
            _, row, images, size = message
            del worker.in_flight[row.source]
            sink.images += images - worker.stored[0]
            sink.bytes += size - worker.stored[1]
            worker.stored = images, size
            yield row
        elif word == TIMES:
            worker.in_round = False
            stopwatch.merge(message[1])
        elif word == FAILED:
            _, error, text = message
            self._error = self._error or error or WorkerError(f"in the worker on {worker.setup.device}:\n{text}")
            self.stop()

    def _bury(self, worker: _Worker) -> Iterator[Row]:
        """Take what a dead worker had in flight, and start another in its place if there is more to do."""
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
                yield _killer(item, worker.setup, how)
        else:
            self._suspects.extend(worker.in_flight.values())
        self._lost.append(worker.setup)
        if self._suspects or not self._exhausted:
            self._start_lost()

    def _start_lost(self) -> None:
        while self._lost:
            self._workers.append(_Worker.start(self._lost.pop(0)))


@dataclass(eq=False)
class _Worker:
    """A worker, as its parent sees it.

    Attributes:
        setup: What it was started with.
        process: The process.
        connection: This end of the pipe.
        in_flight: The sources that it has, by their names.
        asks: Whether it waits for a source.
        in_round: Whether it has got a source and not yet said that it is through with the round.
        careful: Whether this round is of one source that may have killed a worker.
        proven: Whether it has loaded the model.
        stored: Images and bytes that it has stored.
    """

    setup: Setup
    process: subprocess.Popen[bytes]
    connection: Connection
    in_flight: dict[str, Item] = field(default_factory=dict)
    asks: bool = False
    in_round: bool = False
    careful: bool = False
    proven: bool = False
    stored: tuple[int, int] = (0, 0)

    @classmethod
    def start(cls, setup: Setup) -> _Worker:
        """Start a process; in a session of its own, so that Ctrl-C reaches the parent alone.

        Raises:
            NirgenError: The system allows no other process.
        """
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
        """Send a message; a worker that is dead is noticed when it is listened to."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(message)

    def give(self, item: Item | None, *, careful: bool = False) -> None:
        """Answer with a source, or that there is no more in this round."""
        self.asks = False
        if item is not None:
            self.in_round, self.careful = True, careful
            self.in_flight[item.source] = item
        self.send(item)

    def end(self) -> int:
        """See that it is dead.

        Returns:
            Its exit code; below 0, the signal that killed it.
        """
        self.connection.close()  # which ends one that lives
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(_POLL_SECONDS)
        self.process.kill()
        return self.process.wait()


def _killer(item: Item, setup: Setup, how: str) -> Row:
    """The row of a source that its worker did not survive, twice."""
    error = (
        f"{item.source!r}: two workers ended with it; the second had nothing else to do and {how}; "
        "perhaps memory does not suffice: use a smaller --size, or fewer devices"
    )
    return Row(item.source, setup.model.id, setup.options.id, "failed", error=error)


def _ended(code: int) -> str:
    """How a process ended, for an error."""
    if code >= 0:
        return f"ended with code {code}"
    with suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"
