"""Selected images and boxes in the App, and the tags and fields that record a decision about them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from nirgen.browse.fields import BOXES, DETECTIONS, GROUP, KEPT, NEEDS_FIX, REJECTED, RGB
from nirgen.errors import NirgenError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Images:
    """Images of the dataset.

    Attributes:
        samples: The ids of their samples.
        copies: The ids of the samples of RGB images of the same keys.
        keys: Their stable keys, as many as samples.
    """

    samples: tuple[str, ...]
    copies: tuple[str, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes of images of the dataset.

    Attributes:
        labels: Of each the ids of its sample and of itself.
        copies: The same of the boxes of the same keys on RGB images.
        keys: Their stable keys, as many as labels; None of a box that the curator drew.
        image_keys: Those of the images that they are on, as many.
    """

    labels: tuple[tuple[str, str], ...]
    copies: tuple[tuple[str, str], ...]
    keys: tuple[str | None, ...]
    image_keys: tuple[str, ...]


def flat(dataset: Any) -> Any:
    """All samples of a grouped dataset, of all its slices."""
    return dataset.select_group_slices(dataset.group_slices)


def find_images(dataset: Any, samples: Sequence[str]) -> Images:
    """The images of the dataset that samples show.

    Args:
        dataset: A FiftyOne dataset that `nirgen browse` has loaded.
        samples: Ids, of any slice; those that are gone are left out.
    """
    everything = flat(dataset)
    pointed, groups = everything.select(list(samples)).values(["id", f"{GROUP}.id"])
    mates = _mates(everything, groups, ["id", f"{GROUP}.id", f"{GROUP}.name", "key"])
    place = {sample: (group, key) for sample, group, _, key in mates}
    wanted = {place[sample] for sample in pointed}
    own = [(key, sample) for sample, group, name, key in mates if name != RGB and (group, key) in wanted]
    own.sort()
    copies = [sample for sample, group, name, key in mates if name == RGB and (group, key) in wanted]
    return Images(tuple(sample for _, sample in own), tuple(sorted(copies)), tuple(key for key, _ in own))


def find_boxes(dataset: Any, labels: Iterable[Mapping[str, Any]]) -> Boxes:
    """The boxes of the dataset that labels show.

    Args:
        dataset: A FiftyOne dataset that `nirgen browse` has loaded.
        labels: `sample_id` and `label_id` of each, of any slice; those that are gone are left out.
    """
    everything = flat(dataset)
    pointed: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        pointed[label["sample_id"]].add(label["label_id"])
    groups = everything.select(list(pointed)).values(f"{GROUP}.id")
    paths = [f"{DETECTIONS}.id", f"{DETECTIONS}.key"]
    mates = _mates(everything, groups, ["id", f"{GROUP}.id", f"{GROUP}.name", "key", *paths])
    wanted: set[tuple[str, str | None, str]] = set()
    for sample, group, _, _, ids, keys in mates:
        for label, key in zip(ids or (), keys or (), strict=True):
            if label in pointed.get(sample, ()):
                wanted.add((group, key, "" if key else label))
    own: list[tuple[str, str, str, str | None]] = []
    copies: list[tuple[str, str]] = []
    for sample, group, name, image_key, ids, keys in mates:
        for label, key in zip(ids or (), keys or (), strict=True):
            if (group, key, "" if key else label) not in wanted:
                continue
            if name == RGB and key:
                copies.append((sample, label))
            else:
                own.append((image_key, sample, label, key))
    own.sort(key=lambda each: (each[0], each[3] or "", each[2]))
    return Boxes(
        labels=tuple((sample, label) for _, sample, label, _ in own),
        copies=tuple(sorted(copies)),
        keys=tuple(key for *_, key in own),
        image_keys=tuple(image_key for image_key, *_ in own),
    )


def update_patches(view: Any, dataset: Any, boxes: Boxes) -> None:
    """Give a view of patches, which has copies of boxes, those that it shows as they are now.

    Args:
        view: A FiftyOne view of patches of the boxes of the dataset.
        dataset: A FiftyOne dataset that `nirgen browse` has loaded.
        boxes: Those that have changed.
    """
    places = (*boxes.labels, *boxes.copies)
    labels = [label for _, label in places]
    shown = view.select(labels)  # a patch has the id of its box
    changed = flat(dataset).select(sorted({sample for sample, _ in places})).select_labels(ids=labels, fields=BOXES)
    now = {box.id: box for sample in changed for box in sample[BOXES].detections}
    order = shown.values("id")
    for name in ("label", "tags", "reason", "author"):
        shown.set_values(f"{BOXES}.{name}", [getattr(now[patch], name, None) for patch in order])


