"""A sample that is loaded again: what the dataset says now, with what the curator did meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nirgen.browse.boxes import Loaded, decode_loaded, same_place
from nirgen.browse.documents import LOADED, Document
from nirgen.browse.names import BOX_ACTIONS, BOXES, DECIDED, OF_BOXES
from nirgen.scores import TAGS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nirgen.collection import Item

_OWN_OF_BOXES = frozenset({"_cls", "_id", "attributes", "tags", "label", "bounding_box", *OF_BOXES})
_NOT_COMPARED = frozenset({"last_modified_at"})


@dataclass(slots=True)
class Edits:
    """The curator's edits of boxes that were met while samples were loaded again.

    Attributes:
        kept: Changes of boxes, and boxes added or removed, that stay.
        lost: Keys of boxes whose change gave way, for the dataset has changed the box as well.
    """

    kept: int = 0
    lost: list[str] = field(default_factory=list)


def merged(old: Document, new: Document, item: Item, ours: Collection[str], edits: Edits) -> Document:
    """A sample as the dataset has it now, with the curator's tags, decisions, edits and own fields.

    Args:
        old: The sample in FiftyOne.
        new: What it would be if it were loaded for the first time.
        item: What it shows.
        ours: The fields that are loaded; all others are the curator's.
        edits: Is added to.

    Returns:
        The new document; `old` itself if nothing is new in it.
    """
    result = {name: value for name, value in old.items() if name not in ours or name in DECIDED} | new
    result["tags"] = old.get("tags") or []
    result["created_at"] = old.get("created_at", new["created_at"])
    result[BOXES] = _merged_boxes(old.get(BOXES) or {}, new[BOXES], item, edits)
    names = (old.keys() | result.keys()) - _NOT_COMPARED
    return old if all(old.get(name) == result.get(name) for name in names) else result


def _merged_boxes(old: Document, new: Document, item: Item, edits: Edits) -> Document:
    rules = LOADED in new  # on the RGB image the dataset's boxes are shown again as they are
    before = {one["key"]: one for one in old.get("detections", ()) if one.get("key")}
    drawn = [one for one in old.get("detections", ()) if not one.get("key")]
    fallback = {one["key"]: Loaded(one["label"], tuple(one["bounding_box"])) for one in new["detections"]}
    loaded = decode_loaded(old.get(LOADED)) or fallback
    detections = []
    for one in new["detections"]:
        key, was = one["key"], loaded.get(one["key"])
        if key in before:
            detections.append(_merged_box(before[key], one, was if rules else None, item, edits))
        elif rules and was is not None and old:
            if _unchanged(was, one, item):
                edits.kept += 1  # the curator has removed it
            else:
                edits.lost.append(key)
                detections.append(one)
        else:
            detections.append(_arrived(one, drawn, item))
    edits.kept += len(drawn)
    others = {name: value for name, value in old.items() if name not in new}
    return {**others, **new, "detections": [*detections, *drawn]}


def _merged_box(old: Document, new: Document, was: Loaded | None, item: Item, edits: Edits) -> Document:
    """A box that is in both; `was` is None where the dataset's rules whatever the curator did."""
    result = {name: value for name, value in old.items() if name not in _OWN_OF_BOXES} | new
    result["tags"] = _tags(old, new)
    if was is None:
        return result
    relabelled, moved = (
        old["label"] != was.label,
        not same_place(old["bounding_box"], was.place, (item.width, item.height)),
    )
    for name, edited, unchanged, agreed in (
        ("label", relabelled, new["label"] == was.label, new["label"] == old["label"]),
        (
            "bounding_box",
            moved,
            same_place(new["bounding_box"], was.place, (item.width, item.height)),
            same_place(new["bounding_box"], old["bounding_box"], (item.width, item.height)),
        ),
    ):
        if not edited or agreed:
            continue
        if unchanged:
            edits.kept += 1
            result[name] = old[name]
        else:
            edits.lost.append(new["key"])
    return result


def _tags(old: Document, new: Document) -> list[str]:
    """The curator's tags, with the suggestions of now; a suggestion that was refused stays so while scores stay."""
    if all(old.get(name) == new.get(name) for name in ("fidelity", "trouble")):
        return list(old.get("tags") or [])
    return [*(tag for tag in old.get("tags") or [] if tag not in TAGS), *new["tags"]]


def _arrived(new: Document, drawn: list[Document], item: Item) -> Document:
    """A box that is new in the dataset; the one that the curator had drawn for it goes."""
    for one in drawn:
        if one.get("label") == new["label"] and same_place(
            one["bounding_box"], new["bounding_box"], (item.width, item.height)
        ):
            drawn.remove(one)
            return {**new, "tags": [*(one.get("tags") or []), *new["tags"]]}
    return new


def _unchanged(was: Loaded, new: Mapping[str, Any], item: Item) -> bool:
    return was.label == new["label"] and same_place(was.place, new["bounding_box"], (item.width, item.height))


def has_decisions(document: Document) -> bool:
    """Whether a curator has decided anything about a sample or a box of it by a tag."""
    boxes = (document.get(BOXES) or {}).get("detections", ())
    tags = {tag for one in (document, *boxes) for tag in one.get("tags") or ()}
    return not tags.isdisjoint(BOX_ACTIONS)
