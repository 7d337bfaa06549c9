"""A worker process of `workers.Workers`: it asks its parent for sources, translates them, and sends their rows."""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import sys
import threading
import time
import traceback
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from nirgen.errors import NirgenError
from nirgen.translate.job import Description, Job, Loader, load_as_described
from nirgen.translate.summary import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nirgen.translate.items import Item

# Messages of a worker, each followed by its values; the parent sends items, None at the end of a round, and STOP.
ASK, ROW, TIMES, FAILED, STOP, BEAT = "ask", "row", "times", "failed", "stop", "beat"
_BEAT_SECONDS = 1.0
_PARENT_DIES = 1  # a parameter of Linux's prctl


@dataclass(frozen=True, slots=True)
class Setup:
    """The first message to a worker."""

    loader: Loader
    device: str
    threads: int | None  # of the model, on a CPU; None: torch's choice
    job: Job  # its translator is the description to compare the loaded one with


def main(descriptor: int, tied: bool = False) -> None:
    """Work in this process for the one at the other end of a pipe, a file descriptor, until it has no more sources.

    `tied`: The system kills this process when the thread that started it ends, even one that is stopped.
    """
    if tied and sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PARENT_DIES, signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent decides when to stop
        signal.signal(number, signal.SIG_IGN)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # about metadata
    connection = Connection(descriptor)
    try:
        sys.path[:] = connection.recv()
        voice = _Voice(connection)
        try:
            _work(connection, voice)
        except (EOFError, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001 - the parent raises it: a NirgenError as it is, others as text
            voice.send((FAILED, error if isinstance(error, NirgenError) else None, traceback.format_exc()))
    except (EOFError, ConnectionError):  # the parent has ended
        os._exit(1)


def _work(connection: Connection, voice: _Voice) -> None:
    import torch

    from nirgen.devices import keep_freed_memory
    from nirgen.translate.engine import translate_items

    setup: Setup = connection.recv()
    inbox = _Inbox(connection, voice)
    keep_freed_memory()
    if setup.threads is not None:
        torch.set_num_threads(setup.threads)
    job, sink = setup.job, setup.job.sink
    voice.limit = job.run.image_timeout
    assert isinstance(job.translator, Description)
    job = replace(job, translator=load_as_described(setup.loader, setup.device, job.translator))
    while (first := inbox.ask()) is not None:
        voice.stopwatch = stopwatch = Stopwatch()
        for row in translate_items(inbox.round(first), job, stopwatch, inbox.stopped.is_set):
            voice.send((ROW, row, sink.images, sink.stored_bytes))
        voice.send((TIMES, stopwatch.totals()))


class _Voice:
    """Sends messages to the parent, and every second a beat from a thread of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self.stopwatch = Stopwatch()  # of the present round
        self.limit: float | None = None  # seconds of an image
        threading.Thread(target=self._beat, daemon=True, name="beat").start()

    def send(self, message: tuple[Any, ...]) -> None:
        """Send a message."""
        with self._lock:
            self._connection.send(message)

    def _beat(self) -> None:
        with suppress(OSError):  # the parent has ended; the other threads find out
            while True:
                self.send((BEAT, [] if self.limit is None else self.stopwatch.overdue(self.limit)))
                time.sleep(_BEAT_SECONDS)


class _Inbox:
    """The messages of the parent, read by a thread. Once the parent has ended, this process ends at once."""

    def __init__(self, connection: Connection, voice: _Voice) -> None:
        self._connection = connection
        self._voice = voice
        self._items: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self.stopped = threading.Event()  # no other batch is to be begun
        threading.Thread(target=self._listen, daemon=True, name="inbox").start()

    def ask(self) -> Item | None:
        """Return the next source; None at the end of a round."""
        self._voice.send((ASK,))
        return self._items.get()

    def round(self, first: Item) -> Iterator[Item]:
        """Yield the sources of a round, as they are needed."""
        yield first
        yield from iter(self.ask, None)

    def _listen(self) -> None:
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                os._exit(1)
            if message == STOP:
                self.stopped.set()
            else:
                self._items.put(message)
