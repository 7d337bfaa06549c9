"""Progress and summary of a run, and a profile of where its time went."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Generator

    from nirgen.translate.items import Row


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


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage did.

    Attributes:
        name: One of `STAGES`.
        images: How many passed it.
        seconds: What they took, added over threads.
        rate: Images a second of one thread; 0 if there were none.
        share: `seconds` of the run's wall time; over 1 where several threads work.
    """

    name: str
    images: int
    seconds: float
    rate: float
    share: float


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the time of a run went.

    Attributes:
        seconds: From the first source to the last output.
        images_per_second: Outputs in that time.
        device_busy: Share of that time in which the model worked, in [0, 1].
        waited_for_input: Share in which it waited for decoded images.
        waited_for_output: Share in which it waited for images to be written.
        queued_input: Decoded images that waited when the model took some, on average.
        queued_output: Translated images that waited to be written, on average.
        stages: In the order of `STAGES`.
        bottleneck: `model`, `input` or `output`: where most of the time went.
        remedy: What helps against it.
    """

    seconds: float
    images_per_second: float
    device_busy: float
    waited_for_input: float
    waited_for_output: float
    queued_input: float
    queued_output: float
    stages: tuple[Stage, ...]
    bottleneck: str
    remedy: str


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


Totals = tuple[dict[str, float], dict[str, int], dict[str, list[int]]]
"""Seconds and images of each stage and wait, and of each queue the sum of its depths and how often they were noted."""

STAGES = ("read", "decode", "model", "encode", "write")
"""In the order of an image's way. `read` includes hashing; `model` is the calling thread's, the others are threads'."""

_REMEDIES = {
    "model": "the model itself: a faster device, or --size; the files keep up",
    "input": "reading and decoding keep the model waiting: more --workers, smaller sources, or a faster disk",
    "output": "encoding and writing keep the model waiting: more --workers, --format jpg, or a faster disk",
}


class Stopwatch:
    """Adds up the stages' times; may be used from several threads.

    Attributes:
        devices: How many models work at once; shares of the wall time are those of one, on average.
    """

    def __init__(self) -> None:
        self.devices = 1
        self._lock = threading.Lock()
        self._seconds = dict.fromkeys((*STAGES, "input", "output"), 0.0)
        self._images = dict.fromkeys((*STAGES, "input", "output"), 0)
        self._depths: dict[str, list[int]] = {"input": [0, 0], "output": [0, 0]}
        self._began = time.perf_counter()

    @contextmanager
    def timing(self, what: str, images: int = 1) -> Generator[None]:
        """Count the block's time for a stage, or for the wait for `input` or `output`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(what, time.perf_counter() - began, images)

    def add(self, what: str, seconds: float, images: int = 1) -> None:
        """Count a time that was taken elsewhere."""
        with self._lock:
            self._seconds[what] += seconds
            self._images[what] += images

    def note_depth(self, queue: str, waiting: int) -> None:
        """Take note of how many images wait in a queue, `input` or `output`."""
        depth = self._depths[queue]
        depth[0] += waiting
        depth[1] += 1

    def totals(self) -> Totals:
        """What has been counted so far, for another stopwatch to `merge`."""
        with self._lock:
            return dict(self._seconds), dict(self._images), {queue: list(each) for queue, each in self._depths.items()}

    def merge(self, totals: Totals) -> None:
        """Count what another stopwatch has counted, in another process."""
        seconds, images, depths = totals
        for what, each in seconds.items():
            self.add(what, each, images[what])
        for queue, (waiting, times) in depths.items():
            self._depths[queue][0] += waiting
            self._depths[queue][1] += times

    def profile(self) -> Profile:
        """What has been counted so far."""
        wall = max(time.perf_counter() - self._began, 1e-9)
        times = {name: min(1.0, seconds / wall / self.devices) for name, seconds in self._seconds.items()}
        stages = tuple(
            Stage(
                name,
                self._images[name],
                round(self._seconds[name], 3),
                round(self._images[name] / self._seconds[name], 2) if self._seconds[name] else 0.0,
                round(self._seconds[name] / wall, 3),
            )
            for name in STAGES
        )
        bottleneck = max(("model", "input", "output"), key=lambda name: times[name])
        return Profile(
            seconds=round(wall, 3),
            images_per_second=round(self._images["write"] / wall, 2),
            device_busy=round(times["model"], 3),
            waited_for_input=round(times["input"], 3),
            waited_for_output=round(times["output"], 3),
            queued_input=round(self._mean_depth("input"), 1),
            queued_output=round(self._mean_depth("output"), 1),
            stages=stages,
            bottleneck=bottleneck,
            remedy=_REMEDIES[bottleneck],
        )

    def _mean_depth(self, queue: str) -> float:
        total, times = self._depths[queue]
        return total / times if times else 0.0
