"""What differs between two lists of decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nirgen.curation.decision import Decision


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs, each sorted by key and action.

    Attributes:
        added: Decisions of the second list alone.
        removed: Decisions of the first list alone.
        changed: Decisions of one key and action that differ otherwise: as in the first list, and as in the second.
    """

    added: tuple[Decision, ...]
    removed: tuple[Decision, ...]
    changed: tuple[tuple[Decision, Decision], ...]

    @property
    def any(self) -> bool:
        """Whether there is a difference."""
        return bool(self.added or self.removed or self.changed)


def diff(a: Iterable[Decision], b: Iterable[Decision]) -> Difference:
    """Compare two lists of decisions.

    Args:
        a: The first.
        b: The second.

    Returns:
        What has to be done to the first to get the second.
    """
    before, after = ({each.order: each.rounded() for each in decisions} for decisions in (a, b))
    return Difference(
        added=tuple(after[order] for order in sorted(after.keys() - before.keys())),
        removed=tuple(before[order] for order in sorted(before.keys() - after.keys())),
        changed=tuple(
            (before[order], after[order])
            for order in sorted(before.keys() & after.keys())
            if before[order] != after[order]
        ),
    )
