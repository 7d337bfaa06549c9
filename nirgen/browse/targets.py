"""What a curator points at in the App: the images of the dataset, or their boxes, that a decision is about.

A group of the FiftyOne dataset has a sample of the dataset's image (slice `nir` or `real_nir`) and one of the RGB
image that is shown beside it, with the same `key` and the same boxes. Decisions stand on the dataset's image, also
where the curator pointed at its RGB.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nirgen.browse.names import BOXES, DETECTIONS, GROUP, RGB

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
