"""Load a dataset or a translation folder into FiftyOne, for the first time or again; set views, sidebar and colours."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from nirgen.browse.database import Origin, Place, database_errors, gone
from nirgen.browse.documents import Edits, check, documents, has_decisions, merged
from nirgen.browse.fields import (
    BOXES,
    DECIDED,
    GROUP,
    IDENTITY,
    IMAGE_ACTIONS,
    KEPT,
    NEEDS_FIX,
    NIR,
    REAL_NIR,
    REJECTED,
    RGB,
    WORST_BOX,
)
from nirgen.browse.schema import TAKEN, Survey, declare, index, survey
from nirgen.dataset.folder import SCORES
from nirgen.errors import NirgenError
from nirgen.scores import IMAGE_SCORES, TAGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bson import ObjectId

    from nirgen.browse.documents import Document
    from nirgen.collection import Collection, Item
    from nirgen.progress import Progress
    from nirgen.scores import Scores


LOADING = "loading"

_BATCH = 250  # images; some thousand boxes
_OURS = frozenset({"_id", "_rand", "_dataset_id", "_media_type", "filepath", "metadata", "last_modified_at", *TAKEN})


@dataclass(slots=True)
class Loaded:
    """What was done.

    Attributes:
        name: Of the FiftyOne dataset.
        images: How many images the folder has.
        samples: How many samples FiftyOne has of them, RGB images among them.
        changed: How many samples were added, updated and removed, by what was done.
        edits: The curator's edits of boxes.
        decided: How many of the removed samples a curator had decided something about.
        moved_from: Where the folder was when it was loaded last, if that was elsewhere.
        not_shown: How many images are of a format that no browser shows.
    """

    name: str
    images: int = 0
    samples: int = 0
    changed: Counter[str] = field(default_factory=Counter)
    edits: Edits = field(default_factory=Edits)
    decided: int = 0
    moved_from: str | None = None
    not_shown: int = 0


def load(
    fiftyone: Any, place: Place, collection: Collection, scores: Scores | None, report: Progress | None = None
) -> Loaded:
    """Make a FiftyOne dataset show a folder as it is now; nothing is written if it does.

    What a curator has done in FiftyOne stays: tags, decisions, fields of their own, and edits of boxes that the folder
    hasn't changed since they were loaded. A load that was cut short is completed by the next.

    Args:
        fiftyone: The module, connected.
        place: Where it goes.
        collection: The folder's.
        scores: Of its images and boxes; None for none.
        report: Told how many images are done.

    Raises:
        NirgenError: The database fails, or the FiftyOne dataset is deleted meanwhile; or FiftyOne has changed how it
            keeps samples.
    """
    whole = survey(collection)
    ours = (*whole.attributes.values(), *whole.counts.values())
    origin = Origin(
        folder=str(collection.folder.resolve()),
        kind=collection.kind,
        digest=collection.digest,
        state=whole.state,
        scores=_digest(collection) if scores is not None else "",
        fields=tuple(sorted({*ours, *(place.origin.fields if place.origin else ())})),
    )
    done = Loaded(place.name, collection.count, whole.samples, moved_from=place.moved_from, not_shown=whole.not_shown)
    with database_errors(place.name):
        if place.origin is not None and _is_there(fiftyone, place, origin, whole, scores is not None):
            return done
        dataset = fiftyone.load_dataset(place.name) if place.origin else _create(fiftyone, place.name)
        origin.write(dataset)
        declare(dataset, whole, [category.name for category in collection.categories])
        kept = _Writer(dataset, whole, origin, done).write(collection, scores, anew=place.origin is None, report=report)
        _remove_others(dataset, kept, done)
        index(dataset)
        views = arrange(dataset, collection, whole, before=place.origin.views if place.origin else ())
        replace(origin, complete=True, views=views).write(dataset)
    return done


def _digest(collection: Collection) -> str:
    """Of the file that keeps the scores."""
    try:
        with (collection.folder / SCORES).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "not kept"


def _is_there(fiftyone: Any, place: Place, origin: Origin, whole: Survey, scored: bool) -> bool:
    """Whether FiftyOne has it all already."""
    old = place.origin
    if old is None or not old.complete or old.state != origin.state:
        return False
    if scored and (old.scores != origin.scores or origin.scores == "not kept"):
        return False
    dataset = fiftyone.load_dataset(place.name)
    ours: int = dataset._sample_collection.count_documents({"key": {"$type": "string"}})
    return ours == whole.samples


def _create(fiftyone: Any, name: str) -> Any:
    try:
        return fiftyone.Dataset(name, persistent=True)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise NirgenError(f"FiftyOne can't have a dataset '{name}' ({reason}); give another name with --name") from None


class _Writer:
    """Writes samples, many at once."""

    def __init__(self, dataset: Any, whole: Survey, origin: Origin, done: Loaded) -> None:
        self._dataset = dataset
        self._samples = dataset._sample_collection
        self._id = dataset._doc.id
        self._survey = whole
        self._ours = _OURS | set(origin.fields)
        self._done = done

    def write(
        self, collection: Collection, scores: Scores | None, *, anew: bool, report: Progress | None
    ) -> set[ObjectId]:
        """Write all; their ids."""
        written: set[ObjectId] = set()
        images = 0
        for items in _batches(collection.items()):
            pairs = [
                (document, item)
                for item in items
                for document in documents(item, scores.of(item) if scores else None, self._survey, self._id)
            ]
            if anew:
                self._samples.insert_many([document for document, _ in pairs])
                self._done.changed["added"] += len(pairs)
            else:
                self._update(pairs)
            self._check(items[0] if not written else None)
            written.update(document["_id"] for document, _ in pairs)
            images += len(items)
            if report is not None:
                report(LOADING, images, collection.count)
        return written

    def _update(self, pairs: list[tuple[Document, Item]]) -> None:
        from pymongo import InsertOne, ReplaceOne

        ids = [document["_id"] for document, _ in pairs]
        before = {document["_id"]: document for document in self._samples.find({"_id": {"$in": ids}})}
        operations: list[InsertOne[Document] | ReplaceOne[Document]] = []
        for document, item in pairs:
            old = before.get(document["_id"])
            if old is None:
                operations.append(InsertOne(document))
                self._done.changed["added"] += 1
                continue
            result = merged(old, document, item, self._ours, self._done.edits)
            if result is not old:
                operations.append(ReplaceOne({"_id": old["_id"]}, result))
                self._done.changed["updated"] += 1
        if operations:
            self._samples.bulk_write(operations, ordered=False)

    def _check(self, first: Item | None) -> None:
        """See that the FiftyOne dataset is still there, and that FiftyOne reads what was written first."""
        from fiftyone.core.odm import get_db_conn

        if get_db_conn().datasets.find_one({"_id": self._id}, {"_id": 1}) is None:
            self._samples.drop()  # what was written after it was deleted has made it again, without a dataset
            raise gone(self._done.name)
        if first is not None and not self._done.changed["updated"]:
            check(self._dataset, first)


def _batches(items: Iterator[Item]) -> Iterator[list[Item]]:
    while batch := list(islice(items, _BATCH)):
        yield batch


def _remove_others(dataset: Any, kept: set[ObjectId], done: Loaded) -> None:
    """Remove samples that were loaded from the folder when it held more."""
    samples = dataset._sample_collection
    found = samples.find({"key": {"$type": "string"}}, {"_id": 1})
    others = [number for number in (document["_id"] for document in found) if number not in kept]
    for start in range(0, len(others), _BATCH):
        batch = others[start : start + _BATCH]
        done.decided += sum(
            has_decisions(document)
            for document in samples.find({"_id": {"$in": batch}})
            if document[GROUP]["name"] != RGB
        )
        dataset.delete_samples([str(number) for number in batch])
    done.changed["removed"] += len(others)


NIGHT = ("timeofday", "night")
"""The attribute that says when an image was taken, and its value at night."""

# Told apart by people who see colours otherwise as well (Okabe and Ito), the strongest first.
_POOL = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999")
_OF_TAGS = {
    REJECTED: "#d62728",
    NEEDS_FIX: "#ff7f0e",
    KEPT: "#2ca02c",
    "vanished": "#cc79a7",
    "smeared": "#f0e442",
    "low-contrast": "#56b4e9",
}


def arrange(dataset: Any, collection: Collection, survey: Survey, before: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Give a FiftyOne dataset its views, sidebar and colours.

    Args:
        dataset: The FiftyOne dataset, loaded.
        collection: What it shows.
        survey: Of the collection.
        before: The views that an earlier load has made: those that aren't made any more go.

    Returns:
        The names of the views.
    """
    views = {name: (view, about) for name, view, about in _views(dataset, collection, survey)}
    for name in before:
        if name not in views and dataset.has_saved_view(name):
            dataset.delete_saved_view(name)
    for name, (view, about) in views.items():
        with suppress(ValueError):  # of a class whose name makes no name of a view, or that of another
            dataset.save_view(name, view, description=about, overwrite=True)
    _set_sidebar(dataset, survey)
    _set_colours(dataset, [category.name for category in collection.categories])
    dataset.save()
    return tuple(name for name in views if dataset.has_saved_view(name))


