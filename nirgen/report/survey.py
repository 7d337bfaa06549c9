"""Survey of a dataset: contents and scores of all images, intensities and gradients of a sample."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nirgen import images
from nirgen.errors import ImageError
from nirgen.scores import IMAGE_SCORES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.collection import Collection
    from nirgen.dataset.read import Image
    from nirgen.progress import Progress
    from nirgen.scores import Scores


_EVERY = 100  # images between two calls of the progress callback
_NAN = float("nan")


class Place(NamedTuple):
    """A row of the table of counts."""

    split: str  # empty in a translation folder
    origin: str  # the input
    generated: bool


@dataclass
class Tally:
    """Counts of images and boxes in one place."""

    images: int = 0
    empty: int = 0  # images without any annotation
    boxes: Counter[str] = field(default_factory=Counter)  # by class, without regions to ignore
    ignored: int = 0  # regions to ignore


@dataclass(frozen=True, slots=True)
class Frame:
    """The attributes of an image by which images are chosen for the report."""

    key: str
    place: Place
    night: bool
    classes: frozenset[str]
    sequence: str | None
    rgb_sha256: str | None  # of its RGB image, as recorded
    has_nir: bool  # its file exists
    has_rgb: bool  # the file of its RGB image exists


@dataclass(frozen=True)
class BoxTable:
    """Columns of the boxes of all images, regions to ignore left out; scores are NaN where unknown."""

    frame: NDArray[np.int32]  # index in `Survey.frames`
    number: NDArray[np.int32]  # position on its image
    side: NDArray[np.float32]  # square root of the area, in pixels
    fidelity: NDArray[np.float32]
    trouble: NDArray[np.float32]


@dataclass(frozen=True)
class Survey:
    """Contents and scores of a dataset."""

    frames: tuple[Frame, ...]  # sorted by key
    tallies: Mapping[Place, Tally]
    scores: Mapping[str, NDArray[np.float32]]  # by name, a value for each of `frames`; NaN where unknown
    boxes: BoxTable
    tags: Counter[str]  # boxes by suggestion
    samples: Mapping[bool, tuple[Path, ...]]  # by `generated`, the files to measure: the first by hash of their keys
    no_nir: tuple[str, ...]  # keys of images whose file is missing
    no_rgb: tuple[str, ...]  # keys of images whose RGB image is known, and missing

    @property
    def trouble(self) -> NDArray[np.float32]:
        """The score that orders images: 1 is worst, NaN unknown."""
        return self.scores["trouble"]

    @property
    def generated(self) -> NDArray[np.bool_]:
        """True for each of `frames` that was translated from RGB."""
        return np.fromiter((frame.place.generated for frame in self.frames), bool, len(self.frames))


def survey(collection: Collection, scores: Scores, sampled: int, report: Progress | None = None) -> Survey:
    """Read all images' entries and scores, and no pixels.

    Args:
        collection: The images.
        scores: Of the images.
        sampled: Images of each kind to measure, at most.
        report: Progress callback.
    """
    tallies: dict[Place, Tally] = {}
    frames: list[Frame] = []
    of_images = {name: array("f") for name in sorted(IMAGE_SCORES)}
    types = {"frame": "i", "number": "i", "side": "f", "fidelity": "f", "trouble": "f"}
    boxes: dict[str, array[Any]] = {name: array(code) for name, code in types.items()}
    tags: Counter[str] = Counter()
    no_rgb: list[str] = []
    files: dict[bool, list[tuple[bytes, Path]]] = {True: [], False: []}
    for done, item in enumerate(collection.items(), start=1):
        scored = scores.of(item)
        for name, column in of_images.items():
            column.append(_or_nan(scored.image[name]))
        drawn = [(number, box) for number, box in enumerate(item.boxes) if not box.ignored]
        for number, box in drawn:
            boxes["frame"].append(len(frames))
            boxes["number"].append(number)
            boxes["side"].append(max(0.0, box.bbox[2] * box.bbox[3]) ** 0.5)
            boxes["fidelity"].append(_or_nan(scored.boxes[number].fidelity))
            boxes["trouble"].append(_or_nan(scored.boxes[number].trouble))
            tags.update(scored.boxes[number].tags)
        place = Place(item.split or "", item.origin, item.generated)
        tally = tallies.setdefault(place, Tally())
        tally.images += 1
        tally.empty += not item.boxes
        tally.boxes.update(box.category for _, box in drawn)
        tally.ignored += len(item.boxes) - len(drawn)
        frames.append(_frame(item, place, frozenset(box.category for _, box in drawn)))
        if frames[-1].has_nir:
            digest = hashlib.sha256(item.key.encode("utf-8", "surrogatepass")).digest()
            files[item.generated].append((digest, item.path))
        if item.rgb_name is not None and item.rgb is None:
            no_rgb.append(item.key)
        if report is not None and (done % _EVERY == 0 or done == collection.count):
            report("read", done, collection.count)
    return Survey(
        frames=tuple(frames),
        tallies=dict(sorted(tallies.items(), key=lambda entry: _order(entry[0]))),
        scores={name: np.asarray(column, np.float32) for name, column in of_images.items()},
        boxes=BoxTable(**{name: np.asarray(column) for name, column in boxes.items()}),
        tags=tags,
        samples={kind: tuple(path for _, path in sorted(each)[:sampled]) for kind, each in files.items()},
        no_nir=tuple(frame.key for frame in frames if not frame.has_nir),
        no_rgb=tuple(no_rgb),
    )


def is_night(item: Image) -> bool:
    """Return True if an image is labelled as taken at night."""
    return "night" in item.attributes.get("timeofday", "").lower()


def _frame(item: Image, place: Place, classes: frozenset[str]) -> Frame:
    return Frame(
        key=item.key,
        place=place,
        night=is_night(item),
        classes=classes,
        sequence=item.sequence,
        rgb_sha256=item.rgb_sha256,
        has_nir=item.path.is_file(),
        has_rgb=item.rgb is not None,
    )


def _or_nan(value: float | None) -> float:
    return _NAN if value is None else value


def _order(place: Place) -> tuple[int, str, bool]:
    usual = {"train": 0, "val": 1, "test": 2}
    return usual.get(place.split, 3), place.origin, place.generated


LONGEST_SIDE = 512  # pixels, to which images are reduced before they are measured
LEVELS = np.linspace(0, 256, 65)  # edges of the bins of intensities, in grey levels
SLOPES = np.geomspace(1, 128, 22)  # of gradients, in grey levels a pixel; values beyond count in the outermost bins
THREADS = 2
_AHEAD = 16  # images given to the threads at once, which bounds memory


@dataclass(frozen=True)
class Statistics:
    """Statistics of an image, or of the images of one kind with equal weights."""

    images: int
    levels: NDArray[np.float64]  # (64,), share of pixels in each bin of `LEVELS`; the mean over images
    slopes: NDArray[np.float64]  # (21,), the same for `SLOPES`
    # `mean` and `spread` (standard deviation) in grey levels, `slope` (mean gradient) in grey levels a pixel,
    # `black` and `white` in % of pixels at 0 and at 255; the median over images.
    numbers: Mapping[str, float]


def measure(grey: NDArray[np.uint8]) -> Statistics:
    """Measure an image: (H, W), at least 2 pixels a side."""
    values = grey.astype(np.float32)
    down, right = np.gradient(values)
    slopes = np.hypot(down, right).ravel()
    levels, _ = np.histogram(values, LEVELS)
    steep, _ = np.histogram(slopes.clip(SLOPES[0], SLOPES[-1]), SLOPES)
    numbers = {
        "mean": float(values.mean()),
        "spread": float(values.std()),
        "black": 100 * float((grey == 0).mean()),
        "white": 100 * float((grey == 255).mean()),
        "slope": float(slopes.mean()),
    }
    return Statistics(1, levels / grey.size, steep / grey.size, numbers)


def measure_files(samples: Mapping[bool, Sequence[Path]], report: Progress | None = None) -> dict[bool, Statistics]:
    """Measure files of both kinds.

    Args:
        samples: Files by `generated`.
        report: Progress callback.

    Returns:
        By `generated`; a kind without any readable file is absent.
    """
    total = sum(map(len, samples.values()))
    found: dict[bool, list[Statistics]] = {}
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
    return {
        kind: Statistics(
            images=len(each),
            levels=np.mean([one.levels for one in each], axis=0),
            slopes=np.mean([one.slopes for one in each], axis=0),
            numbers={name: float(np.median([one.numbers[name] for one in each])) for name in each[0].numbers},
        )
        for kind, each in found.items()
    }


def overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the share that two distributions have in common, in [0, 1].

    Example:
        >>> overlap(np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.5, 0.5]))
        0.5
    """
    return float(np.minimum(one, other).sum())


def _measure_file(path: Path) -> Statistics | None:
    try:
        grey = images.to_grey(images.read(path))
    except ImageError:
        return None
    if min(grey.shape) < 2:
        return None
    scale = min(1, LONGEST_SIDE / max(grey.shape))
    return measure(images.resize(grey, (max(2, round(grey.shape[0] * scale)), max(2, round(grey.shape[1] * scale)))))
