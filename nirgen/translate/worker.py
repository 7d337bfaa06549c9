"""Worker process: loads its translator and runs the local engine at the other end of a pipe.

`workers` starts it. The worker asks for a source when it has room for one, and sends a row when an output is stored.
The sources until the parent has no more are a round, at whose end it sends the times; an empty round is the end.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import traceback
import warnings
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Final

from nirgen.errors import NirgenError
from nirgen.translate.translators import Description, load_as_described

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nirgen.translate.items import Item
    from nirgen.translate.job import Job
    from nirgen.translate.translators import Loader


# Messages of a worker, each followed by its values.
ASK: Final = "ask"
ROW: Final = "row"
TIMES: Final = "times"
FAILED: Final = "failed"
# Message of the parent, besides sources and None.
STOP: Final = "stop"


@dataclass(frozen=True, slots=True)
class Setup:
    """The first message to a worker."""

    loader: Loader
    device: str
    threads: int  # of the model, on a CPU
    job: Job  # its translator is the description to compare the loaded one with


class Inbox:
    """The messages of the parent, read by a thread. Once the parent has ended, this process ends at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._items: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self.stopped = self._stopped.is_set  # True: no other batch is to be begun
        threading.Thread(target=self._listen, daemon=True, name="inbox").start()

    def ask(self) -> Item | None:
        """Return the next source; None if there is none."""
        self._connection.send((ASK,))
        return self._items.get()

    def round(self, first: Item) -> Iterator[Item]:
        """Yield the sources of a round, as they are needed."""
        item: Item | None = first
        while item is not None:
            yield item
            item = self.ask()

    def _listen(self) -> None:
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                os._exit(1)
            if message == STOP:
                self._stopped.set()
            else:
                self._items.put(message)


def main(descriptor: int) -> None:
    """Work for the process at the other end of a pipe, a file descriptor, until it has no more sources."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent decides when to stop
        signal.signal(number, signal.SIG_IGN)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # about metadata
    connection = Connection(descriptor)
    try:
        sys.path[:] = connection.recv()
        try:
            _work(connection)
        except (EOFError, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001 - the parent raises it: a NirgenError as it is, others as text
            connection.send((FAILED, error if isinstance(error, NirgenError) else None, traceback.format_exc()))
    except (EOFError, ConnectionError):  # the parent has ended
        os._exit(1)


def _work(connection: Connection) -> None:
    import torch

    from nirgen.devices import keep_freed_memory
    from nirgen.translate.engine import translate_items
    from nirgen.translate.summary import Stopwatch

    setup: Setup = connection.recv()
    inbox = Inbox(connection)
    keep_freed_memory()
    torch.set_num_threads(setup.threads)
    job, sink = setup.job, setup.job.sink
    assert isinstance(job.translator, Description)
    job = replace(job, translator=load_as_described(setup.loader, setup.device, job.translator))
    while (first := inbox.ask()) is not None:
        stopwatch = Stopwatch()
        for row in translate_items(inbox.round(first), job, stopwatch, inbox.stopped):
            connection.send((ROW, row, sink.images, sink.stored_bytes))
        connection.send((TIMES, stopwatch.totals()))
