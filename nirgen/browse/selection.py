"""Selected images and boxes in the App, and the tags and fields that record a decision about them.

`dataset` is always a FiftyOne dataset that `nirgen browse` has loaded.
"""

from __future__ import annotations

import getpass
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from nirgen.browse.fields import BOXES, DETECTIONS, GROUP, IMAGE_ACTIONS, REJECTED, RGB, TAG_OF
from nirgen.errors import NirgenError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_TAGS = list(IMAGE_ACTIONS)
_LABEL, _REASON, _AUTHOR = (f"{DETECTIONS}.{name}" for name in ("label", "reason", "author"))


@dataclass(frozen=True, slots=True)
class Images:
    """Images of the dataset."""

    samples: tuple[str, ...]  # sample ids
    copies: tuple[str, ...]  # sample ids of the RGB images of the same keys
    keys: tuple[str, ...]  # stable keys, parallel to `samples`


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes of images of the dataset."""

    labels: tuple[tuple[str, str], ...]  # (sample id, label id)
    copies: tuple[tuple[str, str], ...]  # the same for the boxes of the same keys on RGB images
    keys: tuple[str | None, ...]  # stable keys, parallel to `labels`; None for a box drawn in the App
    image_keys: tuple[str, ...]  # keys of their images, parallel to `labels`


def flat(dataset: Any) -> Any:
    """Return a view of all samples of all slices."""
    return dataset.select_group_slices(dataset.group_slices)


def find_images(dataset: Any, samples: Sequence[str]) -> Images:
    """Find the images of the dataset that samples of any slice, by their ids, show; missing ones are skipped."""
    everything = flat(dataset)
    pointed, groups = everything.select(list(samples)).values(["id", f"{GROUP}.id"])
    mates = _mates(everything, groups, ["id", f"{GROUP}.id", f"{GROUP}.name", "key"])
    key_of = {sample: (group, key) for sample, group, _, key in mates}
    wanted = {key_of[sample] for sample in pointed}
    found = sorted((key, sample, name) for sample, group, name, key in mates if (group, key) in wanted)
    own = [(key, sample) for key, sample, name in found if name != RGB]
    return Images(
        samples=tuple(sample for _, sample in own),
        copies=tuple(sorted(sample for _, sample, name in found if name == RGB)),
        keys=tuple(key for key, _ in own),
    )


def find_boxes(dataset: Any, labels: Iterable[Mapping[str, Any]]) -> Boxes:
    """Find the boxes of the dataset that labels of any slice show; missing ones are skipped.

    `labels` has the `sample_id` and `label_id` of each.
    """
    everything = flat(dataset)
    pointed: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        pointed[label["sample_id"]].add(label["label_id"])
    groups = everything.select(list(pointed)).values(f"{GROUP}.id")
    paths = ["id", f"{GROUP}.id", f"{GROUP}.name", "key", f"{DETECTIONS}.id", f"{DETECTIONS}.key"]
    rows = [
        (image_key, key, label, sample, name, (group, key or label))
        for sample, group, name, image_key, ids, keys in _mates(everything, groups, paths)
        for label, key in zip(ids or (), keys or (), strict=True)
    ]
    wanted = {identity for _, _, label, sample, _, identity in rows if label in pointed.get(sample, ())}
    found = [row for row in rows if row[-1] in wanted]
    own = sorted(
        (image_key, key or "", label, sample)
        for image_key, key, label, sample, name, _ in found
        if name != RGB or not key
    )
    return Boxes(
        labels=tuple((sample, label) for _, _, label, sample in own),
        copies=tuple(sorted((sample, label) for _, key, label, sample, name, _ in found if name == RGB and key)),
        keys=tuple(key or None for _, key, *_ in own),
        image_keys=tuple(image_key for image_key, *_ in own),
    )


def update_patches(view: Any, dataset: Any, boxes: Boxes) -> None:
    """Copy changed boxes into a view of patches, which holds copies of boxes."""
    places = (*boxes.labels, *boxes.copies)
    labels = [label for _, label in places]
    shown = view.select(labels)  # a patch has the id of its box
    changed = flat(dataset).select(sorted({sample for sample, _ in places})).select_labels(ids=labels, fields=BOXES)
    now = {box.id: box for sample in changed for box in sample[BOXES].detections}
    order = shown.values("id")
    for name in ("label", "tags", "reason", "author"):
        shown.set_values(f"{BOXES}.{name}", [getattr(now[patch], name, None) for patch in order])


def documents_beside(dataset: Any, samples: Iterable[str]) -> list[dict[str, Any]]:
    """Return all samples in the groups of some samples as the App holds them; those that are gone are skipped."""
    from fiftyone.core.json import stringify

    everything = flat(dataset)
    groups = everything.select(sorted(samples)).values(f"{GROUP}.id")
    return [stringify(each.to_mongo_dict(include_id=True)) for each in _of_groups(everything, groups)]


def default_author() -> str:
    """Return the name of the user: git's, else the system's, else an empty one."""
    try:
        done = subprocess.run(
            ["git", "config", "user.name"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
        if name := done.stdout.strip():
            return name
    except (OSError, subprocess.TimeoutExpired):  # no git
        pass
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        return ""


def _of_groups(view: Any, groups: Iterable[str]) -> Any:
    from bson import ObjectId
    from fiftyone import ViewField

    return view.match(ViewField(f"{GROUP}._id").is_in([ObjectId(group) for group in sorted(set(groups))]))


def _mates(everything: Any, groups: Iterable[str], paths: list[str]) -> list[tuple[Any, ...]]:
    """Return values of all samples in some groups."""
    return list(zip(*_of_groups(everything, groups).values(paths), strict=True))


Verdict = Literal["reject", "keep", "flag"]  # a rejected box is deleted


def decide(dataset: Any, targets: Images | Boxes, verdict: Verdict, *, reason: str = "", author: str = "") -> None:
    """Reject, keep or flag images or boxes."""
    _tag(dataset, targets, TAG_OF[verdict])
    _record(dataset, targets, verdict, reason, author)


def clear(dataset: Any, targets: Images | Boxes, categories: Mapping[str, str]) -> None:
    """Remove tags, reasons and authors, and give boxes their original classes; boxes that were moved or drawn stay.

    `categories` has the original classes of boxes, by key.
    """
    _tag(dataset, targets, None)
    _record(dataset, targets, None, None, None)
    if isinstance(targets, Boxes):
        classes_of = {
            place: categories[key]
            for place, key in zip(targets.labels, targets.keys, strict=True)
            if key is not None and key in categories
        }
        _set(flat(dataset), _LABEL, classes_of)


def change_class(dataset: Any, boxes: Boxes, category: str, *, reason: str = "", author: str = "") -> None:
    """Change the class of boxes and take back their rejection."""
    known = classes(dataset)
    if category not in known:
        hint = nearest(category, known)
        raise NirgenError(f"{dataset.name} has no class {category!r}{hint}; its classes are {', '.join(known)}")
    everything = flat(dataset)
    places = (*boxes.labels, *boxes.copies)
    _set(everything, _LABEL, dict.fromkeys(places, category))
    _untag_boxes(everything, places, [REJECTED])
    _record(dataset, boxes, None, reason, author)


def classes(dataset: Any) -> tuple[str, ...]:
    """Return the classes of the dataset in its order."""
    return tuple(dataset.default_classes) or tuple(sorted(dataset.distinct(_LABEL)))


def next_undecided(dataset: Any, view: Any, after: str | None = None) -> tuple[str, str] | None:
    """Find the image with the highest issue score that has no decision.

    Args:
        dataset: The FiftyOne dataset; images are taken from its active slice, or from the slice that goes with RGB.
        view: The view to stay in.
        after: Sample id; images with a lower score than this one come first, then the others.

    Returns:
        (sample id, group id); None if all other images have decisions.
    """
    shown = _shown_slices(dataset, view)
    paths = ["trouble", "key", "id", f"{GROUP}.id", f"{GROUP}.name", "tags"]
    rows = _mates(flat(dataset), view.values(f"{GROUP}.id"), paths)
    decided = {key for _, key, *_, tags in rows if not IMAGE_ACTIONS.keys().isdisjoint(tags or ())}
    ordered = sorted((-(trouble or 0.0), key, *ids) for trouble, key, *ids, name, _ in rows if name in shown)
    here = flat(dataset).select(after).values(f"{GROUP}.id") if after else []
    start = next((index for index, row in enumerate(ordered) if row[3] in here), len(ordered))
    for _, key, sample, group in ordered[start + 1 :] + ordered[:start]:
        if key not in decided:
            return sample, group
    return None


def _shown_slices(dataset: Any, view: Any) -> list[str]:
    """Return the slices of the dataset's own images that a view shows, or shows the RGB images of."""
    main = [name for name in dataset.group_slices if name != RGB]
    if view.media_type != "group":  # a view of some slices only
        return sorted(set(view.distinct(f"{GROUP}.name")) & set(main)) or main
    return [dataset.group_slice if dataset.group_slice in main else dataset.default_group_slice]


