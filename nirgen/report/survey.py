"""Survey of a dataset: contents and scores from one walk over all images, intensities and gradients from a sample."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nirgen import images
from nirgen.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.collection import Collection, Item
    from nirgen.progress import Progress
    from nirgen.scores import BoxScores, Scores


EXAMPLES = 5
"""Names given where something is missing."""
_EVERY = 100
"""Images between two words on the progress."""


class Place(NamedTuple):
    """Where images are counted.

    Attributes:
        split: `train`, `val` or `test`; empty in a translation folder.
        origin: The input.
        generated: Whether they were translated from RGB.
    """

    split: str
    origin: str
    generated: bool


@dataclass
class Tally:
    """What is in one place.

    Attributes:
        images: How many.
        empty: Those without any annotation.
        boxes: By class, without regions to ignore.
        ignored: Regions to ignore.
    """

    images: int
    empty: int
    boxes: Counter[str]
    ignored: int


@dataclass(frozen=True, slots=True)
class Frame:
    """What is remembered of an image.

    Attributes:
        key: Its stable key.
        place: Where it is counted.
        night: Whether it is labelled as taken at night.
        classes: What is on it.
        sequence: The recording that it comes from, if known.
        rgb_sha256: Of its RGB image, as recorded.
        has_nir: Whether its file is there.
        has_rgb: Whether that of its RGB image is there.
    """

    key: str
    place: Place
    night: bool
    classes: frozenset[str]
    sequence: str | None
    rgb_sha256: str | None
    has_nir: bool
    has_rgb: bool


@dataclass
class Missing:
    """Files that aren't there.

    Attributes:
        count: How many.
        examples: The keys of the first few images.
    """

    count: int
    examples: list[str]

    def add(self, key: str) -> None:
        """Count one."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(key)


@dataclass(frozen=True)
class BoxTable:
    """The boxes of all images, without regions to ignore; each array has a value for every box.

    Attributes:
        frame: The index in `Survey.frames`.
        number: The position on its image.
        side: The square root of the area of the box, in pixels.
        generated: Whether its image is.
        fidelity: NaN where it couldn't be computed.
        trouble: The same.
    """

    frame: NDArray[np.int32]
    number: NDArray[np.int32]
    side: NDArray[np.float32]
    generated: NDArray[np.bool_]
    fidelity: NDArray[np.float32]
    trouble: NDArray[np.float32]


@dataclass(frozen=True)
class Survey:
    """What a dataset holds and how it scores.

    Attributes:
        frames: The images, sorted by key.
        tallies: What is in each place.
        scores: Of the images, by name: a value for each of `frames`, NaN where it couldn't be computed.
        boxes: Of all images.
        counts: Boxes on each of `frames`.
        tags: How many boxes have each suggestion.
        samples: By `generated`, the files to measure: the first of the images that are there by the hash of their keys.
        no_nir: Images whose file is gone.
        no_rgb: Images whose RGB image is known and isn't there.
    """

    frames: tuple[Frame, ...]
    tallies: Mapping[Place, Tally]
    scores: Mapping[str, NDArray[np.float32]]
    boxes: BoxTable
    counts: NDArray[np.int32]
    tags: Counter[str]
    samples: Mapping[bool, tuple[Path, ...]]
    no_nir: Missing
    no_rgb: Missing

    @property
    def trouble(self) -> NDArray[np.float32]:
        """By which images are ordered: 1 is worst; NaN where it couldn't be computed."""
        return self.scores.get("trouble", np.full(len(self.frames), np.nan, np.float32))

    @property
    def generated(self) -> NDArray[np.bool_]:
        """Whether each of `frames` was translated from RGB."""
        return np.fromiter((frame.place.generated for frame in self.frames), bool, len(self.frames))


def survey(collection: Collection, scores: Scores, sampled: int, report: Progress | None = None) -> Survey:
    """Walk over all images.

    Args:
        collection: The images.
        scores: Of them.
        sampled: Images of each kind to measure, at most.
        report: Told now and then.

    Returns:
        What was found; the same collection and scores give the same.
    """
    walk = _Walk()
    for done, item in enumerate(collection.items(), start=1):
        walk.add(item, scores)
        if report is not None and (done % _EVERY == 0 or done == collection.count):
            report("read", done, collection.count)
    return walk.finish(sampled)


