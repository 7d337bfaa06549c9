"""Counts and summary of a run, and a profile of its time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from nirgen.images import DARK_NOTE, DARK_SHARE

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from nirgen.translate.items import Row

_FAILURES_SHOWN, _NOTES_SHOWN = 10, 10
# In the order of an image's way. `read` includes hashing; `model` is the calling thread's, the others are threads'.
STAGES = ("read", "decode", "model", "encode", "write")
_REMEDIES = {
    "model": "the model itself: a faster device, or --size; the files keep up",
    "input": "reading and decoding keep the model waiting: more --workers, smaller sources, or a faster disk",
    "output": "encoding and writing keep the model waiting: more --workers, --format jpg, or a faster disk",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """The work of one stage."""

    name: str  # one of `STAGES`
    images: int
    seconds: float  # added over threads
    rate: float  # images a second of one thread; 0 if there were none
    share: float  # `seconds` of the run's wall time; over 1 where several threads work


@dataclass(frozen=True, slots=True)
class Profile:
    """The distribution of a run's time."""

    seconds: float  # from the first source to the last output
    images_per_second: float
    device_busy: float  # share of the time in which the model worked, in [0, 1]
    waited_for_input: float  # share in which it waited for decoded images
    waited_for_output: float  # share in which it waited for images to be written
    queued_input: float  # decoded images that waited for the model, on average
    queued_output: float  # translated images that waited to be written, on average
    stages: tuple[Stage, ...]  # in the order of `STAGES`
    bottleneck: str  # `model`, `input` or `output`: most of the time
    remedy: str


@dataclass(frozen=True)
class Summary:
    """The result of a run."""

    root: str  # the folder that the sources' names are relative to
    out: str
    sources: int
    translated: int
    changed: int  # translated because their source had changed
    unchanged: int  # done already
    failed: int  # the manifest has the errors
    failures: tuple[tuple[str, str], ...]  # (source, error) of the first few
    dropped: int  # rows removed from the manifest: their sources are gone
    lost: int  # rows of other sources, removed because their outputs are missing or altered
    stray: int  # files in OUT that belong to no source
    other_files: int  # beside the sources, with endings that are not those of images
    hidden: int  # files and folders beside the sources whose names begin with a dot
    loops: tuple[str, ...]  # links to folders above them, which were not followed
    seconds: float
    profile: Profile
    damaged: int = 0  # of the failed ones, those with corrupt data
    damaged_kept: int = 0  # of the translated ones, those with corrupt data, by `damaged="keep"`
    left_aside: tuple[tuple[str, int], ...] = ()  # endings of the other files, and of folders names, with their numbers
    notes: tuple[tuple[str, int], ...] = ()  # remarks on how sources were read, with the number of sources

    @property
    def exit_code(self) -> int:
        """0 if every source is done, 3 if some failed."""
        return 3 if self.failed else 0


@dataclass
class Count:
    """Counts of a run in progress; their size grows with failures and changes only."""

    unchanged: int = 0
    translated: int = 0
    changed: int = 0
    failed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    changing: set[str] = field(default_factory=set)  # changed sources that are under way
    damaged: int = 0
    damaged_kept: int = 0
    remarks: Counter[str] = field(default_factory=Counter)
    deep: int = 0  # translated sources of more than 8 bits
    dark: int = 0  # of these, those that stay below `DARK_SHARE` of their range

    @property
    def tried(self) -> int:
        """Sources that were translated or failed."""
        return self.translated + self.failed

    def add(self, row: Row) -> None:
        """Count a source that was tried."""
        if row.status == "done":
            self.translated += 1
            self.damaged_kept += row.damage is not None
            self.remarks.update(row.note.split("; ") if row.note else ())
            self.deep += row.brightest is not None
            self.dark += row.brightest is not None and row.brightest < DARK_SHARE
            self.changed += row.source in self.changing
        else:
            self.failed += 1
            self.damaged += row.damage is not None
            if len(self.failures) < _FAILURES_SHOWN:
                self.failures.append((row.source, row.error or ""))
        self.changing.discard(row.source)

    @property
    def notes(self) -> tuple[tuple[str, int], ...]:
        """Remarks with the number of sources, the most frequent first."""
        found = self.remarks.most_common(_NOTES_SHOWN)
        return (*found, (DARK_NOTE, self.dark)) if 0 < self.deep == self.dark else tuple(found)

    def to_do(self, planned: int | None) -> int | None:
        """Return the planned sources that are not known to be done already; None while they are counted."""
        return None if planned is None else planned - self.unchanged


