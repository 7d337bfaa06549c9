"""How far a run is, and what it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from nirgen.translate.manifest import Row
    from nirgen.translate.profile import Profile

_FAILURES_SHOWN = 10


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        phase: `check` for a source that was found to be done already, `translate` for one that was translated.
        done: How many there are of these.
        total: Of all sources, or when translating, of those that aren't known to be done already; None while they are
            still being counted.
        row: What became of the last one, when translating.
    """

    phase: Literal["check", "translate"]
    done: int
    total: int | None
    row: Row | None = None


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
        root: The folder that the sources' names are relative to.
        out: The translation folder.
        sources: How many sources the run was about.
        translated: How many it translated.
        changed: How many of these because their source had changed.
        unchanged: How many were done already.
        failed: How many failed; their rows say why.
        failures: (source, error) of the first few.
        dropped: Rows of sources that are gone, which the manifest does not have any more.
        lost: Rows of sources that the run was not about, which the manifest does not have any more, because their
            outputs are missing or altered.
        stray: Files in the folder that belong to no source, such as those of sources that are gone.
        other_files: Files beside the sources whose endings are not those of images.
        hidden: Files and folders beside the sources whose names begin with a dot.
        loops: Links to folders above them, which were not followed.
        seconds: How long it took.
        profile: Where the time went.
    """

    root: str
    out: str
    sources: int
    translated: int
    changed: int
    unchanged: int
    failed: int
    failures: tuple[tuple[str, str], ...]
    dropped: int
    lost: int
    stray: int
    other_files: int
    hidden: int
    loops: tuple[str, ...]
    seconds: float
    profile: Profile

    @property
    def exit_code(self) -> int:
        """0 if every source is done, 3 if some failed."""
        return 3 if self.failed else 0


@dataclass
class Count:
    """What has become of a run's sources so far; it grows with failures and changes only, not with the sources."""

    unchanged: int = 0
    translated: int = 0
    changed: int = 0
    failed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    changing: set[str] = field(default_factory=set)

    @property
    def through(self) -> int:
        """How many sources were tried."""
        return self.translated + self.failed

    def add(self, row: Row) -> None:
        """Count a source that was tried."""
        if row.status == "done":
            self.translated += 1
            self.changed += row.source in self.changing
        else:
            self.failed += 1
            if len(self.failures) < _FAILURES_SHOWN:
                self.failures.append((row.source, row.error or ""))
        self.changing.discard(row.source)

    def to_do(self, planned: int | None) -> int | None:
        """How many of the planned sources are not known to be done already; None while they are counted."""
        return None if planned is None else planned - self.unchanged
