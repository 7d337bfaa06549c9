"""Worker process: loads its translator and runs the local engine at the other end of a pipe.

`workers` starts it. The worker asks for each source when it has room for it, and sends a row when an output is stored.
The sources until it is told that there are no more are a round, at whose end it sends the times; a round that has none
is the end.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import traceback
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from nirgen.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from nirgen.devices import Wanted
    from nirgen.translate.items import Item, Source, Translator
    from nirgen.translate.options import RunOptions, TranslateOptions
    from nirgen.translate.stores import FolderSink, UrlSink


# What a worker sends: a word, and what belongs to it.
ASK: Final = "ask"
ROW: Final = "row"
TIMES: Final = "times"
FAILED: Final = "failed"
# What it gets beside sources and None.
STOP: Final = "stop"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What a run records of a translator that computes in other processes; an engine has to do the work.

    Attributes:
        id: As the translator's.
        stride: As the translator's.
        header: As the translator's.
        precision: As the translator's; None if it doesn't say.
        device: Where it runs, for `run.json`, such as `cuda:0,cuda:1`.
    """

    id: str
    stride: int
    header: Mapping[str, Any]
    precision: str | None
    device: str

    def translate(self, rgb: Tensor, sizes: Sequence[tuple[int, int]]) -> NoReturn:  # noqa: ARG002 - it can't
        """Refuse.

        Raises:
            TypeError: Always.
        """
        raise TypeError(f"this model computes on {self.device}: give its engine to `translate_folder` as well")


class Loader(Protocol):
    """Makes a translator. It is pickled on its way to the process that calls it, so its class must be importable."""

    def __call__(self, device: str) -> Translator:
        """The translator, on a device such as `cpu` or `cuda:1`.

        Raises:
            NirgenError: There is no such model or device.
        """
        ...


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker needs before its first source.

    Attributes:
        loader: Makes the model.
        device: Where it runs.
        model: What the run records of it.
        source: Where the images are.
        sink: Where the outputs go.
        options: What changes pixels.
        run: Batch size, threads and pixel limit.
        threads: That the model computes with, on a CPU.
        memory_share: Of the device's memory, what this worker may use, in (0, 1].
    """

    loader: Loader
    device: str
    model: Elsewhere
    source: Source
    sink: FolderSink | UrlSink
    options: TranslateOptions
    run: RunOptions
    threads: int
    memory_share: float


class Inbox:
    """What comes from the parent. Once that has gone, this process ends at once, whatever it is doing.

    Args:
        connection: Read by a thread of this object alone.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._items: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        threading.Thread(target=self._listen, daemon=True, name="inbox").start()

    def ask(self) -> Item | None:
        """The next source; None if there is none."""
        self._connection.send((ASK,))
        return self._items.get()

    def round(self, first: Item) -> Iterator[Item]:
        """The sources of a round, as they are needed."""
        item: Item | None = first
        while item is not None:
            yield item
            item = self.ask()

    def stopped(self) -> bool:
        """Whether no other batch is to be begun."""
        return self._stopped.is_set()

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
    """Work for the process at the other end of a pipe until it has no more sources.

    Args:
        descriptor: Of the pipe's end.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # when to stop is the parent's business
        signal.signal(number, signal.SIG_IGN)
    # Pillow warns of odd metadata; what matters of an image is in its row.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    connection = Connection(descriptor)
    try:
        sys.path[:] = connection.recv()
        try:
            _work(connection)
        except (EOFError, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001 - it goes to the parent, which raises it
            connection.send((FAILED, *_told(error)))
    except (EOFError, ConnectionError):  # the parent has gone
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
    translator = load_as_described(setup.loader, setup.device, setup.model)
    while (first := inbox.ask()) is not None:
        stopwatch = Stopwatch()
        rows = translate_items(
            inbox.round(first),
            source=setup.source,
            sink=setup.sink,
            translator=translator,
            options=setup.options,
            run=setup.run,
            stopwatch=stopwatch,
            stopped=inbox.stopped,
            memory_share=setup.memory_share,
        )
        for row in rows:
            connection.send((ROW, row, setup.sink.images, setup.sink.bytes))
        connection.send((TIMES, stopwatch.totals()))


def _told(error: Exception) -> tuple[Any, str]:
    """An error as another process can raise it: itself if the user can mend it, and else where it came from."""
    from nirgen.errors import NirgenError

    return (error if isinstance(error, NirgenError) else None), traceback.format_exc()


@dataclass(frozen=True, slots=True)
class ModelLoader:
    """Loads a model by `nirgen.load_model`.

    Attributes:
        name: An embedded name, a `.safetensors` file, or a run folder.
        precision: What it computes in, or `auto`.
    """

    name: str | Path
    precision: Wanted = "auto"

    def __call__(self, device: str) -> Translator:
        """The model, on a device.

        Raises:
            ModelError: There is no such model, or its file is damaged.
            ConfigError: There is no such device or precision.
        """
        from nirgen.model import load_model

        return load_model(self.name, device=device, precision=self.precision)


def describe(translator: Translator, device: str) -> Elsewhere:
    """What a run records of a translator.

    Args:
        translator: One like those that will do the work.
        device: Where they run.
    """
    precision = getattr(translator, "precision", None)
    return Elsewhere(translator.id, translator.stride, translator.header, precision, device)


def load_as_described(loader: Loader, device: str, wanted: Elsewhere) -> Translator:
    """Make a translator, and see that it is the one that a run records.

    Args:
        loader: Makes it.
        device: Where it runs.
        wanted: What the run records.

    Raises:
        NirgenError: It can't be made, is another model, or computes in another precision.
    """
    translator = loader(device)
    if translator.id != wanted.id:
        raise ModelError(
            f"on {device} the model is {translator.id[:12]}, in the run's records {wanted.id[:12]}: "
            "its file has changed, or differs between machines; run again"
        )
    precision = getattr(translator, "precision", None)
    if precision != wanted.precision:
        raise ConfigError(
            f"on {device} the model computes in {precision}, on others in {wanted.precision}; name one --precision"
        )
    return translator
