"""What stays out of a dataset, counted as it is found."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from nirgen.dataset.plan import REASONS, LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterable

EXAMPLES = 5

_REMARKED = {"size", "other-split"}
"""Reasons whose names go on with what the image is."""


class Tally:
    """Counts by input and reason, with the first few names of each."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], list[str]] = defaultdict(list)

    def add(self, origin: str, what: str, names: Iterable[str]) -> None:
        """Count images or label entries.

        Args:
            origin: The input.
            what: A key of `REASONS`.
            names: One for each.
        """
        self._names[origin, what] += names

    def reasons(self) -> dict[str, str]:
        """Why each image stays out that was counted: a key of `REASONS` by the image's key."""
        return {
            f"{origin}/{name.rpartition(' is ')[0] if what in _REMARKED else name}": what
            for (origin, what), names in self._names.items()
            for name in names
        }

    def left_out(self) -> tuple[LeftOut, ...]:
        """All that was counted, by input and in the order of `REASONS`; the examples are the first by name."""
        order = list(REASONS)
        return tuple(
            LeftOut(origin, what, len(names), tuple(sorted(names)[:EXAMPLES]))
            for (origin, what), names in sorted(
                self._names.items(), key=lambda item: (item[0][0], order.index(item[0][1]))
            )
            if names
        )
