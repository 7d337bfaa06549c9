"""Decisions of a curator: from FiftyOne to a file, and from a file into FiftyOne."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from nirgen.browse.database import database_errors, find_loaded, is_loaded, open_fiftyone
from nirgen.browse.documents import LOADED, detections_of, object_id
from nirgen.browse.fields import (
    BOX_ACTIONS,
    BOXES,
    GROUP,
    IMAGE_ACTIONS,
    MAIN_SLICES,
    RGB,
    TAG_OF,
    decode_loaded,
    same_place,
    to_pixels,
    to_shares,
)
from nirgen.collection import open_collection
from nirgen.curation import Decision, Decisions, Seen, added_key, merge, read_decisions, unite, write_decisions
from nirgen.dataset.decisions import SMALLEST, Subject, SubjectBox, apply_decisions, assign, decide, possible_images
from nirgen.dataset.folder import CURATION, is_dataset, read_dataset
from nirgen.errors import NirgenError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from nirgen.browse.documents import Document
    from nirgen.curation import Action
    from nirgen.dataset.decisions import Change
    from nirgen.dataset.read import Image
    from nirgen.progress import Progress


@dataclass(frozen=True, slots=True)
class Written:
    """Result of an export."""

    decisions: tuple[Decision, ...]  # all in the file, sorted
    new: int  # that neither the file nor the folder had
    only_there: int  # that only the file had: made elsewhere, or taken back in FiftyOne since


def export_decisions(
    folder: Path,
    out: Path,
    *,
    name: str | None = None,
    database: str | None = None,
    author: str = "",
    replace: bool = False,
    report: Progress | None = None,
) -> Written:
    """Write FiftyOne's decisions about a folder on top of those that it was built with.

    Decisions of an existing file stay, unless a newer one contradicts them.

    Args:
        folder: A dataset or a translation folder that `nirgen browse` has loaded.
        out: The file.
        name: Name in FiftyOne; by default that of the dataset loaded from the folder.
        database: URI of the MongoDB; by default that of FiftyOne's settings.
        author: Author of decisions that name none.
        replace: Leave out decisions that only an existing file has.
        report: Progress callback.
    """
    own = _own_decisions(folder)
    there = read_decisions(out).all if out.exists() and not replace else ()
    base = unite(own, there)
    new = collect_decisions(folder, name=name, database=database, author=author, report=report)
    decisions, without = merge(base, new), merge(own, new)
    write_decisions(out, decisions)
    return Written(decisions, len({*decisions} - {*base}), len({*decisions} - {*without}))


def current_decisions(
    folder: Path,
    *,
    name: str | None = None,
    database: str | None = None,
    author: str = "",
    report: Progress | None = None,
) -> Decisions | None:
    """Return the decisions about a dataset, FiftyOne's on top of those that it was built with, as its own file.

    The arguments are those of `export_decisions`. None if FiftyOne has no dataset of the folder; errors as
    `collect_decisions`.
    """
    if name is None and not is_loaded(open_fiftyone(database), open_collection(folder.resolve())):
        return None
    new = collect_decisions(folder, name=name, database=database, author=author, report=report)
    return Decisions(folder / CURATION, merge(_own_decisions(folder), new))


def _own_decisions(folder: Path) -> tuple[Decision, ...]:
    """Return the decisions that a dataset was built with; none of a translation folder."""
    curated = is_dataset(folder) and read_dataset(folder).curation is not None
    return read_decisions(folder / CURATION).all if curated else ()


_BATCH = 500  # images read, or decisions written
_FIELDS = dict.fromkeys(("key", "tags", "decision", "reason", "author", f"{GROUP}.name", BOXES), 1)


def collect_decisions(
    folder: Path,
    *,
    name: str | None = None,
    database: str | None = None,
    author: str = "",
    report: Progress | None = None,
) -> tuple[Decision, ...]:
    """Return FiftyOne's decisions about a folder, sorted, without those that it was built with.

    The arguments are those of `export_decisions`.

    Raises:
        NirgenError: FiftyOne has another state of the folder, lacks images of it, or has a box of an unknown class; or
            the database fails.
    """
    collection = open_collection(folder.resolve())
    fiftyone = open_fiftyone(database)
    classes = [category.name for category in collection.categories]
    decisions: list[Decision] = []
    missing: list[str] = []
    with database_errors(name or collection.name):
        dataset = find_loaded(fiftyone, collection, name)
        items, done = collection.items(), 0
        while batch := list(islice(items, _BATCH)):
            wanted = {"key": {"$in": [image.key for image in batch]}}
            found = list(dataset._sample_collection.find(wanted, _FIELDS))
            mains = {each["key"]: each for each in found if each[GROUP]["name"] in MAIN_SLICES}
            copies = {each["key"]: each for each in found if each[GROUP]["name"] == RGB}
            for image in batch:
                if image.key in mains:
                    decisions += _decisions(image, mains[image.key], copies.get(image.key), author, classes)
                else:
                    missing.append(image.key)
            done += len(batch)
            if report is not None:
                report("reading decisions", done, collection.count)
    if missing:
        raise NirgenError(
            f"{dataset.name}: FiftyOne lacks {len(missing)} of {collection.count} images, such as {missing[0]!r}; "
            f"restore them with 'nirgen browse --no-launch {folder}', and tag those to remove 'rejected'"
        )
    return tuple(sorted(decisions, key=lambda decision: decision.order))


def _decisions(
    image: Image, main: Document, copy: Document | None, author: str, classes: Sequence[str]
) -> Iterator[Decision]:
    """Yield the decisions about an image and its boxes, from its sample and that of its RGB image."""

    def signed(decision: Decision, *by: Document | None) -> Decision:
        def first(name: str) -> str:
            return next((text for one in by if one and (text := str(one.get(name) or "").strip())), "")

        return replace(decision, reason=first("reason"), author=first("author") or author).rounded()

    action = _decided(IMAGE_ACTIONS, main, copy, said=main.get("decision"))
    if action is not None:
        yield signed(Decision(image.key, action, seen=Seen(sha256=image.input_sha256 or None)), main, copy)
    size = image.width, image.height
    boxes = {box.key: SubjectBox(box.category, box.bbox) for box in image.boxes}
    copies = {one["key"]: one for one in detections_of(copy) if one.get("key")}
    now: dict[str, SubjectBox] = {}
    by: dict[str, tuple[Document | None, ...]] = {key: (copies.get(key),) for key in boxes}
    for one in detections_of(main):
        key = str(one.get("key") or "")
        if key and key not in boxes:
            continue
        action = _decided(BOX_ACTIONS, one, copies.get(key))
        if key:
            by[key] = (one, copies.get(key))
        if action == "delete":
            continue
        box = _edited_box(image, one, boxes.get(key), classes)
        if not key:
            key = added_key(image.key, box.category, box.bbox, *size)
            by.setdefault(key, (one,))
        elif action is not None:
            seen = Seen(category=boxes[key].category, bbox=boxes[key].bbox)
            yield signed(Decision(key, action, None, None, *size, seen=seen), *by[key])
        now.setdefault(key, box)
    start = len(image.key) + 1
    before, after = (Subject("", size, {key[start:]: box for key, box in each.items()}) for each in (boxes, now))
    for decision in decide(image.key, before, after):
        yield signed(decision, *by[decision.key])


def _edited_box(image: Image, one: Document, was: SubjectBox | None, classes: Sequence[str]) -> SubjectBox:
    """Return a box of FiftyOne in pixels; a place within `same_place` of the dataset's box is that box's."""
    key, label, size = one.get("key") or image.key, one.get("label"), (image.width, image.height)
    if label not in classes and not (was and label == was.category):
        known = ", ".join(classes) or "it has none"
        raise NirgenError(
            f"{key}: a box has the class {label!r} in FiftyOne, which the dataset lacks{nearest(str(label), classes)} "
            f"(its classes: {known})"
        )
    if was and same_place(one["bounding_box"], to_shares(was.bbox, *size), size):
        return SubjectBox(str(label), was.bbox)
    bbox = to_pixels(one["bounding_box"], *size)
    if min(bbox[2:]) < SMALLEST:
        raise NirgenError(f"{key}: a box lies outside of its image or has no size; tag it 'rejected' or move it")
    return SubjectBox(str(label), bbox)


def _decided(actions: Mapping[str, Action], *by: Document | None, said: object = None) -> Action | None:
    """Return the action of tags; of several, the last one of an operator, or else the first of `actions`."""
    tags = {tag for one in by if one for tag in one.get("tags") or ()}
    decided = [action for tag, action in actions.items() if tag in tags]
    return next((action for action in decided if action == said), decided[0] if decided else None)


@dataclass(frozen=True, slots=True)
class Imported:
    """Result of an import."""

    applied: int  # decisions that FiftyOne has now
    gone: tuple[str, ...]  # keys of decisions without a target, sorted


def import_decisions(
    folder: Path,
    decisions: Iterable[Decision],
    *,
    name: str | None = None,
    database: str | None = None,
    report: Progress | None = None,
) -> Imported:
    """Put decisions into FiftyOne, replacing those about the same images and boxes; repeating it changes nothing.

    The other arguments are those of `export_decisions`.
    """
    from pymongo import ReplaceOne

    collection = open_collection(folder.resolve())
    fiftyone = open_fiftyone(database)
    # decisions that the dataset was built with have no target in it any more
    done = {each.order for each in _own_decisions(folder)}
    ordered = sorted(decisions, key=lambda each: each.order)
    gone: list[str] = []
    with database_errors(name or collection.name):
        samples = find_loaded(fiftyone, collection, name)._sample_collection
        for start in range(0, len(ordered), _BATCH):
            batch = ordered[start : start + _BATCH]
            keys = {key for decision in batch for key in possible_images(decision)}
            wanted = {"key": {"$in": sorted(keys)}, f"{GROUP}.name": {"$in": list(MAIN_SLICES)}}
            before = {document["key"]: document for document in samples.find(wanted)}
            after = deepcopy(before)
            by_image, unknown = assign(batch, after)
            missing = [decision.order for decision in unknown]
            for key, group in by_image.items():
                missing += _apply(after[key], group)
            gone += [key for key, action in missing if (key, action) not in done]
            changed = [document for key, document in after.items() if document != before[key]]
            now = datetime.now(UTC).replace(tzinfo=None)
            if changed:
                operations = [ReplaceOne({"_id": each["_id"]}, each | {"last_modified_at": now}) for each in changed]
                samples.bulk_write(operations, ordered=False)
            if report is not None:
                report("writing decisions", start + len(batch), len(ordered))
    return Imported(len(ordered) - len(gone), tuple(sorted(gone)))


def import_own(folder: Path, *, name: str, database: str | None = None) -> Imported:
    """Put those of a dataset's own decisions into FiftyOne that the dataset doesn't show: keep and flag."""
    own = [each for each in _own_decisions(folder) if each.action in {"keep", "flag"}]
    return import_decisions(folder, own, name=name, database=database) if own else Imported(0, ())


def _apply(document: Document, decisions: Sequence[Decision]) -> list[tuple[str, str]]:
    """Change a sample by decisions, those about boxes of a rejected image too; return those without a target."""
    key = document["key"]
    for decision in (each for each in decisions if each.key == key):
        _tag(document, decision, IMAGE_ACTIONS)
        document["decision"] = decision.action
        _sign(document, decision)
    of_boxes = [each for each in decisions if each.key != key]
    metadata = document.get("metadata") or {}
    stated = next((each.size for each in of_boxes if each.size), (1, 1))
    size = metadata.get("width") or stated[0], metadata.get("height") or stated[1]
    boxes = document.setdefault(BOXES, {"_cls": "Detections", "detections": []})["detections"]
    known = {one["key"]: one for one in boxes if one.get("key")}
    start = len(key) + 1
    subject_boxes = {
        name[start:]: SubjectBox(one["label"], to_pixels(one["bounding_box"], *size)) for name, one in known.items()
    }
    outcome = apply_decisions(key, Subject("", size, subject_boxes), of_boxes)
    for source_key, changes in outcome.changes.items():
        box = known.get(f"{key}#{source_key}") or _drawn(document, boxes, changes, size)
        for change in changes:
            decision = change.decision
            if decision.action in BOX_ACTIONS.values():
                _tag(box, decision, BOX_ACTIONS)
            elif decision.action == "relabel":
                box["label"] = decision.category
            elif decision.action == "move" and change.after is not None:
                box["bounding_box"] = list(to_shares(change.after.bbox, *size))
            if decision.action != "add":
                _sign(box, decision)
    removed = decode_loaded(document[BOXES].get(LOADED)) or {}
    there = {(name, "add") for name in known} | {(name, "delete") for name in removed}
    return [(each.key, each.action) for each in outcome.gone if (each.key, each.action) not in there]


def _drawn(document: Document, boxes: list[Document], changes: Sequence[Change], size: tuple[int, int]) -> Document:
    """Return an added box: the one that the curator has drawn at its place, or a new one."""
    added = changes[-1].after or changes[0].after
    assert added is not None
    place = to_shares(added.bbox, *size)
    for one in boxes:
        if not one.get("key") and one.get("label") == added.category and same_place(one["bounding_box"], place, size):
            return one
    drawn: Document = {
        "_cls": "Detection",
        "_id": object_id("box", document[GROUP]["name"], changes[0].decision.key),
        "attributes": {},
        "tags": [],
        "label": added.category,
        "bounding_box": list(place),
    }
    _sign(drawn, changes[0].decision)
    boxes.append(drawn)
    return drawn


def _tag(one: Document, decision: Decision, actions: Mapping[str, str]) -> None:
    """Tag a sample or a box, and remove the tags of other decisions."""
    tag = TAG_OF[decision.action]
    others = [each for each in one.get("tags") or [] if each not in actions or each == tag]
    one["tags"] = others if tag in others else [*others, tag]


def _sign(one: Document, decision: Decision) -> None:
    one |= {name: text for name in ("reason", "author") if (text := getattr(decision, name))}