def is_night(item: Item) -> bool:
    """Whether an image is labelled as taken at night."""
    return "night" in item.attributes.get("timeofday", "").lower()


class _Walk:
    """What has been found so far."""

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._tallies: dict[Place, Tally] = {}
        self._scores: defaultdict[str, array[float]] = defaultdict(lambda: array("f"))
        self._where, self._numbers, self._counts = array("i"), array("i"), array("i")
        self._sides, self._fidelity, self._trouble = array("f"), array("f"), array("f")
        self._of_generated = array("b")
        self._tags: Counter[str] = Counter()
        self._files: dict[bool, list[tuple[bytes, Path]]] = {True: [], False: []}
        self._no_nir, self._no_rgb = Missing(0, []), Missing(0, [])

    def add(self, item: Item, scores: Scores) -> None:
        """Count an image and its boxes."""
        place = Place(item.split or "", item.origin, item.generated)
        tally = self._tallies.setdefault(place, Tally(0, 0, Counter(), 0))
        has_nir = item.path.is_file()
        scored = scores.of(item)
        self._add_scores(scored.image)
        drawn = [number for number, box in enumerate(item.boxes) if not box.iscrowd]
        for number in drawn:
            self._add_box(item, number, scored.boxes[number])
        tally.images += 1
        tally.empty += not item.boxes
        tally.boxes.update(item.boxes[number].category for number in drawn)
        tally.ignored += len(item.boxes) - len(drawn)
        self._counts.append(len(drawn))
        if has_nir:
            name = hashlib.sha256(item.key.encode("utf-8", "surrogatepass")).digest()
            self._files[item.generated].append((name, item.path))
        else:
            self._no_nir.add(item.key)
        if item.rgb_name is not None and item.rgb is None:
            self._no_rgb.add(item.key)
        classes = frozenset(item.boxes[number].category for number in drawn)
        self._frames.append(
            Frame(
                key=item.key,
                place=place,
                night=is_night(item),
                classes=classes,
                sequence=item.sequence,
                rgb_sha256=item.rgb_sha256,
                has_nir=has_nir,
                has_rgb=item.rgb is not None,
            )
        )

    def _add_scores(self, values: Mapping[str, float | None]) -> None:
        before = len(self._frames)
        for name, value in values.items():
            column = self._scores[name]
            column.extend([float("nan")] * (before - len(column)))
            column.append(float("nan") if value is None else value)

    def _add_box(self, item: Item, number: int, scored: BoxScores) -> None:
        _, _, width, height = item.boxes[number].bbox
        self._where.append(len(self._frames))
        self._numbers.append(number)
        self._sides.append(max(0.0, width * height) ** 0.5)
        self._of_generated.append(item.generated)
        self._fidelity.append(float("nan") if scored.fidelity is None else scored.fidelity)
        self._trouble.append(float("nan") if scored.trouble is None else scored.trouble)
        self._tags.update(scored.tags)

    def finish(self, sampled: int) -> Survey:
        """All that was found."""
        return Survey(
            frames=tuple(self._frames),
            tallies=dict(sorted(self._tallies.items(), key=lambda entry: _order(entry[0]))),
            scores=dict(self._columns()),
            boxes=BoxTable(
                frame=np.asarray(self._where, np.int32),
                number=np.asarray(self._numbers, np.int32),
                side=np.asarray(self._sides, np.float32),
                generated=np.asarray(self._of_generated, bool),
                fidelity=np.asarray(self._fidelity, np.float32),
                trouble=np.asarray(self._trouble, np.float32),
            ),
            counts=np.asarray(self._counts, np.int32),
            tags=self._tags,
            samples={kind: tuple(path for _, path in sorted(files)[:sampled]) for kind, files in self._files.items()},
            no_nir=self._no_nir,
            no_rgb=self._no_rgb,
        )

    def _columns(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        for name, column in sorted(self._scores.items()):
            column.extend([float("nan")] * (len(self._frames) - len(column)))
            yield name, np.asarray(column, np.float32)


def _order(place: Place) -> tuple[int, str, bool]:
    """The usual order of splits, then that of the inputs."""
    usual = {"train": 0, "val": 1, "test": 2}
    return usual.get(place.split, 3), place.origin, place.generated


LONGEST_SIDE = 512
"""In pixels, of the images that are measured; larger ones are reduced to it."""
LEVELS = np.linspace(0, 256, 65)
"""Edges of the bins of intensities, in grey levels."""
SLOPES = np.geomspace(1, 128, 22)
"""Edges of the bins of gradients, in grey levels a pixel; what lies outside is counted in the outermost."""
THREADS = 2
_AHEAD = 16
"""Images given to the threads at once, so that memory doesn't grow with their number."""


@dataclass(frozen=True)
class Measured:
    """The statistics of one image.

    Attributes:
        levels: (64,) float64, the share of pixels in each bin of `LEVELS`.
        slopes: (21,) float64, the same for `SLOPES`.
        numbers: By name: `mean`, `spread` (standard deviation), both in grey levels; `black` and `white`, the
            percentages of pixels at 0 and at 255; `slope`, the mean gradient in grey levels a pixel.
    """

    levels: NDArray[np.float64]
    slopes: NDArray[np.float64]
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Statistics:
    """The statistics of the images of one kind, each image having the same weight.

    Attributes:
        images: How many were measured.
        levels: As of an image, their mean.
        slopes: The same.
        numbers: By name, the median over the images.
    """

    images: int
    levels: NDArray[np.float64]
    slopes: NDArray[np.float64]
    numbers: Mapping[str, float]


def measure(grey: NDArray[np.uint8]) -> Measured:
    """Measure an image.

    Args:
        grey: (H, W) uint8, at least 2 pixels a side.
    """
    values = grey.astype(np.float32)
    down, right = np.gradient(values)
    slopes = np.hypot(down, right).ravel()
    levels, _ = np.histogram(values, LEVELS)
    steep, _ = np.histogram(slopes.clip(SLOPES[0], SLOPES[-1]), SLOPES)
    return Measured(
        levels=levels / grey.size,
        slopes=steep / grey.size,
        numbers={
            "mean": float(values.mean()),
            "spread": float(values.std()),
            "black": 100 * float((grey == 0).mean()),
            "white": 100 * float((grey == 255).mean()),
            "slope": float(slopes.mean()),
        },
    )


def measure_files(samples: Mapping[bool, Sequence[Path]], report: Progress | None = None) -> dict[bool, Statistics]:
    """Measure files of both kinds.

    Args:
        samples: By whether they are generated.
        report: Told after each file.

    Returns:
        By kind; one of which no file could be read has no entry.
    """
    total = sum(map(len, samples.values()))
    found: dict[bool, list[Measured]] = {}
    done = 0
    with ThreadPoolExecutor(THREADS) as threads:
        for kind, paths in samples.items():
            for start in range(0, len(paths), _AHEAD):
                for measured in threads.map(_measure_file, paths[start : start + _AHEAD]):
                    done += 1
                    if report is not None:
                        report("measure", done, total)
                    if measured is not None:
                        found.setdefault(kind, []).append(measured)
    return {kind: _together(each) for kind, each in found.items()}


def overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """What two distributions share, in [0, 1].

    Example:
        >>> overlap(np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.5, 0.5]))
        0.5
    """
    return float(np.minimum(one, other).sum())


def _measure_file(path: Path) -> Measured | None:
    try:
        grey = images.to_grey(images.read(path))
    except ImageError:
        return None
    if min(grey.shape) < 2:
        return None
    scale = min(1, LONGEST_SIDE / max(grey.shape))
    return measure(images.resize(grey, (max(2, round(grey.shape[0] * scale)), max(2, round(grey.shape[1] * scale)))))


def _together(measured: Sequence[Measured]) -> Statistics:
    return Statistics(
        images=len(measured),
        levels=np.mean([each.levels for each in measured], axis=0),
        slopes=np.mean([each.slopes for each in measured], axis=0),
        numbers={name: float(np.median([each.numbers[name] for each in measured])) for name in measured[0].numbers},
    )
