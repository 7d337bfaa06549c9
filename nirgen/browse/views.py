"""Saved views, sidebar and colours of a FiftyOne dataset.

FiftyOne writes badges and box labels in white: every colour here has a contrast of at least 4.5 to it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nirgen.browse.fields import (
    BOXES,
    COVERED,
    DECIDED,
    DETECTIONS,
    DUPLICATE_OF,
    EMBEDDED,
    GROUP,
    IDENTITY,
    IMAGE_ACTIONS,
    ISSUE,
    KEPT,
    MAIN_SLICES,
    NEAREST_DISTANCE,
    NEEDS_FIX,
    NIR,
    OUTLIER,
    PHOTO,
    REAL_NIR,
    REJECTED,
    SHOWN,
    WORST_BOX,
    WORST_IMAGES,
    issue_text,
)
from nirgen.scores import IMAGE_SCORES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nirgen.browse.schema import Layout
    from nirgen.collection import Collection

SHOWN_BOXES = 50  # of the view `worst boxes`, at least

# Okabe and Ito's hues, distinguishable by the colour-blind, dark enough for white text.
POOL = ("#b85c00", "#0072b2", "#007d5c", "#b0447e", "#857000", "#c8371b", "#7b5ea7", "#6e6e6e")
DECISION_COLOURS = {REJECTED: "#d62728", NEEDS_FIX: "#b35900", KEPT: "#2e7d32"}
_SUGGESTION_COLOURS = {"vanished": "#b0447e", "smeared": "#857000", "low-contrast": "#1976a3"}
_KIND_COLOURS = {"generated": "#5f6b7a", "real": "#7b5ea7", PHOTO: "#0072b2"}
_GOOD, _MIDDLING, _BAD = (95, 107, 122), (156, 87, 0), (198, 40, 40)  # of an issue score of 0, 0.25, 0.5 and more


def issue_colour(trouble: float) -> str:
    """Return the colour of an issue score, from grey over brown to red.

    Example:
        >>> issue_colour(0), issue_colour(0.25), issue_colour(0.9)
        ('#5f6b7a', '#9c5700', '#c62828')
    """
    share = min(trouble / 0.5, 1) * 2
    ends = (_GOOD, _MIDDLING) if share < 1 else (_MIDDLING, _BAD)
    mixed = (round(a + (b - a) * (share - (share >= 1))) for a, b in zip(*ends, strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)


def arrange(dataset: Any, collection: Collection, layout: Layout, before: tuple[str, ...]) -> tuple[str, ...]:
    """Set saved views, sidebar and colours, delete obsolete views of an earlier load, and return the views' names."""
    views = {name: (view, about) for name, view, about in _views(dataset, collection, layout)}
    for name in before:
        if name not in views and dataset.has_saved_view(name):
            dataset.delete_saved_view(name)
    for name, (view, about) in views.items():
        with suppress(ValueError):  # a class whose name can't be a view's, or whose view name is taken
            dataset.save_view(name, view, description=about, overwrite=True)
    classes = [category.name for category in collection.categories]
    _set_appearance(dataset, layout, classes)
    if classes:
        _allow_edits(dataset, classes)
    dataset.save()
    return tuple(name for name in views if dataset.has_saved_view(name))


def _views(dataset: Any, collection: Collection, layout: Layout) -> Iterator[tuple[str, Any, str]]:
    """Yield name, view and description; `real` and those of embeddings show the slices that they name."""
    from fiftyone import ViewField as F

    decided = F("tags").contains(list(IMAGE_ACTIONS))
    yield WORST_IMAGES, dataset.sort_by("trouble", reverse=True), "by trouble, the worst first"
    if collection.categories:
        worst = dataset.filter_labels(BOXES, F("trouble") >= trouble_of_worst_boxes(dataset))
        yield (
            "worst boxes",
            worst.sort_by(WORST_BOX, reverse=True),
            f"the {SHOWN_BOXES} boxes with the highest trouble, the image with the worst first",
        )
    yield "rejected", dataset.match_tags(REJECTED), "images tagged rejected"
    yield "needs fix", dataset.match_tags(NEEDS_FIX), "images tagged needs-fix"
    yield "undecided", dataset.match(~decided).sort_by("trouble", reverse=True), "without a decision, the worst first"
    if NIR in layout.slices:
        yield "generated", dataset.match(F("kind").is_in(["generated", PHOTO])), "translated from RGB"
    if REAL_NIR in layout.slices:
        yield "real", dataset.select_group_slices(REAL_NIR), "real NIR, whichever slice is shown"
    if "timeofday" in layout.attributes:
        yield "night", dataset.match(F(layout.attributes["timeofday"]) == "night"), "taken at night"
    if dataset.has_field(NEAREST_DISTANCE):
        yield "all slices", dataset.select_group_slices(list(layout.slices)), "for the panel Embeddings"
        own = dataset.select_group_slices([name for name in MAIN_SLICES if name in layout.slices])
        repeated = own.exists(DUPLICATE_OF).sort_by(DUPLICATE_OF)
        yield "near-duplicates", repeated, "generated or real images that nearly repeat another, by that image's key"
        far = own.match(F(OUTLIER)).sort_by(NEAREST_DISTANCE, reverse=True)
        yield "outliers", far, "generated or real images unlike any other of their kind, the farthest first"
        lacking = own.exists(COVERED).match(~F(COVERED))
        yield "not covered", lacking, "real images that no generated one resembles"
    for category in collection.categories:
        boxes = dataset.filter_labels(BOXES, F("label") == category.name)
        yield f"class {category.name}", boxes, f"images with a {category.name}, and no other boxes"