def documents_beside(dataset: Any, sample: str) -> list[dict[str, Any]]:
    """All samples of the group of a sample, as the App holds them; none if it is gone.

    Args:
        dataset: A FiftyOne dataset that `nirgen browse` has loaded.
        sample: Its id.
    """
    from fiftyone.core.json import stringify

    everything = flat(dataset)
    groups = everything.select(sample).values(f"{GROUP}.id")
    return [stringify(each.to_mongo_dict(include_id=True)) for each in of_groups(everything, groups)]


def of_groups(view: Any, groups: Iterable[str]) -> Any:
    """The samples of a view that are in some groups."""
    from bson import ObjectId
    from fiftyone import ViewField

    return view.match(ViewField(f"{GROUP}._id").is_in([ObjectId(group) for group in sorted(set(groups))]))


def _mates(everything: Any, groups: Iterable[str], paths: list[str]) -> list[tuple[Any, ...]]:
    """Values of all samples of some groups."""
    return list(zip(*of_groups(everything, groups).values(paths), strict=True))


Verdict = Literal["reject", "keep", "flag"]

TAGS: Mapping[Verdict, str] = {"reject": REJECTED, "keep": KEPT, "flag": NEEDS_FIX}
"""The tag of an image or a box by what was decided of it; a box that is rejected is deleted."""

REASONS = ("vanished object", "smeared", "wrong class", "box off", "unreal texture", "artefacts")
"""Common reasons; any other will do."""

_LABEL, _REASON, _AUTHOR = (f"{DETECTIONS}.{name}" for name in ("label", "reason", "author"))


def decide(dataset: Any, targets: Images | Boxes, verdict: Verdict, *, reason: str = "", author: str = "") -> None:
    """Reject, keep or flag images or boxes.

    Args:
        dataset: A FiftyOne dataset that `nirgen browse` has loaded.
        targets: What it is about.
        verdict: What was decided.
        reason: Why.
        author: Whose decision it is.
    """
    _mark(dataset, targets, TAGS[verdict])
    _say(dataset, targets, verdict, reason, author)


def clear(dataset: Any, targets: Images | Boxes, categories: Mapping[str, str]) -> None:
    """Take decisions back: tags, reasons and authors go, boxes get back the classes that they have in the dataset.

    Boxes that were moved or drawn stay as they are.

    Args:
        dataset: A FiftyOne dataset that `nirgen browse` has loaded.
        targets: What it is about.
        categories: The classes of boxes, by their keys; boxes that it lacks keep theirs.
    """
    _mark(dataset, targets, None)
    _say(dataset, targets, None, None, None)
    if isinstance(targets, Boxes):
        known = [(place, categories[key]) for place, key in _keyed(targets) if key in categories]
        _set(flat(dataset), _LABEL, [place for place, _ in known], [category for _, category in known])


def change_class(dataset: Any, boxes: Boxes, category: str, *, reason: str = "", author: str = "") -> None:
    """Give boxes another class; they are not rejected any more, if they were.

    Args:
        dataset: A FiftyOne dataset that `nirgen browse` has loaded.
        boxes: What it is about.
        category: The class, one of the dataset's.
        reason: Why.
        author: Whose decision it is.

    Raises:
        NirgenError: The dataset has no such class.
    """
    known = classes(dataset)
    if category not in known:
        hint = nearest(category, known)
        raise NirgenError(f"{dataset.name} has no class {category!r}{hint}; its classes are {', '.join(known)}")
    everything = flat(dataset)
    places = (*boxes.labels, *boxes.copies)
    _set(everything, _LABEL, places, [category] * len(places))
    _untag_boxes(everything, places, [REJECTED])
    _say(dataset, boxes, None, reason, author)


def classes(dataset: Any) -> tuple[str, ...]:
    """The classes of the dataset, in its order."""
    return tuple(dataset.default_classes) or tuple(sorted(dataset.distinct(_LABEL)))


