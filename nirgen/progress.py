"""The progress callback of all long work, and work in threads that reports it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Progress = Callable[[str, int, int | None], None]
"""Called with (stage, done, total) as work goes on; total is None while unknown."""

THREADS = 4

S = TypeVar("S")
T = TypeVar("T")
E = TypeVar("E", bound=Exception)


def in_threads(work: Callable[[S], T], items: Sequence[S], stage: str, progress: Progress | None = None) -> Iterator[T]:
    """Yield the results of `work` in the order of `items`; after an error, no further item is started."""
    threads = ThreadPoolExecutor(THREADS)
    try:
        for done, result in enumerate(threads.map(work, items), start=1):
            if progress is not None:
                progress(stage, done, len(items))
            yield result
    finally:
        threads.shutdown(cancel_futures=True)


def in_batches(work: Callable[[S], T], items: Sequence[S], size: int) -> Iterator[list[T]]:
    """Yield the results of `work` in the order of `items`, `size` at once; threads are one batch ahead."""
    threads = ThreadPoolExecutor(THREADS)
    ahead: deque[list[Future[T]]] = deque()
    try:
        for first in range(0, len(items), size):
            ahead.append([threads.submit(work, item) for item in items[first : first + size]])
            if len(ahead) == 2:
                yield [each.result() for each in ahead.popleft()]
        for batch in ahead:
            yield [each.result() for each in batch]
    finally:
        threads.shutdown(cancel_futures=True)


def or_error(work: Callable[[S], T], kind: type[E]) -> Callable[[S], T | E]:
    """Return `work` with errors of a kind as results."""

    def attempt(item: S) -> T | E:
        try:
            return work(item)
        except kind as error:
            return error

    return attempt