def trouble_of_worst_boxes(dataset: Any) -> float:
    """Return the issue score that `SHOWN_BOXES` boxes of the dataset's own images reach, 0 if there are fewer."""
    steps: list[dict[str, Any]] = [
        {"$match": {f"{GROUP}.name": {"$in": list(MAIN_SLICES)}}},
        {"$project": {"trouble": f"${DETECTIONS}.trouble"}},
        {"$unwind": "$trouble"},
        {"$sort": {"trouble": -1}},
        {"$skip": SHOWN_BOXES - 1},
        {"$limit": 1},
    ]
    return next((float(each["trouble"]) for each in dataset._sample_collection.aggregate(steps, allowDiskUse=True)), 0)


def _set_appearance(dataset: Any, layout: Layout, classes: list[str]) -> None:
    """Set the App's sidebar and colours."""
    import fiftyone as fo

    groups = {
        "tags": ["tags", "_label_tags"],
        "boxes": [BOXES],
        "decision": list(DECIDED),
        "scores": [ISSUE, *IMAGE_SCORES, WORST_BOX, "note"],
        "what": [name for name in IDENTITY if name != "key"],
        "attributes": list(layout.attributes.values()),
        "embeddings": [name for name in EMBEDDED if dataset.has_field(name)],
        "counts": ["objects", *layout.counts.values()],
    }
    named = {path for paths in groups.values() for path in paths}
    groups["other"] = [name for name in dataset.get_field_schema() if name not in named]
    dataset.app_config.sidebar_groups = [
        fo.SidebarGroupDocument(name=name, paths=paths, expanded=name in {"tags", "boxes", "decision", "scores"})
        for name, paths in groups.items()
        if paths
    ]
    dataset.app_config.active_fields = fo.ActiveFields(exclude=False, paths=list(SHOWN))
    of_classes = dict(zip(classes, POOL, strict=False))
    issues = {issue_text(each / 100): issue_colour(each / 100) for each in range(101)}
    dataset.app_config.color_scheme = fo.ColorScheme(
        color_by="value",
        color_pool=list(POOL),
        fields=[
            {
                "path": BOXES,
                "colorByAttribute": "label",
                "valueColors": _values(of_classes),
            },
            {"path": "tags", "valueColors": _values(DECISION_COLOURS)},
            {"path": "kind", "valueColors": _values(_KIND_COLOURS)},
            {"path": ISSUE, "valueColors": _values(issues)},
        ],
        label_tags={"fieldColor": POOL[-1], "valueColors": _values(DECISION_COLOURS | _SUGGESTION_COLOURS)},
    )


def _allow_edits(dataset: Any, classes: list[str]) -> None:
    """Let the App's own tab 'Annotate' edit boxes, with the classes of the dataset; other fields are the user's."""
    schema = {
        "type": "detections",
        "component": "radio" if len(classes) <= 5 else "dropdown",
        "classes": classes,
        "attributes": [
            {"name": "key", "type": "str", "component": "text", "read_only": True},
            {"name": "reason", "type": "str", "component": "text"},
            {"name": "author", "type": "str", "component": "text"},
        ],
    }
    dataset.set_label_schemas({**dataset.label_schemas, BOXES: schema})
    if BOXES not in dataset.active_label_schemas:
        dataset.activate_label_schemas(BOXES)


def _values(colours: dict[str, str]) -> list[dict[str, str]]:
    return [{"value": value, "color": colour} for value, colour in colours.items()]