# Seconds and images of each stage and queue, and of each queue the sum of its lengths and the number of its samples.
Totals: TypeAlias = tuple[dict[str, float], dict[str, int], dict[str, list[int]]]


class Stopwatch:
    """Adds up the stages' times; may be used from several threads."""

    def __init__(self) -> None:
        self.devices = 1  # models at work; shares of the wall time are those of one, on average
        self._lock = threading.Lock()
        self._seconds = dict.fromkeys((*STAGES, "input", "output"), 0.0)
        self._images = dict.fromkeys((*STAGES, "input", "output"), 0)
        self._under_way: dict[str, tuple[str, float]] = {}  # source -> stage, and when it began
        self._lengths: dict[str, list[int]] = {"input": [0, 0], "output": [0, 0]}
        self.restart()

    def restart(self) -> None:
        """Begin the wall time anew."""
        self._began = time.perf_counter()

    @contextmanager
    def timing(self, what: str, images: int = 1, sources: Sequence[str] = ()) -> Generator[None]:
        """Count the block's time for a stage, or for the wait for `input` or `output`.

        Meanwhile its `sources` are under way, see `overdue`.
        """
        began = time.perf_counter()
        for source in sources:
            self._under_way[source] = what, began
        try:
            yield
        finally:
            for source in sources:
                self._under_way.pop(source, None)
            self.add(what, time.perf_counter() - began, images)

    @contextmanager
    def pausing(self, source: str) -> Generator[None]:
        """Let a source wait in the block; afterwards its stage is as if it began then."""
        what, _ = self._under_way.pop(source, ("", 0.0))
        yield
        self._under_way[source] = what, time.perf_counter()

    def overdue(self, limit: float) -> list[tuple[str, str]]:
        """Return the sources that are in one stage for longer than `limit` seconds, each with the stage."""
        now = time.perf_counter()
        return [(source, what) for source, (what, began) in self._under_way.copy().items() if now - began > limit]

    def add(self, what: str, seconds: float, images: int = 1) -> None:
        """Count a time."""
        with self._lock:
            self._seconds[what] += seconds
            self._images[what] += images

    def note_length(self, queue: str, waiting: int) -> None:
        """Count the images that wait in a queue, `input` or `output`."""
        self._lengths[queue][0] += waiting
        self._lengths[queue][1] += 1

    def totals(self) -> Totals:
        """Return the counts, for another stopwatch to `merge`."""
        with self._lock:
            return dict(self._seconds), dict(self._images), {queue: list(each) for queue, each in self._lengths.items()}

    def merge(self, totals: Totals) -> None:
        """Add the counts of another process."""
        seconds, images, lengths = totals
        for what, each in seconds.items():
            self.add(what, each, images[what])
        for queue, (waiting, samples) in lengths.items():
            self._lengths[queue][0] += waiting
            self._lengths[queue][1] += samples

    def profile(self) -> Profile:
        """Return the profile so far."""
        wall = max(time.perf_counter() - self._began, 1e-9)
        shares = {name: min(1.0, self._seconds[name] / wall / self.devices) for name in ("model", "input", "output")}
        queued = {queue: total / samples if samples else 0.0 for queue, (total, samples) in self._lengths.items()}
        bottleneck = max(shares, key=lambda name: shares[name])
        return Profile(
            seconds=round(wall, 3),
            images_per_second=round(self._images["write"] / wall, 2),
            device_busy=round(shares["model"], 3),
            waited_for_input=round(shares["input"], 3),
            waited_for_output=round(shares["output"], 3),
            queued_input=round(queued["input"], 1),
            queued_output=round(queued["output"], 1),
            stages=tuple(self._stage(name, wall) for name in STAGES),
            bottleneck=bottleneck,
            remedy=_REMEDIES[bottleneck],
        )

    def _stage(self, name: str, wall: float) -> Stage:
        images, seconds = self._images[name], self._seconds[name]
        rate = round(images / seconds, 2) if seconds else 0.0
        return Stage(name, images, round(seconds, 3), rate, round(seconds / wall, 3))
