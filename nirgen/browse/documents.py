"""FiftyOne documents of samples: built from images, merged with a curator's edits.

`Dataset.add_samples` takes minutes for ten thousand images (docs/performance.md), so documents are written to MongoDB
directly, in FiftyOne's own layout from 1.0 on (seen in 1.22.1); `check` reads one back through the public API.

- Sample: `_id`, `_media_type`, `_rand` (shuffle order), `_dataset_id`, `created_at`, `last_modified_at`, and its fields
  by name; a field that is None is left out.
- Group element: `_cls`, `_id` of the group, `name` of the slice. Labels and metadata: `_cls` is the class name.

Ids are hashes of keys, so an image that is loaded again has the same id.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from operator import eq
from typing import TYPE_CHECKING, Any

from nirgen.browse.fields import (
    BOX_ACTIONS,
    BOXES,
    DECIDED,
    GROUP,
    ISSUE,
    NIR,
    OF_BOXES,
    PHOTO,
    REAL_NIR,
    RGB,
    WORST_BOX,
    LoadedBox,
    decode_loaded,
    encode_loaded,
    issue_text,
    same_place,
    to_shares,
)
from nirgen.errors import NirgenError, one_line
from nirgen.scores import TAGS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from bson import ObjectId

    from nirgen.browse.schema import Layout
    from nirgen.dataset.read import Box, Image
    from nirgen.scores import BoxScores, ItemScores

LOADED = "loaded"  # undeclared attribute of `boxes`, hidden from the App: the boxes as they were loaded

Document = dict[str, Any]


def main_slice(item: Image) -> str:
    """Return the slice of an image of the dataset."""
    return NIR if item.generated else REAL_NIR


def object_id(*parts: str) -> ObjectId:
    """Return the id that belongs to a key."""
    from bson import ObjectId

    return ObjectId(hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).digest()[:12])


def documents(item: Image, scores: ItemScores | None, layout: Layout, dataset_id: ObjectId) -> Iterator[Document]:
    """Build the samples of an image: its own, and that of its RGB image unless another group shows it."""
    now = datetime.now(UTC).replace(tzinfo=None)
    facts: Document = {
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
        GROUP: layout.joined.get(item.key, item.key),
    }
    facts |= {layout.attributes[name]: value for name, value in item.attributes.items()}
    objects = [box.category for box in item.boxes if not box.ignored]
    facts |= {"objects": len(objects)} | {name: objects.count(category) for category, name in layout.counts.items()}
    own: Document = {"metadata": {"_cls": "ImageMetadata", "width": item.width, "height": item.height}}
    if scores is not None:
        troubles = [box.trouble for box in scores.boxes if box.trouble is not None]
        own |= {**scores.image, WORST_BOX: max(troubles, default=None), "note": scores.note or None}
        trouble = scores.image.get("trouble")
        own[ISSUE] = None if trouble is None else issue_text(trouble)
    yield _sample(main_slice(item), item.path, item, scores, facts | own)
    if item.rgb is not None and item.key not in layout.covered:
        yield _sample(RGB, item.rgb, item, scores, facts | {"kind": PHOTO})


def _sample(slice_: str, path: Path, item: Image, scores: ItemScores | None, values: Document) -> Document:
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


def _detection(box: Box, scores: BoxScores | None, item: Image, slice_: str) -> Document:
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
        "iscrowd": box.ignored,
        "fidelity": scores.fidelity if scores is not None else None,
        "trouble": scores.trouble if scores is not None else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def check(dataset: Any, item: Image) -> None:
    """Read the sample of an image back through FiftyOne's public API; raise a NirgenError if it differs."""
    from fiftyone import __version__

    size = (item.width, item.height)
    try:
        number = str(object_id("sample", main_slice(item), item.key))
        sample = dataset.select_group_slices(main_slice(item))[number]
        boxes = {box.key: box for box in sample[BOXES].detections}
        understood = (
            sample["key"] == item.key
            and sample.media_type == "image"
            and sample[GROUP].name == main_slice(item)
            and boxes.keys() == {box.key for box in item.boxes}
            and all(boxes[box.key].label == box.category for box in item.boxes)
            and all(same_place(boxes[box.key].bounding_box, to_shares(box.bbox, *size), size) for box in item.boxes)
        )
        problem = "" if understood else "it reads other values than were written"
    except (KeyError, AttributeError, ValueError, TypeError) as error:
        problem = one_line(error, 200)
    if problem:
        raise NirgenError(
            f"FiftyOne {__version__} has a sample format that this nirgen doesn't support ({problem}); "
            "pip install fiftyone==1.22.1, or a newer nirgen"
        )


