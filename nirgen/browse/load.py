"""Load a dataset or a translation folder into FiftyOne, for the first time or again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen.browse.database import Origin, Target, database_errors, gone, open_fiftyone, target_for
from nirgen.browse.decisions import import_own
from nirgen.browse.documents import Edits, check, documents, has_decisions, merged
from nirgen.browse.fields import GROUP, RGB
from nirgen.browse.mongod import in_turn
from nirgen.browse.schema import LOADED_FIELDS, Layout, declare, index, plan_layout
from nirgen.browse.server import record
from nirgen.browse.views import arrange
from nirgen.collection import open_collection
from nirgen.dataset.folder import SCORES
from nirgen.errors import NirgenError, one_line
from nirgen.files import sha256_of
from nirgen.scores import score

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bson import ObjectId

    from nirgen.browse.embeddings import Embeddings, Findings
    from nirgen.collection import Collection
    from nirgen.progress import Progress
    from nirgen.scores import Scores

_BATCH = 250  # images; some thousand boxes
_OURS = frozenset(
    {"_id", "_rand", "_dataset_id", "_media_type", "filepath", "metadata", "last_modified_at", *LOADED_FIELDS}
)


@dataclass(slots=True)
class Loaded:
    """Result of a load."""

    name: str  # of the FiftyOne dataset
    images: int = 0
    samples: int = 0  # RGB images included
    changed: Counter[str] = field(default_factory=Counter)  # samples: added, updated, removed
    edits: Edits = field(default_factory=Edits)
    decided: int = 0  # removed samples that had decisions
    own: int = 0  # decisions shown that the dataset was built with
    moved_from: str | None = None  # the folder's path at the last load, if it differs
    misnamed: int = 0  # images left out, as their names can't be used
    not_shown: int = 0  # images in a format that browsers don't show
    findings: Findings | None = None  # of embeddings
    outdated: bool = False  # embeddings are shown of an earlier state of the folder


def load_folder(
    folder: Path,
    *,
    name: str | None = None,
    sources: Mapping[str, Path] | None = None,
    scores: bool = True,
    embeddings: bool = False,
    database: str | None = None,
    track: bool = False,
    report: Progress | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> Loaded:
    """Load a folder into FiftyOne, or update what is there; an unchanged folder writes nothing.

    The first load adds the decisions that a dataset was built with. Later ones keep tags, decisions and own fields of
    the curator, and edits of boxes unless the folder has changed the same box. The next load completes one that was
    cut short.

    Args:
        folder: A dataset or a translation folder.
        name: Name of the FiftyOne dataset; by default the one that was loaded from the folder, else the folder's name.
        sources: Folders of RGB images that have moved, by origin.
        scores: Compute missing scores and load them.
        embeddings: Compute missing features of images and show them.
        database: As `open_fiftyone` takes it, like `track`.
        track: Let FiftyOne send usage statistics to its makers.
        report: Progress callback.
        say: Called with a line if another process is waited for.
    """
    collection = open_collection(folder.resolve(), sources)
    fiftyone = open_fiftyone(database, track=track, say=say)
    from fiftyone.core.odm import get_db_conn

    with in_turn(Path(fiftyone.config.database_dir).absolute(), "load", say):
        target, layout = target_for(fiftyone, collection, name), plan_layout(collection)
        scored = score(collection, report) if scores else None
        features = None
        if embeddings:
            from nirgen.browse.embeddings import embed  # it needs torch

            features = embed(collection, layout, report)
        done = _load(fiftyone, target, collection, layout, scores=scored, embeddings=features, report=report)
        with database_errors(done.name):
            record(get_db_conn(), fiftyone.load_dataset(done.name))
        if target.origin is None:
            done.own = import_own(folder, name=done.name, database=database).applied
    collection.check()
    return done


def _load(
    fiftyone: Any,
    target: Target,
    collection: Collection,
    layout: Layout,
    *,
    scores: Scores | None,
    embeddings: Embeddings | None,
    report: Progress | None,
) -> Loaded:
    old, path = target.origin or Origin("", "", ""), collection.folder / SCORES
    digest = sha256_of(path) if path.is_file() else "not kept"
    origin = Origin(
        folder=str(collection.folder.resolve()),
        kind=collection.kind,
        digest=collection.digest,
        state=layout.state,
        scores=digest if scores is not None else "",
        fields=tuple(sorted({*layout.attributes.values(), *layout.counts.values(), *old.fields})),
        embeddings=old.embeddings if embeddings is None else embeddings.state,
    )
    done = Loaded(
        target.name,
        collection.count,
        layout.samples,
        moved_from=target.moved_from,
        misnamed=collection.misnamed,
        not_shown=layout.not_shown,
        outdated=bool(origin.embeddings) and not origin.embeddings.startswith(layout.state),
    )
    with database_errors(target.name):
        if target.origin:
            dataset = fiftyone.load_dataset(target.name)
        else:
            dataset = _create(fiftyone, target.name, replace(origin, embeddings=""))
        dataset.persistent = True
        scored = not origin.scores or (old.scores == origin.scores and origin.scores != "not kept")
        ours_there = dataset._sample_collection.count_documents({"key": {"$type": "string"}})
        same = old.state == origin.state and old.embeddings == origin.embeddings
        if not (old.complete and same and scored and ours_there == layout.samples):
            replace(origin, embeddings=old.embeddings).write(dataset)
            declare(dataset, layout, [category.name for category in collection.categories])
            ours = _OURS.union(origin.fields)
            kept = _write(dataset, collection, scores, layout, ours=ours, done=done, report=report)
            _remove_others(dataset, kept, done)
            index(dataset)
            if embeddings is not None:
                embeddings.show(dataset)
            views = arrange(dataset, collection, layout, before=old.views)
            replace(origin, complete=True, views=views).write(dataset)
        if embeddings is not None:
            done.findings = embeddings.findings(dataset)
    return done


def _create(fiftyone: Any, name: str, origin: Origin) -> Any:
    """Create a dataset, and name it once it is marked as made here: a load that is killed leaves none of no origin."""
    dataset = fiftyone.Dataset()
    origin.write(dataset)
    try:
        dataset.name = name
    except ValueError as error:
        dataset.delete()
        raise NirgenError(
            f"FiftyOne can't have a dataset '{name}' ({one_line(error)}); give another name with --name"
        ) from None
    return dataset


def _write(
    dataset: Any,
    collection: Collection,
    scores: Scores | None,
    layout: Layout,
    *,
    ours: frozenset[str],
    done: Loaded,
    report: Progress | None,
) -> set[ObjectId]:
    """Write all samples in batches and return their ids."""
    from fiftyone.core.odm import get_db_conn
    from pymongo import InsertOne, ReplaceOne

    samples, dataset_id = dataset._sample_collection, dataset._doc.id
    written: set[ObjectId] = set()
    items, images = collection.items(), 0
    while batch := list(islice(items, _BATCH)):
        new = {
            document["_id"]: (document, item)
            for item in batch
            for document in documents(item, scores.of(item) if scores else None, layout, dataset_id)
        }
        old = {document["_id"]: document for document in samples.find({"_id": {"$in": list(new)}})}
        results = {number: merged(old[number], *new[number], ours, done.edits) for number in new if number in old}
        changed = [result for number, result in results.items() if result is not old[number]]
        operations: list[Any] = [InsertOne(document) for number, (document, _) in new.items() if number not in old]
        operations += [ReplaceOne({"_id": result["_id"]}, result) for result in changed]
        if operations:
            samples.bulk_write(operations, ordered=False)
        done.changed.update(added=len(new) - len(old), updated=len(changed))
        if get_db_conn().datasets.find_one({"_id": dataset_id}, {"_id": 1}) is None:
            samples.drop()  # writing has made the collection again, without a dataset
            raise gone(done.name)
        if not written and not changed:
            check(dataset, batch[0])
        written.update(new)
        images += len(batch)
        if report is not None:
            report("loading", images, collection.count)
    return written


def _remove_others(dataset: Any, kept: set[ObjectId], done: Loaded) -> None:
    """Remove samples of images that the folder no longer has."""
    samples = dataset._sample_collection
    found = samples.find({"key": {"$type": "string"}}, {"_id": 1})
    others = [document["_id"] for document in found if document["_id"] not in kept]
    for start in range(0, len(others), _BATCH):
        batch = others[start : start + _BATCH]
        mains = samples.find({"_id": {"$in": batch}, f"{GROUP}.name": {"$ne": RGB}})
        done.decided += sum(map(has_decisions, mains))
        dataset.delete_samples([str(number) for number in batch])
    done.changed["removed"] += len(others)