def next_undecided(dataset: Any, view: Any, after: str | None = None) -> tuple[str, str] | None:
    """The image of most trouble that nothing was decided of, of the slice that is shown.

    Args:
        dataset: A FiftyOne dataset that `nirgen browse` has loaded; it shows the images of its active slice, or those
            beside which that slice shows RGB.
        view: What of it to stay in.
        after: The id of a sample: images of less trouble than it come first, then the others.

    Returns:
        The ids of its sample and its group; None if all others are decided.
    """
    shown = _shown_slices(dataset, view)
    paths = ["trouble", "key", "id", f"{GROUP}.id", f"{GROUP}.name", "tags"]
    rows = list(zip(*of_groups(flat(dataset), view.values(f"{GROUP}.id")).values(paths), strict=True))
    decided = {key for _, key, *_, tags in rows if not set(TAGS.values()).isdisjoint(tags or ())}
    ordered = sorted((-(trouble or 0.0), key, *ids) for trouble, key, *ids, name, _ in rows if name in shown)
    here = flat(dataset).select(after).values(f"{GROUP}.id") if after else []
    place = next((index for index, row in enumerate(ordered) if row[3] in here), len(ordered))
    for _, key, sample, group in ordered[place + 1 :] + ordered[:place]:
        if key not in decided:
            return sample, group
    return None


def _shown_slices(dataset: Any, view: Any) -> list[str]:
    """The slices of the dataset's own images that a view shows, or shows RGB of."""
    main = [name for name in dataset.group_slices if name != RGB]
    if view.media_type != "group":  # a view of some slices only
        return sorted(set(view.distinct(f"{GROUP}.name")) & set(main)) or main
    return [dataset.group_slice if dataset.group_slice in main else dataset.default_group_slice]


def _mark(dataset: Any, targets: Images | Boxes, tag: str | None) -> None:
    """Tag images or boxes, and take the tags of all other decisions from them and their copies."""
    everything = flat(dataset)
    others = [each for each in TAGS.values() if each != tag]
    if isinstance(targets, Images):
        if targets.copies:
            everything.select(list(targets.copies)).untag_samples(list(TAGS.values()))
        if targets.samples:
            view = everything.select(list(targets.samples))
            view.untag_samples(others)
            if tag:
                view.tag_samples(tag)
        return
    _untag_boxes(everything, targets.copies, list(TAGS.values()))
    _untag_boxes(everything, targets.labels, others)
    if tag and targets.labels:
        _boxes(everything, targets.labels).tag_labels(tag, BOXES)


def _say(
    dataset: Any, targets: Images | Boxes, verdict: Verdict | None, reason: str | None, author: str | None
) -> None:
    """Write down what was decided, why and by whom; of a box, its tag or its class says what."""
    everything = flat(dataset)
    if isinstance(targets, Images):
        for field, value in (("decision", verdict), ("reason", reason), ("author", author)):
            if targets.samples:
                everything.set_values(field, dict.fromkeys(targets.samples, value), key_field="id")
        return
    for path, value in ((_REASON, reason), (_AUTHOR, author)):
        _set(everything, path, targets.labels, [value] * len(targets.labels))


def _set(everything: Any, path: str, places: Sequence[tuple[str, str]], values: Sequence[str | None]) -> None:
    """Set a field of boxes, in one write."""
    pairs = zip(places, values, strict=True)
    rows = [{"sample_id": sample, "label_id": label, "value": value} for (sample, label), value in pairs]
    if rows:
        everything.set_label_values(path, rows, dynamic=True)


def _boxes(everything: Any, places: Iterable[tuple[str, str]]) -> Any:
    """The view of some boxes and nothing else."""
    samples, labels = zip(*places, strict=True)
    return everything.select(sorted(set(samples))).select_labels(ids=list(labels), fields=BOXES)


def _untag_boxes(everything: Any, places: Sequence[tuple[str, str]], tags: list[str]) -> None:
    if places:
        _boxes(everything, places).untag_labels(tags, BOXES)


def _keyed(boxes: Boxes) -> Iterable[tuple[tuple[str, str], str]]:
    """The boxes that have a key, and it."""
    return ((place, key) for place, key in zip(boxes.labels, boxes.keys, strict=True) if key is not None)
