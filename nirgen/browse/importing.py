"""Decisions from a file into FiftyOne, as if they had been made there."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nirgen.browse.boxes import decode_loaded, same_place, to_shares
from nirgen.browse.database import database_errors, open_fiftyone
from nirgen.browse.documents import LOADED, object_id
from nirgen.browse.finding import find_loaded
from nirgen.browse.names import BOX_ACTIONS, BOXES, GROUP, IMAGE_ACTIONS, MAIN_SLICES, TAG_OF
from nirgen.collection import open_collection
from nirgen.dataset.folder import read_dataset
from nirgen.dataset.foresee import own_decisions
from nirgen.dataset.judging import image_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from nirgen.browse.documents import Document
    from nirgen.curation import Decision
    from nirgen.dataset.plan import Report

IMPORTING = "writing decisions"

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of decisions.

    Attributes:
        applied: How many FiftyOne has now.
        gone: The keys of those about what it doesn't have, sorted.
    """

    applied: int
    gone: tuple[str, ...]


def import_decisions(
    folder: Path,
    decisions: Iterable[Decision],
    *,
    name: str | None = None,
    database: str | None = None,
    report: Report | None = None,
) -> Imported:
    """Put decisions into FiftyOne, in the place of those that it has about the same images and boxes.

    Imported twice, they change nothing more.

    Args:
        folder: A dataset or a translation folder that `nirgen browse` has loaded.
        decisions: Of a file.
        name: Of the FiftyOne dataset; by default of the one that was loaded from the folder.
        database: The URI of the MongoDB, if FiftyOne's settings don't name it.
        report: Told how many decisions are done.

    Returns:
        What is there now, and what isn't.

    Raises:
        NirgenError: FiftyOne doesn't have the folder as it is now, or the database fails.
    """
    collection = open_collection(folder.resolve())
    fiftyone = open_fiftyone(database)
    # What a dataset was built with has found nothing in it to change any more.
    done = {each.order for each in own_decisions(read_dataset(folder))} if collection.kind == "dataset" else set()
    ordered = sorted(decisions, key=lambda each: each.order)
    gone: list[str] = []
    with database_errors(name or collection.name):
        samples = find_loaded(fiftyone, collection, name)._sample_collection
        for start in range(0, len(ordered), _BATCH):
            batch = ordered[start : start + _BATCH]
            missing = _put(samples, batch)
            gone += [decision.key for decision in missing if decision.order not in done]
            if report is not None:
                report(IMPORTING, start + len(batch), len(ordered))
    return Imported(len(ordered) - len(gone), tuple(sorted(gone)))


def import_own(folder: Path, *, name: str, database: str | None = None) -> Imported:
    """Put into FiftyOne what a dataset's own decisions say that the dataset itself doesn't show: keep and flag.

    Args:
        folder: A dataset or a translation folder that `nirgen browse` has loaded for the first time.
        name: Of the FiftyOne dataset.
        database: The URI of the MongoDB, if FiftyOne's settings don't name it.

    Raises:
        NirgenError: The decisions can't be read, or the database fails.
    """
    if open_collection(folder.resolve()).kind != "dataset":
        return Imported(0, ())
    own = [each for each in own_decisions(read_dataset(folder)) if each.action in {"keep", "flag"}]
    return import_decisions(folder, own, name=name, database=database) if own else Imported(0, ())


def _put(samples: Any, decisions: Sequence[Decision]) -> list[Decision]:
    """Change samples as decisions say; those decisions that find nothing to be about."""
    from pymongo import ReplaceOne

    keys = {key for decision in decisions for key in _images(decision)}
    wanted = {"key": {"$in": sorted(keys)}, f"{GROUP}.name": {"$in": list(MAIN_SLICES)}}
    before = {document["key"]: document for document in samples.find(wanted)}
    after = deepcopy(before)
    missing = []
    for decision in decisions:
        document = next((after[key] for key in _images(decision) if key in after), None)
        if document is None or not _apply(document, decision):
            missing.append(decision)
    now = datetime.now(UTC).replace(tzinfo=None)
    operations = [
        ReplaceOne({"_id": document["_id"]}, document | {"last_modified_at": now})
        for key, document in after.items()
        if document != before[key]
    ]
    if operations:
        samples.bulk_write(operations, ordered=False)
    return missing


def _images(decision: Decision) -> list[str]:
    """What may be the key of the image that a decision is about, the likeliest first."""
    own = [decision.key] if decision.action in IMAGE_ACTIONS.values() else []
    return own + image_keys(decision.key)


def _apply(document: Document, decision: Decision) -> bool:
    """Change a sample as one decision says; whether it has what the decision is about."""
    if decision.key == document["key"]:
        _tag(document, decision, IMAGE_ACTIONS)
        document["decision"] = decision.action
        _sign(document, decision)
        return True
    boxes = document.setdefault(BOXES, {"_cls": "Detections", "detections": []})["detections"]
    if decision.action == "add":
        _add(document, boxes, decision)
        return True
    box = next((one for one in boxes if one.get("key") == decision.key), None)
    if box is None:
        removed = decision.key in (decode_loaded(document[BOXES].get(LOADED)) or {})
        return removed and decision.action == "delete"
    if decision.action in BOX_ACTIONS.values():
        _tag(box, decision, BOX_ACTIONS)
    elif decision.action == "relabel":
        box["label"] = decision.category
    elif decision.action == "move":
        box["bounding_box"] = list(_shares(decision))
    _sign(box, decision)
    return True


def _add(document: Document, boxes: list[Document], decision: Decision) -> None:
    """Draw a box, unless the dataset or the curator has it."""
    place = _shares(decision)
    if any(one.get("key") == decision.key for one in boxes):
        return
    metadata, size = document.get("metadata") or {}, decision.size or (1, 1)
    width, height = metadata.get("width") or size[0], metadata.get("height") or size[1]
    if any(
        not one.get("key")
        and one.get("label") == decision.category
        and same_place(one["bounding_box"], place, (width, height))
        for one in boxes
    ):
        return
    drawn = {
        "_cls": "Detection",
        "_id": object_id("box", document[GROUP]["name"], decision.key),
        "attributes": {},
        "tags": [],
        "label": decision.category,
        "bounding_box": list(place),
    }
    boxes.append(drawn)
    _sign(drawn, decision)


def _shares(decision: Decision) -> tuple[float, float, float, float]:
    assert decision.bbox is not None
    assert decision.size is not None
    return to_shares(decision.bbox, *decision.size)


def _tag(one: Document, decision: Decision, actions: Mapping[str, str]) -> None:
    """Give a sample or a box the tag of a decision, in the place of other decisions' tags."""
    tag = TAG_OF[decision.action]
    others = [each for each in one.get("tags") or [] if each not in actions or each == tag]
    one["tags"] = others if tag in others else [*others, tag]


def _sign(one: Document, decision: Decision) -> None:
    for name, value in (("reason", decision.reason), ("author", decision.author)):
        if value:
            one[name] = value
