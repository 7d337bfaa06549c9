"""Memory of images on their way to the model: bounded in bytes, by their headers, before anything is decoded."""

from __future__ import annotations

from threading import Condition
from typing import TYPE_CHECKING, TypeVar

from nirgen.devices import available_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_Item = TypeVar("_Item")

_USED_SHARE = 0.8  # of the free memory
# Of the used share, for what is being read and decoded or waits for the model; and for what waits to be written.
_AHEAD, _BEHIND = 1 / 4, 1 / 8
_UNKNOWN = 4 * 2**30  # bytes that are taken for free where the system doesn't tell


class Budget:
    """Bytes that may be in flight, of the memory that is free when a run begins.

    Places are given in the order of the sources. The first place that has not passed to the model yet never waits for
    later ones, so no order of arrival locks up; one image may exceed the budget, if memory holds it at all.
    """

    def __init__(self, share: float) -> None:
        """Take a share of the free memory of machine and control group, in (0, 1]."""
        free = available_bytes()
        self.total = int(_USED_SHARE * share * (_UNKNOWN if free is None else free))
        self.ahead, self.behind = int(_AHEAD * self.total), int(_BEHIND * self.total)
        self._held = 0
        self._first = 0  # the place that comes to the model next
        self._closed = False
        self._changed = Condition()

    @property
    def unused(self) -> int:
        """Bytes that images ahead of the model may still take."""
        return max(0, self.ahead - self._held)

    def places(self, items: Iterable[_Item]) -> Iterator[tuple[Place, _Item]]:
        """Give each item a place, in order."""
        for number, item in enumerate(items):
            yield Place(self, number), item

    def hold(self, number: int, more: int) -> None:
        """Wait until the budget has so many more bytes; MemoryError if it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._held + more <= self.ahead or number == self._first)
            if self._closed:
                raise MemoryError
            self._held += more

    def give_back(self, freed: int, *, passed: bool = False) -> None:
        """Free bytes; `passed`, as the first place has come to the model."""
        with self._changed:
            self._held -= freed
            self._first += passed
            self._changed.notify_all()

    def close(self) -> None:
        """Let nothing wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Place:
    """The bytes that an image holds of a budget; used by one thread at a time."""

    def __init__(self, budget: Budget, number: int) -> None:
        self._budget = budget
        self._number = number
        self._held = 0

    def hold(self, size: int) -> None:
        """Hold so many bytes in all, more than before or fewer; MemoryError if memory will never have them."""
        if size > self._budget.total:
            raise MemoryError
        if size > self._held:
            self._budget.hold(self._number, size - self._held)
        elif size < self._held:
            self._budget.give_back(self._held - size)
        self._held = size

    def passed(self) -> None:
        """Give everything back, as the image has come to the model."""
        self._budget.give_back(self._held, passed=True)
        self._held = 0
