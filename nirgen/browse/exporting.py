"""What a curator decided in FiftyOne, by stable keys: what is tagged, and what differs from the dataset."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from nirgen.browse.boxes import Place, same_place, to_pixels, to_shares
from nirgen.browse.database import database_errors, open_fiftyone
from nirgen.browse.finding import find_loaded
from nirgen.browse.names import BOX_ACTIONS, BOXES, GROUP, IMAGE_ACTIONS, MAIN_SLICES, RGB
from nirgen.collection import open_collection
from nirgen.curation import Decision, Seen, added_key
from nirgen.errors import NirgenError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from nirgen.browse.documents import Document
    from nirgen.collection import Item, ItemBox
    from nirgen.curation import Action
    from nirgen.dataset.plan import Report

EXPORTING = "reading decisions"

_BATCH = 500  # images
_FIELDS = dict.fromkeys(("key", "tags", "decision", "reason", "author", f"{GROUP}.name", BOXES), 1)


def collect_decisions(
    folder: Path,
    *,
    name: str | None = None,
    database: str | None = None,
    author: str = "",
    report: Report | None = None,
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
        while batch := list(islice(items, _BATCH)):
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
        bbox: Place | None = None,
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

    def _bbox(self, one: Document, key: str) -> Place:
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
