"""Survey of a dataset: contents and scores of all images, intensities and gradients of a sample."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nirgen import images
from nirgen.errors import ImageError
from nirgen.progress import in_threads
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
_SPLITS = {"train": 0, "val": 1, "test": 2}


class Place(NamedTuple):
    """A row of the table of counts."""

    split: str  # empty in a translation folder
    origin: str  # the input
    generated: bool


@dataclass
class Tally:
    """Counts of images and boxes in one place."""

    images: int = 0
    empty: int = 0  # images without any annotation, unlabelled ones among them
    unlabelled: int = 0  # of these, images without a label entry, which nobody has looked at
    boxes: Counter[str] = field(default_factory=Counter)  # by class, without regions to ignore
    ignored: int = 0  # regions to ignore


@dataclass(frozen=True, slots=True)
class Frame:
    """The attributes of an image by which images are chosen for the report."""

    key: str
    generated: bool
    night: bool
    classes: frozenset[str]
    sequence: str | None
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
        return np.array([frame.generated for frame in self.frames], bool)


def survey(collection: Collection, scores: Scores, sampled: int, report: Progress | None = None) -> Survey:
    """Read all images' entries and scores, and no pixels; choose up to `sampled` images of each kind to measure."""
    tallies: dict[Place, Tally] = {}
    frames: list[Frame] = []
    of_images = {name: array("f") for name in sorted(IMAGE_SCORES)}
    boxes = BoxTable(*(array(code) for code in "iifff"))  # type: ignore[arg-type]
    columns: list[array[Any]] = list(vars(boxes).values())
    tags: Counter[str] = Counter()
    no_rgb: list[str] = []
    files: dict[bool, list[tuple[bytes, Path]]] = {True: [], False: []}
    for done, item in enumerate(collection.items(), start=1):
        scored = scores.of(item)
        for name, column in of_images.items():
            column.append(_or_nan(scored.image[name]))
        drawn = [(number, box) for number, box in enumerate(item.boxes) if not box.ignored]
        for number, box in drawn:
            side = max(0.0, box.bbox[2] * box.bbox[3]) ** 0.5
            of_box = scored.boxes[number]
            row = (len(frames), number, side, _or_nan(of_box.fidelity), _or_nan(of_box.trouble))
            for column, value in zip(columns, row, strict=True):
                column.append(value)
            tags.update(of_box.tags)
        classes = [box.category for _, box in drawn]
        tally = tallies.setdefault(Place(item.split or "", item.origin, item.generated), Tally())
        tally.images += 1
        tally.empty += not item.boxes
        tally.unlabelled += not item.labelled and not item.boxes
        tally.boxes.update(classes)
        tally.ignored += len(item.boxes) - len(drawn)
        has_nir, has_rgb = item.path.is_file(), item.rgb is not None
        kind, night = item.generated, is_night(item)
        frames.append(Frame(item.key, kind, night, frozenset(classes), item.sequence, has_nir, has_rgb))
        if has_nir:
            digest = hashlib.sha256(item.key.encode("utf-8", "surrogatepass")).digest()
            files[kind].append((digest, item.path))
        if item.rgb_name is not None and not has_rgb:
            no_rgb.append(item.key)
        if report is not None and (done % _EVERY == 0 or done == collection.count):
            report("read", done, collection.count)
    return Survey(
        frames=tuple(frames),
        tallies=dict(sorted(tallies.items(), key=lambda entry: (_SPLITS.get(entry[0].split, 3), entry[0][1:]))),
        scores={name: np.asarray(column, np.float32) for name, column in of_images.items()},
        boxes=BoxTable(*map(np.asarray, columns)),
        tags=tags,
        samples={kind: tuple(path for _, path in sorted(each)[:sampled]) for kind, each in files.items()},
        no_nir=tuple(frame.key for frame in frames if not frame.has_nir),
        no_rgb=tuple(no_rgb),
    )


def is_night(item: Image) -> bool:
    """Return True if an image is labelled as taken at night."""
    return "night" in item.attributes.get("timeofday", "").lower()


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


LONGEST_SIDE = 512  # pixels, to which images are reduced before they are measured
LEVELS = np.linspace(0, 256, 65)  # edges of the bins of intensities, in grey levels
SLOPES = np.geomspace(1, 128, 22)  # of gradients, in grey levels a pixel; values beyond count in the outermost bins


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
    slopes = np.hypot(*np.gradient(values)).ravel()
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
    """Measure files of both kinds, given by `generated`; a kind without any readable file is absent."""
    files = [(kind, path) for kind, paths in samples.items() for path in paths]
    found: dict[bool, list[Statistics]] = {}
    measured = in_threads(_measure_file, [path for _, path in files], "measure", report)
    for (kind, _), one in zip(files, measured, strict=True):
        if one is not None:
            found.setdefault(kind, []).append(one)
    return {
        kind: Statistics(
            images=len(each),
            levels=np.mean([one.levels for one in each], axis=0),
            slopes=np.mean([one.slopes for one in each], axis=0),
            numbers={name: float(np.median([one.numbers[name] for one in each])) for name in each[0].numbers},
        )
        for kind, each in found.items()
    }


def _measure_file(path: Path) -> Statistics | None:
    try:
        grey = images.to_grey(images.read(path))
    except ImageError:
        return None
    if min(grey.shape) < 2:
        return None
    scale = min(1, LONGEST_SIDE / max(grey.shape))
    return measure(images.resize(grey, (max(2, round(grey.shape[0] * scale)), max(2, round(grey.shape[1] * scale)))))


def overlap(statistics: Mapping[bool, Statistics]) -> dict[str, float]:
    """Return the share in [0, 1] that both kinds have in common of `levels` and of `slopes`; empty for one kind."""
    if len(statistics) < 2:
        return {}
    one, other = statistics[True], statistics[False]
    pairs = {"levels": (one.levels, other.levels), "slopes": (one.slopes, other.slopes)}
    return {name: float(np.minimum(*pair).sum()) for name, pair in pairs.items()}
