"""What became of the labels of a source, counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nirgen.labels.policy import Fate

EXAMPLES = 5
"""How many of each kind are named."""

BECAME = {"take": "{}", "ignore": "{}, ignored", "drop": "dropped", "unknown": "unknown, dropped"}
"""What became of a name's labels, in words."""


@dataclass
class Tally:
    """Counts while labels are converted.

    Attributes:
        images: Labelled ones, those with nothing on them included.
        empty: Labelled images without any annotation.
        unlabelled: Images without a label entry.
        labels: By the source's name.
        written: The same, of those that became annotations.
        fates: What the policy says of each name.
        boxes: By class, without regions to ignore.
        ignored: Regions to ignore, by class.
        crowds: Regions that the source itself marks as crowds.
        derived: Boxes that the source doesn't have, by what they were computed from.
        clipped: Boxes cut at the image's border.
        repeated: Labels whose key is another's in the same image; they go by their position.
        duplicates: Pairs of boxes that lie on each other.
        removed: Boxes left out for that.
        lost: Labels that could have no box, by reason.
        examples: The first of each kind.
        notes: What was assumed.
    """

    images: int = 0
    empty: int = 0
    unlabelled: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    fates: dict[str, Fate] = field(default_factory=dict)
    boxes: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    crowds: int = 0
    derived: Counter[str] = field(default_factory=Counter)
    clipped: int = 0
    repeated: int = 0
    duplicates: int = 0
    removed: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    examples: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)

    def example(self, kind: str, text: str) -> None:
        """Keep one of the first of a kind."""
        if len(self.examples[kind]) < EXAMPLES:
            self.examples[kind].append(text)

    def note(self, text: str) -> None:
        """Keep what was assumed, once."""
        if text not in self.notes:
            self.notes.append(text)

    def values(self, classes: list[str]) -> dict[str, Any]:
        """The counts as plain values, for the labels file and `--json`.

        Args:
            classes: In the order of their ids; those without a box are counted too.
        """
        return {
            "images": self.images,
            "empty": self.empty,
            "unlabelled": self.unlabelled,
            "annotations": self.boxes.total() + self.ignored.total(),
            "classes": {name: {"boxes": self.boxes[name], "ignored": self.ignored[name]} for name in classes},
            "names": [self._name(name, count) for name, count in sorted(self.labels.items(), key=_most_first)],
            "crowds": self.crowds,
            "derived": dict(sorted(self.derived.items())),
            "clipped": self.clipped,
            "repeated_keys": self.repeated,
            "duplicates": self.duplicates,
            "duplicates_removed": self.removed,
            "lost": dict(sorted(self.lost.items())),
            "examples": dict(sorted(self.examples.items())),
            "notes": self.notes,
        }

    def _name(self, name: str, count: int) -> dict[str, Any]:
        fate = self.fates[name]
        became = BECAME[fate.kind].format(fate.category)
        return {"name": name, "labels": count, "became": became, "written": self.written[name]}


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
