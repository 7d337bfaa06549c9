"""Mapping in threads, in order, with bounded work in flight."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from concurrent.futures import Future, ThreadPoolExecutor

    from nirgen.translate.summary import Stopwatch

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def ahead(
    pool: ThreadPoolExecutor,
    function: Callable[[_In], _Out],
    inputs: Iterable[_In],
    depth: int,
    stopwatch: Stopwatch | None = None,
) -> Generator[_Out]:
    """Map with `depth` results under way or waiting whenever one is taken: for a consumer that is slow."""
    waiting: deque[Future[_Out]] = deque()
    for value in inputs:
        waiting.append(pool.submit(function, value))
        if len(waiting) >= depth:
            yield _take(waiting, stopwatch, "input")
    while waiting:
        yield _take(waiting, stopwatch, "input")


def behind(
    pool: ThreadPoolExecutor,
    function: Callable[[_In], _Out],
    inputs: Iterable[_In],
    depth: int,
    stopwatch: Stopwatch,
    *,
    weigh: Callable[[_In], int] = lambda _: 0,
    limit: int = 0,
) -> Generator[_Out]:
    """Map with at most `depth` results under way, each yielded as soon as possible: for a producer that is slow.

    The inputs of several results under way `weigh` at most `limit` in all.
    """
    waiting: deque[Future[_Out]] = deque()
    weights: deque[int] = deque()
    for value in inputs:
        stopwatch.note_length("output", len(waiting))
        weights.append(weigh(value))
        waiting.append(pool.submit(function, value))
        del value  # held by the pool alone
        while waiting and (waiting[0].done() or len(waiting) >= depth or (len(waiting) > 1 and sum(weights) > limit)):
            weights.popleft()
            yield _take(waiting, stopwatch, "output")
    while waiting:
        yield _take(waiting, stopwatch, "output")


def _take(waiting: deque[Future[_Out]], stopwatch: Stopwatch | None, queue: str) -> _Out:
    if stopwatch is None:
        return waiting.popleft().result()
    if queue == "input":
        stopwatch.note_length(queue, sum(future.done() for future in waiting))
    with stopwatch.timing(queue):
        return waiting.popleft().result()
