"""Decisions of a curator: from FiftyOne to a file, and from a file into FiftyOne."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from nirgen.browse.database import database_errors, find_loaded, open_fiftyone
from nirgen.browse.documents import LOADED, object_id
from nirgen.browse.fields import (
    BOX_ACTIONS,
    BOXES,
    GROUP,
    IMAGE_ACTIONS,
    MAIN_SLICES,
    RGB,
    TAG_OF,
    Box,
    decode_loaded,
    same_place,
    to_pixels,
    to_shares,
)
from nirgen.collection import open_collection
from nirgen.curation import Decision, Seen, added_key, merge, read_decisions, unite, write_decisions
from nirgen.dataset.decisions import image_keys, own_decisions
from nirgen.dataset.folder import is_dataset, read_dataset
from nirgen.errors import NirgenError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from nirgen.browse.documents import Document
    from nirgen.collection import Item, ItemBox
    from nirgen.curation import Action
    from nirgen.progress import Progress


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes:
        decisions: All that the file has, sorted.
        new: How many of them neither the file nor the folder had.
        only_there: How many of them only the file has had: made elsewhere, or taken back in FiftyOne since.
    """

    decisions: tuple[Decision, ...]
    new: int
    only_there: int


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
    """Write the decisions that FiftyOne has about a folder, on top of those that it was built with.

    A file that is there is added to, unless it is to be replaced: its decisions stay, unless a newer one contradicts
    them. It is written whole or not at all.

    Args:
        folder: A dataset or a translation folder that `nirgen browse` has loaded.
        out: The file.
        name: Of the FiftyOne dataset; by default of the one that was loaded from the folder.
        database: The URI of the MongoDB, if FiftyOne's settings don't name it.
        author: Whose decisions those are that FiftyOne names no author of.
        replace: Whether decisions that only a file that is there has are left out.
        report: Told how many images are done.

    Raises:
        NirgenError: What is there isn't a file of decisions, or they can't be collected (`collect_decisions`).
        OutputError: The file can't be written.
    """
    own = own_decisions(read_dataset(folder)) if is_dataset(folder) else ()
    there = read_decisions(out).all if out.exists() and not replace else ()
    base = unite(own, there)
    new = collect_decisions(folder, name=name, database=database, author=author, report=report)
    decisions, without = merge(base, new), merge(own, new)
    write_decisions(out, decisions)
    return Written(decisions, len({*decisions} - {*base}), len({*decisions} - {*without}))


EXPORTING = "reading decisions"

_IMAGES_AT_ONCE = 500  # images
_FIELDS = dict.fromkeys(("key", "tags", "decision", "reason", "author", f"{GROUP}.name", BOXES), 1)


def collect_decisions(
    folder: Path,
    *,
    name: str | None = None,
    database: str | None = None,
    author: str = "",
    report: Progress | None = None,
) -> tuple[Decision, ...]:
    """Read the decisions that FiftyOne has about a folder.

    Args:
        folder: A dataset or a translation folder that `nirgen browse` has loaded.
        name: Of the FiftyOne dataset; by default of the one that was loaded from the folder.
        database: The URI of the MongoDB, if FiftyOne's settings don't name it.
        author: Whose decisions those are that FiftyOne names no author of.
        report: Told how many images are done.

    Returns:
        The decisions, sorted by key and action. What the folder was built with is in them only where it was decided
        again.

    Raises:
        NirgenError: FiftyOne doesn't have the folder as it is now, lacks images of it, or has a box of a class that it
            doesn't have; or the database fails.
    """
    collection = open_collection(folder.resolve())
    fiftyone = open_fiftyone(database)
    classes = [category.name for category in collection.categories]
    decisions: list[Decision] = []
    missing: list[str] = []
    with database_errors(name or collection.name):
        dataset = find_loaded(fiftyone, collection, name)
        items = collection.items()
        done = 0
        while batch := list(islice(items, _IMAGES_AT_ONCE)):
            mains, copies = _read(dataset, [item.key for item in batch])
            for item in batch:
                if item.key not in mains:
                    missing.append(item.key)
                    continue
                seen = _Image(item, mains[item.key], copies.get(item.key), author)
                decisions.extend(seen.decisions(classes))
            done += len(batch)
            if report is not None:
                report(EXPORTING, done, collection.count)
    if missing:
        raise NirgenError(
            f"{dataset.name}: FiftyOne lacks {len(missing)} of {collection.count} images, such as {missing[0]!r}; "
            f"bring them back with 'nirgen browse --no-launch {folder}', and tag those that are to go 'rejected'"
        )
    return tuple(sorted(decisions, key=lambda decision: decision.order))


def _read(dataset: Any, keys: Sequence[str]) -> tuple[dict[str, Document], dict[str, Document]]:
    """The samples of images, and those of their RGB images, by key."""
    mains: dict[str, Document] = {}
    copies: dict[str, Document] = {}
    for document in dataset._sample_collection.find({"key": {"$in": list(keys)}}, _FIELDS):
        slice_ = document[GROUP]["name"]
        if slice_ in MAIN_SLICES:
            mains[document["key"]] = document
        elif slice_ == RGB:
            copies[document["key"]] = document
    return mains, copies


