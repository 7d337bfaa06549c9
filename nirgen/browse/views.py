"""How the App shows a dataset: saved views, groups of the sidebar, colours, and what is ticked at first."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nirgen.browse.names import (
    BOXES,
    DECIDED,
    IDENTITY,
    IMAGE_ACTIONS,
    KEPT,
    NEEDS_FIX,
    NIR,
    REAL_NIR,
    REJECTED,
    WORST_BOX,
)
from nirgen.scores import IMAGE_SCORES, TAGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nirgen.browse.survey import Survey
    from nirgen.collection import Collection

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