def _tag(dataset: Any, targets: Images | Boxes, tag: str | None) -> None:
    """Tag images or boxes, and remove the tags of other decisions from them and all from their copies."""
    everything = flat(dataset)
    others = [each for each in _TAGS if each != tag]
    if isinstance(targets, Images):
        if targets.copies:
            everything.select(list(targets.copies)).untag_samples(_TAGS)
        if targets.samples:
            view = everything.select(list(targets.samples))
            view.untag_samples(others)
            if tag:
                view.tag_samples(tag)
        return
    _untag_boxes(everything, targets.copies, _TAGS)
    _untag_boxes(everything, targets.labels, others)
    if tag and targets.labels:
        _select_boxes(everything, targets.labels).tag_labels(tag, BOXES)


def _record(
    dataset: Any, targets: Images | Boxes, verdict: Verdict | None, reason: str | None, author: str | None
) -> None:
    """Write decision, reason and author; of a box, its tag or its class is the decision."""
    everything = flat(dataset)
    if isinstance(targets, Boxes):
        for path, text in ((_REASON, reason), (_AUTHOR, author)):
            _set(everything, path, dict.fromkeys(targets.labels, text))
    elif targets.samples:
        for field, value in (("decision", verdict), ("reason", reason), ("author", author)):
            everything.set_values(field, dict.fromkeys(targets.samples, value), key_field="id")


def _set(everything: Any, path: str, values: Mapping[tuple[str, str], str | None]) -> None:
    """Set a field of boxes in one write."""
    rows = [{"sample_id": sample, "label_id": label, "value": value} for (sample, label), value in values.items()]
    if rows:
        everything.set_label_values(path, rows, dynamic=True)


def _select_boxes(everything: Any, places: Iterable[tuple[str, str]]) -> Any:
    samples, labels = zip(*places, strict=True)
    return everything.select(sorted(set(samples))).select_labels(ids=list(labels), fields=BOXES)


def _untag_boxes(everything: Any, places: Sequence[tuple[str, str]], tags: list[str]) -> None:
    if places:
        _select_boxes(everything, places).untag_labels(tags, BOXES)
