"""Records of a plan: each image of a dataset with its split and labels, and why other images are left out.

`nirgen.dataset.planner.make_plan` makes a plan, `nirgen.dataset.build.build` carries it out.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from nirgen.dataset.config import DatasetConfig
    from nirgen.dataset.decisions import Curated, Outcome
    from nirgen.labels.file import Category, LabelledImage


# Why an image or a label entry is left out.
REASONS: Mapping[str, str] = {
    "failed": "failed to be translated",
    "missing": "rows whose image is gone",
    "changed": "images changed since they were translated",
    "name": "images whose name can't be one of a dataset",
    "damaged": "files that are no image that can be read",
    "unlabelled": "images without a label entry",
    "without-image": "label entries without an image",
    "size": "images whose size doesn't fit their label entry",
    "other-split": "images of a split that is none of train, val, test",
    "not-sampled": "generated images not sampled",
    "rejected": "images that a curator rejected",
}


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """An image of the dataset.

    Boxes of its label entry are scaled by `width / labels.width` and `height / labels.height`.
    """

    key: str  # stable, `ORIGIN/PATH`: the RGB source's path of a generated image, the file's of a real one
    origin: str  # name of the input
    kind: Literal["generated", "real"]
    split: str  # train, val or test
    path: Path  # file to place, absolute
    sha256: str  # of the file when the plan was made
    size_bytes: int
    width: int  # pixels, upright
    height: int
    target: str  # POSIX path in the dataset, `images/ORIGIN/...`
    labels: LabelledImage | None  # label entry; None for an image that is taken as a negative
    label_file: int  # index in `Plan.label_files`
    in_colour: bool = False  # a real image, which NIR isn't
    generator: int | None = None  # index in `Plan.generators`; None for a real image
    source: str | None = None  # RGB file: source as in the manifest, or partner as in the list of pairs
    source_sha256: str | None = None  # of the RGB file
    model_id: str | None = None  # of the generator
    options_id: str | None = None  # of the translation's options
    sequence: str | None = None  # recording
    outcome: Outcome | None = None  # effect of a curator's decisions; None without any

    @property
    def unlabelled(self) -> bool:
        """Return True if the image has no label entry and no added box."""
        return self.labels is None and not (self.outcome and any(True for _ in self.outcome.added))


@dataclass(frozen=True)
class LabelInput:
    """A label file that the dataset is made from."""

    origin: str  # input whose images it describes
    name: str  # file name without folder
    sha256: str
    policy: str  # name of the class policy
    counts: Mapping[str, Any]  # of the conversion
    licenses: tuple[Mapping[str, Any], ...]  # COCO entries


@dataclass(frozen=True)
class Generator:
    """The translator of one translation folder."""

    origin: str  # input
    model_id: str
    options_id: str  # of the options that change pixels
    options: Mapping[str, Any]
    licence: str  # of the weights, by the model's header; `unknown` if it has none
    architecture: Mapping[str, Any]  # configuration of the model
    training: Mapping[str, Any]  # by the header, without the list of pairs; empty if unknown
    training_pairs: int | None  # length of that list; None without one
    nirgen_version: str  # that wrote the translation folder


@dataclass(frozen=True)
class Matched:
    """Counts of how the images of one input were matched with label entries (see `nirgen.dataset.entries`)."""

    origin: str
    images: int  # rows of the manifest, or files in the folder of real images
    entries: int
    exact: int
    trailing: int
    name: int
    stem: int
    spelling: int = 0


@dataclass(frozen=True)
class LeftOut:
    """Images or label entries that are left out for one reason."""

    origin: str
    what: str  # key of `REASONS`
    count: int
    examples: tuple[str, ...]  # the first few names


@dataclass(frozen=True)
class Leak:
    """An image of validation or test that training has seen: same file, same recording or near duplicate."""

    kind: Literal["file", "sequence", "near-duplicate"]
    key: str  # of the image in validation or test
    split: str
    other: str  # what it collides with, as text


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """A pair that a generator was trained on; what the model's header lacks is empty."""

    model_id: str
    name: str
    rgb_sha256: str
    nir_sha256: str
    sequence: str


@dataclass(frozen=True)
class Plan:
    """A dataset before it is written."""

    config: DatasetConfig  # as asked for, with the RGB source folders that were found
    categories: tuple[Category, ...]  # of all label files, in the order of their ids
    label_files: tuple[LabelInput, ...]  # one for each input, generated ones first
    generators: tuple[Generator, ...]  # one for each translation folder
    training: tuple[TrainingPair, ...]  # pairs that trained the generators
    images: tuple[PlannedImage, ...]  # sorted by key
    matched: tuple[Matched, ...]  # one for each input
    left_out: tuple[LeftOut, ...]
    leaks: tuple[Leak, ...]  # each image once; `build` refuses them unless `config.allow_leak`
    notes: tuple[str, ...]  # further remarks, one line each
    inputs: Mapping[str, str]  # sha256 of everything that was read, by name such as `bdd100k: labels`
    digest: str  # sha256 of all that decides what the dataset holds; paths outside of it don't
    rejected: tuple[PlannedImage, ...] = ()  # by a curator, sorted by key; they keep their ids
    curation: Curated | None = None  # effect of a curator's decisions; None without any

    @property
    def coloured(self) -> tuple[str, ...]:
        """Return the keys of real images that are in colour."""
        return tuple(image.key for image in self.images if image.in_colour)


EXAMPLES = 5

_REMARKED = {"size", "other-split"}  # reasons whose names continue with a remark on the image


class Tally:
    """Names that are left out, by input and reason."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], list[str]] = defaultdict(list)

    def add(self, origin: str, what: str, names: Iterable[str]) -> None:
        """Add names of images or label entries; `what` is a key of `REASONS`."""
        self._names[origin, what] += names

    def reasons(self) -> dict[str, str]:
        """Return the key in `REASONS` for each image that was added, by image key."""
        return {
            f"{origin}/{name.rpartition(' is ')[0] if what in _REMARKED else name}": what
            for (origin, what), names in self._names.items()
            for name in names
        }

    def left_out(self) -> tuple[LeftOut, ...]:
        """Return the counts by input, in the order of `REASONS`, with the first names as examples."""
        return tuple(
            LeftOut(origin, what, len(names), tuple(sorted(names)[:EXAMPLES]))
            for origin in sorted({origin for origin, _ in self._names})
            for what in REASONS
            if (names := self._names.get((origin, what)))
        )
