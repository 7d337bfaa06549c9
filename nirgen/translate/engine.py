"""The loop of translation: it takes sources to do, a translator and a sink, and gives one row a source.

Images are read and decoded in threads, translated in the calling thread, encoded and written in threads: all the
libraries that do so let go of Python's lock. What is in flight is bounded by the number of workers and the batch size,
however many sources there are. Where batches are of one image, rows come in the order of the sources; larger batches
gather images of one padded size.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from nirgen.translate.network import Network
from nirgen.translate.pictures import Picture, Reader, Writer
from nirgen.translate.profile import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future

    from nirgen.translate.manifest import Row
    from nirgen.translate.options import RunOptions, TranslateOptions
    from nirgen.translate.plan import Item
    from nirgen.translate.storage import Sink, Source
    from nirgen.translate.translator import Translator

_In = TypeVar("_In")
_Out = TypeVar("_Out")

# How many images may wait for others of their size, in batches.
_BATCHES_WAITING = 4


def translate_items(
    items: Iterable[Item],
    *,
    source: Source,
    sink: Sink,
    translator: Translator,
    options: TranslateOptions,
    run: RunOptions,
    stopwatch: Stopwatch | None = None,
    stopped: Callable[[], bool] = lambda: False,
    memory_share: float = 1.0,
) -> Generator[Row]:
    """Translate sources and store their outputs.

    Args:
        items: What to translate; taken as it is needed.
        source: Where the images are.
        sink: Where the outputs go.
        translator: The model.
        options: What changes pixels.
        run: Batch size, workers and pixel limit.
        stopwatch: Is told where the time goes.
        stopped: Asked before each batch; once it is true, no other is begun, and what is translated is written.
        memory_share: Of the device's memory that is available, what may be used, in (0, 1].

    Yields:
        The row of each source, once its output is stored.

    Raises:
        OutputError: Nothing can be stored any more.
    """
    watch = stopwatch or Stopwatch()
    read = Reader(source, translator, options, run.pixel_limit, watch)
    write = Writer(sink, options, watch)
    network = Network(translator, options, run, watch, memory_share=memory_share)
    depth = 2 * run.workers
    with ThreadPoolExecutor(run.workers, thread_name_prefix="nirgen") as pool:
        try:
            pictures = ahead(pool, read, items, depth, watch)
            translated = _in_flight(_batches(pictures, network, stopped), network)
            yield from _behind(pool, write, translated, depth, watch)
        finally:
            pool.shutdown(cancel_futures=True)


def ahead(
    pool: ThreadPoolExecutor,
    function: Callable[[_In], _Out],
    inputs: Iterable[_In],
    depth: int,
    stopwatch: Stopwatch | None = None,
) -> Generator[_Out]:
    """Map in threads, in order, with `depth` results under way or waiting whenever one is taken.

    Args:
        pool: The threads.
        function: What to apply.
        inputs: Taken in the calling thread, as results are taken.
        depth: At least 1.
        stopwatch: Is told how many results wait, and how long the calling thread waits for one.

    Yields:
        The results, in the order of the inputs.
    """
    waiting: deque[Future[_Out]] = deque()
    for value in inputs:
        waiting.append(pool.submit(function, value))
        if len(waiting) >= depth:
            yield _take(waiting, stopwatch, "input")
    while waiting:
        yield _take(waiting, stopwatch, "input")


def _behind(
    pool: ThreadPoolExecutor,
    function: Callable[[_In], _Out],
    inputs: Iterable[_In],
    depth: int,
    stopwatch: Stopwatch,
) -> Generator[_Out]:
    """Map in threads, in order, with at most `depth` results under way; each is given as soon as it can be."""
    waiting: deque[Future[_Out]] = deque()
    for value in inputs:
        stopwatch.note_depth("output", len(waiting))
        waiting.append(pool.submit(function, value))
        while waiting and (waiting[0].done() or len(waiting) >= depth):
            yield _take(waiting, stopwatch, "output")
    while waiting:
        yield _take(waiting, stopwatch, "output")


def _take(waiting: deque[Future[_Out]], stopwatch: Stopwatch | None, queue: str) -> _Out:
    """The first result, waited for."""
    if stopwatch is None:
        return waiting.popleft().result()
    if queue == "input":
        stopwatch.note_depth(queue, sum(future.done() for future in waiting))
    with stopwatch.timing(queue):
        return waiting.popleft().result()


def _batches(
    pictures: Iterable[Picture], network: Network, stopped: Callable[[], bool]
) -> Iterator[list[Picture] | Picture]:
    """Gather pictures of one padded size; those that failed pass through."""
    batches: dict[tuple[int, ...], list[Picture]] = {}
    waiting = 0
    for picture in pictures:
        if stopped():
            return
        if picture.rgb is None:
            yield picture
            continue
        shape = picture.rgb.shape
        batches.setdefault(shape, []).append(picture)
        waiting += 1
        size = network.batch_size(shape)
        if len(batches[shape]) < size and waiting < _BATCHES_WAITING * size:
            continue
        batch = batches.pop(shape if len(batches[shape]) >= size else next(iter(batches)))
        waiting -= len(batch)
        yield batch
    for batch in batches.values():
        if stopped():
            return
        yield batch


def _in_flight(batches: Iterable[list[Picture] | Picture], network: Network) -> Iterator[Picture]:
    """Translate batches, with as many begun as the network allows."""
    begun: deque[Callable[[], list[Picture]]] = deque()
    for batch in batches:
        if isinstance(batch, Picture):
            yield batch
            continue
        begun.append(network.begin(batch))
        if len(begun) >= network.in_flight:
            yield from begun.popleft()()
    while begun:
        yield from begun.popleft()()
