"""The fields of a FiftyOne dataset of nirgen's, declared through FiftyOne's public API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nirgen.browse.names import BOXES, DECIDED, DETECTIONS, GROUP, IDENTITY, NIR, REAL_NIR, SLICES, WORST_BOX
from nirgen.scores import IMAGE_SCORES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nirgen.browse.survey import Survey

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