@dataclass(frozen=True, slots=True)
class _Image:
    """An image of the dataset beside what FiftyOne has of it.

    Attributes:
        item: As the dataset has it.
        main: Its sample.
        copy: The sample of its RGB image.
        author: Of decisions that name none.
    """

    item: Item
    main: Document
    copy: Document | None
    author: str

    def decisions(self, classes: Sequence[str]) -> Iterator[Decision]:
        """All decisions about the image and its boxes.

        Raises:
            NirgenError: A box has a class that is none of the dataset's.
        """
        action = _decided(IMAGE_ACTIONS, self.main, self.copy, said=self.main.get("decision"))
        if action is not None:
            seen = Seen(sha256=self.item.input_sha256 or None)
            yield self._decision(self.item.key, action, [self.main, self.copy], seen=seen)
        boxes = _detections(self.main)
        known = {one["key"]: one for one in boxes if one.get("key")}
        copies = {one["key"]: one for one in _detections(self.copy) if one.get("key")}
        for box in self.item.boxes:
            yield from self._of_box(box, known.get(box.key), copies.get(box.key), classes)
        added: dict[str, Decision] = {}
        for one in boxes:
            if not one.get("key") and _decided(BOX_ACTIONS, one) != "delete":
                decision = self._add(one, classes)
                added.setdefault(decision.key, decision)
        yield from added.values()

    def _of_box(
        self, box: ItemBox, now: Document | None, copy: Document | None, classes: Sequence[str]
    ) -> Iterator[Decision]:
        by = [now, copy]
        action = _decided(BOX_ACTIONS, now, copy) if now is not None else "delete"
        seen = Seen(category=box.category, bbox=box.bbox)
        if action is not None:
            yield self._decision(box.key, action, by, seen=seen)
        if now is None or action == "delete":
            return
        if now["label"] != box.category:
            yield self._decision(box.key, "relabel", by, seen=seen, category=self._category(now, box.key, classes))
        if not same_place(
            now["bounding_box"],
            to_shares(box.bbox, self.item.width, self.item.height),
            (self.item.width, self.item.height),
        ):
            yield self._decision(box.key, "move", by, seen=seen, bbox=self._bbox(now, box.key))

    def _add(self, one: Document, classes: Sequence[str]) -> Decision:
        item = self.item
        category, bbox = self._category(one, item.key, classes), self._bbox(one, item.key)
        key = added_key(item.key, category, bbox, item.width, item.height)
        return self._decision(key, "add", [one], category=category, bbox=bbox)

    def _decision(
        self,
        key: str,
        action: Action,
        by: Sequence[Mapping[str, Any] | None],
        *,
        seen: Seen | None = None,
        category: str | None = None,
        bbox: Box | None = None,
    ) -> Decision:
        seen = seen or Seen()
        sized = bbox is not None or seen.bbox is not None
        return Decision(
            key=key,
            action=action,
            category=category,
            bbox=bbox,
            width=self.item.width if sized else None,
            height=self.item.height if sized else None,
            reason=_first("reason", by),
            author=_first("author", by) or self.author,
            seen=seen,
        ).rounded()

    def _category(self, one: Document, key: str, classes: Sequence[str]) -> str:
        label = one.get("label")
        if label not in classes:
            hint = nearest(str(label), classes)
            known = ", ".join(classes) or "it has none"
            raise NirgenError(
                f"{key}: a box has the class {label!r} in FiftyOne, and the dataset doesn't{hint} ({known})"
            )
        return str(label)

    def _bbox(self, one: Document, key: str) -> Box:
        bbox = to_pixels(one["bounding_box"], self.item.width, self.item.height)
        if min(bbox[2:]) < _LEAST:
            raise NirgenError(f"{key}: a box lies outside of its image or has no size; tag it 'rejected' or move it")
        return bbox


_LEAST = 0.001  # pixels, the last decimal that decisions have


def _detections(document: Document | None) -> list[Document]:
    return ((document or {}).get(BOXES) or {}).get("detections") or []


def _decided(actions: Mapping[str, Action], *by: Mapping[str, Any] | None, said: object = None) -> Action | None:
    """What tags decide; of several what was said last by an operator, or else the gravest."""
    tags = {tag for one in by if one for tag in one.get("tags") or ()}
    decided = [action for tag, action in actions.items() if tag in tags]
    return next((action for action in decided if action == said), decided[0] if decided else None)


def _first(name: str, by: Sequence[Mapping[str, Any] | None]) -> str:
    """The first of some texts that isn't empty."""
    return next((text for one in by if one and (text := str(one.get(name) or "").strip())), "")


IMPORTING = "writing decisions"

_DECISIONS_AT_ONCE = 500


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
    report: Progress | None = None,
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
        for start in range(0, len(ordered), _DECISIONS_AT_ONCE):
            batch = ordered[start : start + _DECISIONS_AT_ONCE]
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
