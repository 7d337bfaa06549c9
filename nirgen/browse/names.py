"""What a dataset of nirgen's is made of in FiftyOne: slices, fields, tags, by name (docs/browse.md)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from nirgen.curation import Action

SCHEMA = 1
INFO = "nirgen"
"""The entry of a dataset's `info` that says what it was loaded from."""

GROUP = "group"
NIR, RGB, REAL_NIR = "nir", "rgb", "real_nir"
SLICES = (NIR, RGB, REAL_NIR)
MAIN_SLICES = (NIR, REAL_NIR)
"""The slices that hold images of the dataset; the decisions on these rule."""

BOXES = "boxes"
DETECTIONS = f"{BOXES}.detections"
WORST_BOX = "worst_box"
COUNT = "count_"
MOST_COUNTED = 30
"""With more classes than these the counts of each have no field."""

REJECTED, KEPT, NEEDS_FIX = "rejected", "kept", "needs-fix"

IMAGE_ACTIONS: dict[str, Action] = {REJECTED: "reject", NEEDS_FIX: "flag", KEPT: "keep"}
BOX_ACTIONS: dict[str, Action] = {REJECTED: "delete", NEEDS_FIX: "flag", KEPT: "keep"}
"""What a tag decides; of several the first counts."""

TAG_OF: dict[Action, str] = {action: tag for each in (IMAGE_ACTIONS, BOX_ACTIONS) for tag, action in each.items()}

DECIDED = ("decision", "reason", "author")
"""Fields that the curator's operators fill in; a box has the last two."""

IDENTITY = ("key", "split", "origin", "kind", "model", "sequence")
OF_BOXES = ("key", "source_category", "flags", "iscrowd", "fidelity", "trouble")
"""Attributes of a box that come from the dataset, besides its class, its place and its tags."""

_RESERVED = {"id", "filepath", "tags", "metadata", "created_at", "last_modified_at", "group", "groups", "frames"}


def field_names(attributes: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """Names of fields for attributes of images, which may be any text.

    Args:
        attributes: The attributes' own names.
        taken: Names of fields that mean something else.

    Returns:
        The fields' names, by attribute.

    Example:
        >>> field_names(["weather", "time of day", "key"], ["key"])
        {'key': 'attribute_key', 'time of day': 'time_of_day', 'weather': 'weather'}
    """
    names: dict[str, str] = {}
    for attribute in sorted(attributes):
        name = re.sub(r"\W+", "_", attribute).strip("_") or "attribute"
        while name in _RESERVED or name in taken or name in names.values():
            name = f"attribute_{name}"
        names[attribute] = name
    return names


def count_names(classes: Iterable[str]) -> dict[str, str]:
    """The fields that count the boxes of each class, by class; none where there are too many.

    Example:
        >>> count_names(["car", "traffic light"])
        {'car': 'count_car', 'traffic light': 'count_traffic_light'}
    """
    wanted = list(classes)
    if len(wanted) > MOST_COUNTED:
        return {}
    names: dict[str, str] = {}
    for category in wanted:
        name = COUNT + re.sub(r"\W+", "_", category)
        while name in names.values():
            name += "_"
        names[category] = name
    return names
