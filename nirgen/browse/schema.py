"""Schema of a FiftyOne dataset: what a collection needs, from one walk over it, and its declaration."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nirgen.browse.fields import (
    BOXES,
    DECIDED,
    DETECTIONS,
    GROUP,
    IDENTITY,
    NIR,
    REAL_NIR,
    RGB,
    SLICES,
    WORST_BOX,
    count_names,
    field_names,
)
from nirgen.scores import IMAGE_SCORES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nirgen.collection import Collection, Item


TAKEN = frozenset({*IDENTITY, *DECIDED, *IMAGE_SCORES, BOXES, GROUP, WORST_BOX, "objects", "note"})

_NOT_SHOWN = frozenset({".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class Survey:
    """The images of a collection, seen as a whole.

    Attributes:
        attributes: The fields of the images' attributes, by attribute.
        counts: The fields that count boxes, by class.
        slices: How many samples each slice has.
        joined: By the key of a real image, that of the generated image made of the same RGB image.
        covered: The real images whose RGB image is shown with the generated one.
        not_shown: How many images are of a format that no browser shows.
        state: A digest of what samples are made of, scores aside.
    """

    attributes: Mapping[str, str]
    counts: Mapping[str, str]
    slices: Mapping[str, int]
    joined: Mapping[str, str]
    covered: frozenset[str]
    not_shown: int
    state: str

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return sum(self.slices.values())

    def group_of(self, item: Item) -> str:
        """What names the group of an image: the key of its first image."""
        return self.joined.get(item.key, item.key)

    def shows_rgb(self, item: Item) -> bool:
        """Whether the sample of the RGB image comes with this image."""
        return item.rgb is not None and item.key not in self.covered


def survey(collection: Collection) -> Survey:
    """Look at all images of a collection once.

    Raises:
        NirgenError: A file that says what they are can't be read.
    """
    attributes: set[str] = set()
    generated: dict[str, tuple[str, bool]] = {}
    real: dict[str, tuple[str, bool]] = {}
    slices: Counter[str] = Counter()
    not_shown = 0
    state = hashlib.sha256(f"{collection.folder.resolve()}\0{collection.digest}\0".encode())
    for item in collection.items():
        attributes.update(item.attributes)
        slices[NIR if item.generated else REAL_NIR] += 1
        slices[RGB] += item.rgb is not None
        not_shown += item.path.suffix.lower() in _NOT_SHOWN
        state.update(f"{item.key}\0{item.path}\0{item.rgb or ''}\n".encode(errors="surrogateescape"))
        if item.rgb_sha256 is not None:
            first = generated if item.generated else real
            first.setdefault(item.rgb_sha256, (item.key, item.rgb is not None))
    pairs = [(*real[sha256], *generated[sha256]) for sha256 in real if sha256 in generated]
    covered = frozenset(key for key, _, _, shown in pairs if shown)
    slices[RGB] -= sum(shown and own for _, own, _, shown in pairs)
    counts = count_names(category.name for category in collection.categories)
    return Survey(
        attributes=field_names(attributes, TAKEN | set(counts.values())),
        counts=counts,
        slices={name: slices[name] for name in SLICES if slices[name]},
        joined={key: group for key, _, group, _ in pairs},
        covered=covered,
        not_shown=not_shown,
        state=state.hexdigest(),
    )


_INDEXED = ("key", "trouble", WORST_BOX, "split", "origin", "kind", "tags", "decision")
"""What the App is asked to sort and filter by; FiftyOne itself indexes groups, slices and paths."""


def declare(dataset: Any, survey: Survey, classes: list[str]) -> None:
    """Declare groups and fields; what is declared already stays.

    Args:
        dataset: The FiftyOne dataset.
        survey: Of the collection that is loaded into it.
        classes: The names of the classes, in their order.
    """
    default = NIR if NIR in survey.slices else REAL_NIR
    if dataset.media_type != "group":
        dataset.add_group_field(GROUP, default=default)
    for name in SLICES:
        if name in survey.slices:
            dataset.add_group_slice(name, "image")
    if default in dataset.group_slices:
        dataset.default_group_slice = default
    known = dataset.get_field_schema(flat=True)
    for name, field, options in _fields(survey):
        if name not in known:  # each that is declared is read back, with all that was before
            dataset.add_sample_field(name, field, **options)
    if classes:
        dataset.default_classes = classes
        dataset.classes = {**dataset.classes, BOXES: classes}


def _fields(survey: Survey) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Names, types and what else declares them."""
    import fiftyone as fo

    for name in (*IDENTITY, *survey.attributes.values(), "note", *DECIDED):
        yield name, fo.StringField, {}
    for name in ("objects", *survey.counts.values()):
        yield name, fo.IntField, {}
    for name in (*IMAGE_SCORES, WORST_BOX):
        yield name, fo.FloatField, {}
    yield BOXES, fo.EmbeddedDocumentField, {"embedded_doc_type": fo.Detections}
    for name in ("key", "source_category", "reason", "author"):
        yield f"{DETECTIONS}.{name}", fo.StringField, {}
    for name in ("fidelity", "trouble"):
        yield f"{DETECTIONS}.{name}", fo.FloatField, {}
    yield f"{DETECTIONS}.flags", fo.ListField, {"subfield": fo.StringField}
    yield f"{DETECTIONS}.iscrowd", fo.BooleanField, {}


def index(dataset: Any) -> None:
    """Make the indexes that aren't there yet; best done when all samples are."""
    for name in _INDEXED:
        dataset.create_index(name)
