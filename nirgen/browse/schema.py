"""Groups, slices and fields that a collection needs in FiftyOne, and their declaration."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nirgen.browse.fields import (
    BOXES,
    DECIDED,
    DETECTIONS,
    EMBEDDED,
    GROUP,
    IDENTITY,
    ISSUE,
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
    from collections.abc import Mapping

    from nirgen.collection import Collection

LOADED_FIELDS = frozenset({*IDENTITY, *DECIDED, *IMAGE_SCORES, BOXES, GROUP, WORST_BOX, ISSUE, "objects", "note"})
TAKEN = LOADED_FIELDS.union(EMBEDDED)  # no attribute of images can have these names
_REVISION = 2  # of the samples; a later one loads samples of the same folder again


@dataclass(frozen=True, slots=True)
class Layout:
    """The samples of a collection: their fields, slices and groups."""

    attributes: Mapping[str, str]  # field by attribute of images
    counts: Mapping[str, str]  # field by class
    slices: Mapping[str, int]  # samples in each slice
    joined: Mapping[str, str]  # key of a real image -> key of the image generated from the same RGB image
    covered: frozenset[str]  # real images whose RGB image is shown with the generated one
    not_shown: int  # images in a format that browsers don't show
    state: str  # digest of all samples, without scores

    @property
    def samples(self) -> int:
        """Return the number of samples in all slices."""
        return sum(self.slices.values())


def plan_layout(collection: Collection) -> Layout:
    """Read a collection once to lay out its samples."""
    attributes: set[str] = set()
    generated: dict[str, tuple[str, bool]] = {}
    real: dict[str, tuple[str, bool]] = {}
    slices: Counter[str] = Counter()
    not_shown = 0
    state = hashlib.sha256(f"{_REVISION}\0{collection.folder.resolve()}\0{collection.digest}\0".encode())
    for item in collection.items():
        attributes.update(item.attributes)
        slices[NIR if item.generated else REAL_NIR] += 1
        slices[RGB] += item.rgb is not None
        not_shown += item.path.suffix.lower() in {".tif", ".tiff"}
        state.update(f"{item.key}\0{item.path}\0{item.rgb or ''}\n".encode(errors="surrogateescape"))
        if item.rgb_sha256 is not None:
            first = generated if item.generated else real
            first.setdefault(item.rgb_sha256, (item.key, item.rgb is not None))
    pairs = [(*real[sha256], *generated[sha256]) for sha256 in real if sha256 in generated]
    slices[RGB] -= sum(shown and own for _, own, _, shown in pairs)
    counts = count_names(category.name for category in collection.categories)
    return Layout(
        attributes=field_names(attributes, TAKEN | set(counts.values())),
        counts=counts,
        slices={name: slices[name] for name in SLICES if slices[name]},
        joined={key: group for key, _, group, _ in pairs},
        covered=frozenset(key for key, _, _, shown in pairs if shown),
        not_shown=not_shown,
        state=state.hexdigest(),
    )


# The App sorts and filters by these; FiftyOne itself indexes groups, slices and paths.
_INDEXED = ("key", "trouble", ISSUE, WORST_BOX, "split", "origin", "kind", "tags", "decision")


def declare(dataset: Any, layout: Layout, classes: list[str]) -> None:
    """Declare groups, fields and classes in a FiftyOne dataset; existing declarations stay."""
    import fiftyone as fo

    default = NIR if NIR in layout.slices else REAL_NIR
    if dataset.media_type != "group":
        dataset.add_group_field(GROUP, default=default)
    for name in layout.slices:
        dataset.add_group_slice(name, "image")
    if default in dataset.group_slices:
        dataset.default_group_slice = default
    dataset.add_sample_field(BOXES, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    known = dataset.get_field_schema(flat=True)
    texts = (*IDENTITY, *layout.attributes.values(), ISSUE, "note", *DECIDED)
    of_boxes = (f"{DETECTIONS}.{name}" for name in ("key", "source_category", "reason", "author"))
    fields: dict[str, Any] = {name: fo.StringField() for name in (*texts, *of_boxes)}
    fields |= {name: fo.IntField() for name in ("objects", *layout.counts.values())}
    of_boxes = (f"{DETECTIONS}.{name}" for name in ("fidelity", "trouble"))
    fields |= {name: fo.FloatField() for name in (*IMAGE_SCORES, WORST_BOX, *of_boxes)}
    fields[f"{DETECTIONS}.flags"] = fo.ListField(fo.StringField())
    fields[f"{DETECTIONS}.iscrowd"] = fo.BooleanField()
    # All at once: add_sample_field reads the whole schema back after each field.
    dataset._merge_sample_field_schema({name: field for name, field in fields.items() if name not in known})
    if classes:
        dataset.default_classes = classes
        dataset.classes = {**dataset.classes, BOXES: classes}


def index(dataset: Any) -> None:
    """Create the missing indexes; cheapest once all samples are loaded."""
    for name in _INDEXED:
        dataset.create_index(name)
