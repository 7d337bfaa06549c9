"""FiftyOne documents of samples: built from images, merged with a curator's edits.

FiftyOne's own way to add samples makes Python objects of each box, checks and converts them: minutes for ten thousand
images (docs/performance.md). Here its documents are made and written as they are. What they look like is FiftyOne's
affair: this is its layout from 1.0 on, seen in 1.22.1, and each load reads its first sample back through FiftyOne's
public API (`check`), so that another layout is an error and not a broken dataset. The schema is declared through the
public API (`nirgen.browse.schema`).

- A sample: `_id`, `_media_type`, `_rand` (by which FiftyOne shuffles), `_dataset_id`, `created_at`, `last_modified_at`,
  its fields by name; a field that is None is left out.
- A group's element: `_cls`, `_id` of the group, `name` of the slice. Labels and metadata: `_cls` is the class's name.

Ids are made of keys, so that an image that is loaded again has the id it had.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nirgen.browse.fields import (
    BOX_ACTIONS,
    BOXES,
    DECIDED,
    GROUP,
    NIR,
    OF_BOXES,
    REAL_NIR,
    RGB,
    WORST_BOX,
    LoadedBox,
    decode_loaded,
    encode_loaded,
    same_place,
    to_shares,
)
from nirgen.errors import NirgenError
from nirgen.scores import TAGS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from bson import ObjectId

    from nirgen.browse.schema import Survey
    from nirgen.collection import Item, ItemBox
    from nirgen.scores import BoxScores, ItemScores


LOADED = "loaded"
"""An attribute of `boxes` that isn't declared, so that the App doesn't show it: the boxes as they were loaded."""

Document = dict[str, Any]


def main_slice(item: Item) -> str:
    """The slice that an image of the dataset is in."""
    return NIR if item.generated else REAL_NIR


def object_id(*parts: str) -> ObjectId:
    """An id that stays the same from load to load."""
    from bson import ObjectId

    return ObjectId(hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).digest()[:12])


def documents(item: Item, scores: ItemScores | None, survey: Survey, dataset_id: ObjectId) -> Iterator[Document]:
    """The samples of an image.

    Args:
        item: The image.
        scores: Its scores, if there are any.
        survey: Of its collection.
        dataset_id: Of the FiftyOne dataset.

    Yields:
        That of the image itself; then that of its RGB image, if it is at hand and not shown with another.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    facts = {
        "tags": [],
        "_dataset_id": dataset_id,
        "_media_type": "image",
        "created_at": now,
        "last_modified_at": now,
        "key": item.key,
        "split": item.split,
        "origin": item.origin,
        "kind": "generated" if item.generated else "real",
        "model": item.model_id,
        "sequence": item.sequence,
    }
    facts |= {survey.attributes[name]: value for name, value in item.attributes.items()}
    facts |= _counts(item, survey)
    own: Document = {"metadata": {"_cls": "ImageMetadata", "width": item.width, "height": item.height}}
    if scores is not None:
        troubles = [box.trouble for box in scores.boxes if box.trouble is not None]
        own |= {**scores.image, WORST_BOX: max(troubles, default=None), "note": scores.note or None}
    yield _sample(main_slice(item), item.path, item, scores, {GROUP: survey.group_of(item), **facts, **own})
    if item.rgb is not None and survey.shows_rgb(item):
        yield _sample(RGB, item.rgb, item, scores, {GROUP: survey.group_of(item), **facts})


def _counts(item: Item, survey: Survey) -> Document:
    counts = dict.fromkeys(survey.counts.values(), 0)
    objects = [box for box in item.boxes if not box.iscrowd]
    for box in objects:
        if box.category in survey.counts:
            counts[survey.counts[box.category]] += 1
    return {"objects": len(objects), **counts}


def _sample(slice_: str, path: Path, item: Item, scores: ItemScores | None, values: Document) -> Document:
    of_boxes = scores.boxes if scores is not None else (None,) * len(item.boxes)
    detections = [_detection(box, of_box, item, slice_) for box, of_box in zip(item.boxes, of_boxes, strict=True)]
    boxes: Document = {"_cls": "Detections", "detections": detections}
    if slice_ != RGB:
        boxes[LOADED] = encode_loaded(detections)
    number = object_id("sample", slice_, item.key)
    return {
        "_id": number,
        "filepath": str(path.absolute()),
        "_rand": int.from_bytes(number.binary[:6]) / 2**48,
        **{name: value for name, value in values.items() if value is not None},
        GROUP: {"_cls": "Group", "_id": object_id("group", values[GROUP]), "name": slice_},
        BOXES: boxes,
    }


def _detection(box: ItemBox, scores: BoxScores | None, item: Item, slice_: str) -> Document:
    values = {
        "_cls": "Detection",
        "_id": object_id("box", slice_, box.key),
        "attributes": {},
        "tags": list(scores.tags) if scores is not None else [],
        "label": box.category,
        "bounding_box": list(to_shares(box.bbox, item.width, item.height)),
        "key": box.key,
        "source_category": box.source_category or None,
        "flags": list(box.flags),
        "iscrowd": box.iscrowd,
        "fidelity": scores.fidelity if scores is not None else None,
        "trouble": scores.trouble if scores is not None else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def check(dataset: Any, item: Item) -> None:
    """See that FiftyOne understands the samples of an image, which were just written.

    Raises:
        NirgenError: It doesn't.
    """
    from fiftyone import __version__

    try:
        number = str(object_id("sample", main_slice(item), item.key))
        sample = dataset.select_group_slices(main_slice(item))[number]
        boxes = {box.key: box for box in sample[BOXES].detections}
        understood = (
            sample["key"] == item.key
            and sample.media_type == "image"
            and sample[GROUP].name == main_slice(item)
            and boxes.keys() == {box.key for box in item.boxes}
            and all(_is_same(boxes[box.key], box, item) for box in item.boxes)
        )
        problem = "" if understood else "it reads something else than was written"
    except (KeyError, AttributeError, ValueError, TypeError) as error:
        problem = " ".join(str(error).split())[:200] or type(error).__name__
    if problem:
        raise NirgenError(
            f"FiftyOne {__version__} keeps samples in a way that this nirgen doesn't know ({problem}); "
            "pip install fiftyone==1.22.1, or a newer nirgen"
        )


def _is_same(detection: Any, box: ItemBox, item: Item) -> bool:
    place = to_shares(box.bbox, item.width, item.height)
    return detection.label == box.category and same_place(detection.bounding_box, place, (item.width, item.height))


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
    fallback = {one["key"]: LoadedBox(one["label"], tuple(one["bounding_box"])) for one in new["detections"]}
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


def _merged_box(old: Document, new: Document, was: LoadedBox | None, item: Item, edits: Edits) -> Document:
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


def _unchanged(was: LoadedBox, new: Mapping[str, Any], item: Item) -> bool:
    return was.label == new["label"] and same_place(was.place, new["bounding_box"], (item.width, item.height))


def has_decisions(document: Document) -> bool:
    """Whether a curator has decided anything about a sample or a box of it by a tag."""
    boxes = (document.get(BOXES) or {}).get("detections", ())
    tags = {tag for one in (document, *boxes) for tag in one.get("tags") or ()}
    return not tags.isdisjoint(BOX_ACTIONS)
