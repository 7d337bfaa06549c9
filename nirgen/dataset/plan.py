"""Records of a plan: each image of a dataset with its split and labels, and why other images stay out.

`nirgen.dataset.planner.make_plan` makes a plan, `nirgen.dataset.build.build` carries it out.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from nirgen.curation.decision import Decision
    from nirgen.dataset.config import DatasetConfig
    from nirgen.labels.file import Category, LabelledImage


REASONS: Mapping[str, str] = {
    "failed": "failed to be translated",
    "missing": "rows whose image is gone",
    "changed": "images changed since they were translated",
    "damaged": "files that are no image that can be read",
    "unlabelled": "images without a label entry",
    "without-image": "label entries without an image",
    "size": "images whose size doesn't fit their label entry",
    "other-split": "images of a split that is none of train, val, test",
    "not-sampled": "generated images not sampled",
    "rejected": "images that a curator rejected",
}
"""Why an image or a label entry stays out of a dataset, in words."""


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """An image of the dataset.

    Boxes of its label entry are scaled by `width / labels.width` and `height / labels.height`.

    Attributes:
        key: The stable key, `<origin>/<path>`: the RGB source's path of a generated image, the file's of a real one.
        origin: The name of the input that it comes from.
        kind: Whether it was translated from RGB or taken by a NIR camera.
        split: `train`, `val` or `test`.
        path: The file to place, absolute.
        sha256: Of that file, as it was when the plan was made.
        size_bytes: Of that file.
        width: Of that file, in pixels, upright.
        height: The same.
        target: Where it goes: a POSIX path in the dataset, `images/<origin>/...`.
        labels: Its label entry; None if it is to be taken without one, as a negative.
        label_file: The index in `Plan.label_files` of the file that its labels are in, or would be.
        generator: The index in `Plan.generators` of what it was translated by; None of a real image.
        source: Of a generated image, the RGB source's path as in the manifest; of a real one, its RGB partner's path as
            in the list of pairs, or None.
        source_sha256: Of that RGB file, or None.
        model_id: Of the generator; None of a real image.
        options_id: Of the options that it was translated with; None of a real image.
        sequence: The recording that it comes from, or None.
        decisions: What a curator decided about it and its boxes, as far as it has an effect; sorted by key and action.
    """

    key: str
    origin: str
    kind: Literal["generated", "real"]
    split: str
    path: Path
    sha256: str
    size_bytes: int
    width: int
    height: int
    target: str
    labels: LabelledImage | None
    label_file: int
    generator: int | None = None
    source: str | None = None
    source_sha256: str | None = None
    model_id: str | None = None
    options_id: str | None = None
    sequence: str | None = None
    decisions: tuple[Decision, ...] = ()

    @property
    def unlabelled(self) -> bool:
        """Whether nobody has labelled it: it has no label entry, and no curator added a box."""
        return self.labels is None and not any(decision.action == "add" for decision in self.decisions)


@dataclass(frozen=True)
class LabelInput:
    """A file of labels that the dataset is made from.

    Attributes:
        origin: The input whose images it describes.
        name: The file's name, without its folder.
        sha256: Of the file.
        policy: The name of the class policy that its categories come from.
        counts: What the conversion counted, as plain values.
        licenses: COCO `licenses` entries, as they are in the file.
    """

    origin: str
    name: str
    sha256: str
    policy: str
    counts: Mapping[str, Any]
    licenses: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Generator:
    """What translated the images of one translation folder.

    Attributes:
        origin: The input.
        model_id: Of the model.
        options_id: Of the options that change pixels.
        options: These options, as plain values.
        licence: What may be done with the weights, as the model's header says it; `unknown` where it doesn't.
        architecture: The model's configuration, as plain values.
        training: What the header says of the training, without the list of pairs; empty if it isn't known.
        training_pairs: How many pairs that list has; None if the header has no list.
        nirgen_version: Of the package that wrote the translation folder.
    """

    origin: str
    model_id: str
    options_id: str
    options: Mapping[str, Any]
    licence: str
    architecture: Mapping[str, Any]
    training: Mapping[str, Any]
    training_pairs: int | None
    nirgen_version: str


@dataclass(frozen=True)
class Matched:
    """How the images of one input found their label entries.

    Attributes:
        origin: The input.
        images: Rows of the manifest, or files in the folder of real images.
        entries: Label entries.
        exact: Pairs of equal paths.
        trailing: Pairs of which one's path is what the other's ends in.
        name: Pairs of one name in folders that differ; no other image or entry has the name.
        stem: Pairs that are equal, or one what the other ends in, once the image's ending is taken off.
    """

    origin: str
    images: int
    entries: int
    exact: int
    trailing: int
    name: int
    stem: int


@dataclass(frozen=True)
class LeftOut:
    """What stays out of the dataset for one reason.

    Attributes:
        origin: The input.
        what: A key of `REASONS`.
        count: How many.
        examples: The first few, by name.
    """

    origin: str
    what: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Leak:
    """An image that must not judge a detector, because the detector or its generator sees it, or its like, in training.

    Attributes:
        kind: `file`, the same bytes; `sequence`, the same recording; `near-duplicate`, the same photograph to the eye.
        key: The image in validation or test.
        split: Its split.
        other: What it collides with, in words: an image of the dataset by its key, or a pair that trained a generator.
    """

    kind: Literal["file", "sequence", "near-duplicate"]
    key: str
    split: str
    other: str


@dataclass(frozen=True, slots=True)
class Noted:
    """A decision of which a curator should know something.

    Attributes:
        key: Of the decision.
        action: Of the decision.
        why: Why its target isn't there, or what is another in it than the decision saw.
    """

    key: str
    action: str
    why: str


@dataclass(frozen=True)
class Curated:
    """What a curator's decisions came to.

    Attributes:
        sha256: Of the decisions, as `nirgen.curation.encode` writes them.
        decisions: All of them, sorted by key and action.
        applied: How many had an effect, by action.
        idle: How many had none, because the image of their box is rejected.
        gone: Those whose target isn't there.
        changed: Those whose target isn't any more what they saw; they were applied.
    """

    sha256: str
    decisions: tuple[Decision, ...]
    applied: Mapping[str, int]
    idle: int
    gone: tuple[Noted, ...]
    changed: tuple[Noted, ...]

    def described(self) -> dict[str, Any]:
        """It as plain values, as `dataset.json` has it."""
        return {
            "sha256": self.sha256,
            "decisions": len(self.decisions),
            "applied": dict(sorted(self.applied.items())),
            "idle": self.idle,
            "gone": [asdict(each) for each in self.gone],
            "changed": [asdict(each) for each in self.changed],
        }


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """A pair that a generator was trained on; what its model's header doesn't say is empty.

    Attributes:
        model_id: Of the generator.
        name: Of the pair.
        rgb_sha256: Of the RGB image's file.
        nir_sha256: Of the NIR image's file.
        sequence: The recording that it comes from.
    """

    model_id: str
    name: str
    rgb_sha256: str
    nir_sha256: str
    sequence: str


@dataclass(frozen=True)
class Plan:
    """A dataset before it is written.

    Attributes:
        config: What was asked for, with the folders of RGB sources that were found.
        categories: Of all label files, in the order of their ids.
        label_files: One for each input, generated ones first.
        generators: One for each translation folder.
        training: The pairs that trained them, as far as their models' headers list them.
        images: Sorted by key.
        matched: How images found their labels, for each input.
        left_out: What stays out, and why.
        leaks: Images in validation or test that training has seen, each once; `build` refuses them unless
            `config.allow_leak`.
        notes: What a reader of the plan should know besides, one line each.
        inputs: The sha256 of everything that was read, by what it is, such as `bdd100k: labels`.
        digest: sha256 over all of the above that decides what the dataset holds; folders outside of it don't.
        rejected: Images that a curator took out, sorted by key. They keep their ids, and those of their annotations,
            which nothing else gets.
        curation: What the curator's decisions came to; None without any.
    """

    config: DatasetConfig
    categories: tuple[Category, ...]
    label_files: tuple[LabelInput, ...]
    generators: tuple[Generator, ...]
    training: tuple[TrainingPair, ...]
    images: tuple[PlannedImage, ...]
    matched: tuple[Matched, ...]
    left_out: tuple[LeftOut, ...]
    leaks: tuple[Leak, ...]
    notes: tuple[str, ...]
    inputs: Mapping[str, str]
    digest: str
    rejected: tuple[PlannedImage, ...] = ()
    curation: Curated | None = None


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