def _views(dataset: Any, collection: Collection, survey: Survey) -> Iterator[tuple[str, Any, str]]:
    """Names, views and what they show; of the slice that the App shows, but for `real`."""
    from fiftyone import ViewField as F

    decided = F("tags").contains(list(IMAGE_ACTIONS))
    yield (
        "worst images",
        dataset.match(F("trouble") != None).sort_by("trouble", reverse=True),  # noqa: E711 - FiftyOne's own language
        "by trouble, the worst first",
    )
    if collection.categories:
        suspected = dataset.match(F(WORST_BOX) != None).filter_labels(BOXES, F("tags").contains(list(TAGS)))  # noqa: E711
        yield (
            "worst boxes",
            suspected.sort_by(WORST_BOX, reverse=True),
            "boxes with a suggestion, the image with the worst first",
        )
    yield "rejected", dataset.match_tags(REJECTED), "images tagged rejected"
    yield "needs fix", dataset.match_tags(NEEDS_FIX), "images tagged needs-fix"
    yield "undecided", dataset.match(~decided).sort_by("trouble", reverse=True), "without a decision, the worst first"
    if NIR in survey.slices:
        yield "generated", dataset.match(F("kind") == "generated"), "translated from RGB"
    if REAL_NIR in survey.slices:
        yield "real", dataset.select_group_slices(REAL_NIR), "real NIR, whichever slice is shown"
    attribute, night = NIGHT
    if attribute in survey.attributes:
        yield "night", dataset.match(F(survey.attributes[attribute]) == night), "taken at night"
    for category in collection.categories:
        boxes = dataset.filter_labels(BOXES, F("label") == category.name)
        yield f"class {category.name}", boxes, f"images with a {category.name}, and no other boxes"