_OWN_OF_BOXES = frozenset({"_cls", "_id", "attributes", "tags", "label", "bounding_box", *OF_BOXES})


@dataclass(slots=True)
class Edits:
    """Edits of boxes by a curator, counted while samples are loaded again."""

    kept: int = 0
    lost: list[str] = field(default_factory=list)  # keys of boxes that the dataset has changed as well


def merged(old: Document, new: Document, item: Image, ours: Collection[str], edits: Edits) -> Document:
    """Merge a sample of the dataset, `new`, with the curator's tags, decisions, edits and own fields in `old`.

    `item` is its image, `ours` are the names of the fields that are loaded, and `edits` is updated. If nothing changes,
    `old` itself is returned.
    """
    result = {name: value for name, value in old.items() if name not in ours or name in DECIDED} | new
    result["tags"] = old.get("tags") or []
    result["created_at"] = old.get("created_at", new["created_at"])
    result[BOXES] = _merged_boxes(old.get(BOXES) or {}, new[BOXES], (item.width, item.height), edits)
    names = (old.keys() | result.keys()) - {"last_modified_at"}
    return old if all(old.get(name) == result.get(name) for name in names) else result


def _merged_boxes(old: Document, new: Document, size: tuple[int, int], edits: Edits) -> Document:
    editable = LOADED in new  # on the RGB image only tags are the curator's
    before = {one["key"]: one for one in old.get("detections", ()) if one.get("key")}
    drawn = [one for one in old.get("detections", ()) if not one.get("key")]
    now = {one["key"]: LoadedBox(one["label"], tuple(one["bounding_box"])) for one in new["detections"]}
    loaded = decode_loaded(old.get(LOADED)) or now
    detections = []
    for one in new["detections"]:
        key, was = one["key"], loaded.get(one["key"])
        if key in before:
            detections.append(_merged_box(before[key], one, was if editable else None, size, edits))
        elif not (editable and old and was is not None):
            detections.append(_arrived(one, drawn, size))
        elif was.label == one["label"] and same_place(was.place, one["bounding_box"], size):
            edits.kept += 1  # removed by the curator
        else:
            edits.lost.append(key)
            detections.append(one)
    edits.kept += len(drawn)
    others = {name: value for name, value in old.items() if name not in new}
    return {**others, **new, "detections": [*detections, *drawn]}


def _merged_box(old: Document, new: Document, was: LoadedBox | None, size: tuple[int, int], edits: Edits) -> Document:
    """Merge a box that is in both; with `was` None the dataset's class and place always win."""
    result = {name: value for name, value in old.items() if name not in _OWN_OF_BOXES} | new
    if all(old.get(name) == new.get(name) for name in ("fidelity", "trouble")):
        result["tags"] = list(old.get("tags") or [])  # a suggestion that was removed stays removed
    else:
        result["tags"] = [*(tag for tag in old.get("tags") or [] if tag not in TAGS), *new["tags"]]
    if was is None:
        return result
    compared: dict[str, tuple[Any, Callable[[Any, Any], bool]]] = {
        "label": (was.label, eq),
        "bounding_box": (was.place, partial(same_place, size=size)),
    }
    for name, (loaded, same) in compared.items():
        if same(old[name], loaded) or same(old[name], new[name]):
            continue
        if same(new[name], loaded):
            edits.kept += 1
            result[name] = old[name]
        else:
            edits.lost.append(new["key"])
    return result


def _arrived(new: Document, drawn: list[Document], size: tuple[int, int]) -> Document:
    """Return a new box of the dataset, which replaces the same box if the curator has drawn it."""
    for one in drawn:
        if one.get("label") == new["label"] and same_place(one["bounding_box"], new["bounding_box"], size):
            drawn.remove(one)
            return {**new, "tags": [*(one.get("tags") or []), *new["tags"]]}
    return new


def detections_of(document: Document | None) -> list[Document]:
    """Return the boxes of a sample."""
    return ((document or {}).get(BOXES) or {}).get("detections") or []


def has_decisions(document: Document) -> bool:
    """Return True if a sample or one of its boxes has a tag that is a decision."""
    return any(BOX_ACTIONS.keys() & (one.get("tags") or ()) for one in (document, *detections_of(document)))