def _set_sidebar(dataset: Any, survey: Survey) -> None:
    import fiftyone as fo

    groups = {
        "tags": ["tags", "_label_tags"],
        "boxes": [BOXES],
        "decision": list(DECIDED),
        "scores": [*IMAGE_SCORES, WORST_BOX, "note"],
        "what": [name for name in IDENTITY if name != "key"],
        "attributes": list(survey.attributes.values()),
        "counts": ["objects", *survey.counts.values()],
    }
    named = {path for paths in groups.values() for path in paths}
    others = [name for name in dataset.get_field_schema() if name not in named]
    documents = [
        fo.SidebarGroupDocument(name=name, paths=paths, expanded=name in {"tags", "boxes", "decision", "scores"})
        for name, paths in [*groups.items(), ("other", others)]
        if paths
    ]
    dataset.app_config.sidebar_groups = documents
    shown = [BOXES, "trouble", "decision", "kind"]
    dataset.app_config.active_fields = fo.ActiveFields(exclude=False, paths=shown)


def _set_colours(dataset: Any, classes: list[str]) -> None:
    import fiftyone as fo

    of_classes = [{"value": name, "color": _POOL[index]} for index, name in enumerate(classes) if index < len(_POOL)]
    tags = [{"value": name, "color": colour} for name, colour in _OF_TAGS.items()]
    dataset.app_config.color_scheme = fo.ColorScheme(
        color_by="value",
        color_pool=list(_POOL),
        fields=[{"path": BOXES, "colorByAttribute": "label", "valueColors": of_classes}],
        label_tags={"fieldColor": "#ffffff", "valueColors": tags},
    )
