"""`README.md` of a dataset: what is in it, where it comes from, what may be done with it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from nirgen.dataset import pictures
from nirgen.dataset.contents import splits_in
from nirgen.dataset.folder import CARD
from nirgen.dataset.licences import UNKNOWN, parts_of
from nirgen.dataset.plan import REASONS
from nirgen.dataset.rendering import cell, render

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nirgen.dataset.contents import Contents
    from nirgen.dataset.plan import LabelInput, Plan
    from nirgen.dataset.store import Store

LEAKS_SHOWN = 20
NAMES_SHOWN = 15


def write_card(store: Store, plan: Plan, contents: Contents, examples: pictures.Examples) -> None:
    """Write the card and its pictures.

    Args:
        store: The dataset, whose images are there.
        plan: What it is made by.
        contents: What it holds.
        examples: The images to show.
    """
    described = contents.described(plan)
    splits = splits_in(plan)
    if examples.chosen:
        store.write("card/examples.png", examples.draw(store.root, plan.categories))
    store.write("card/classes.png", pictures.draw_classes(contents, plan.categories))
    text = render(
        "README.md.j2",
        plan,
        splits=splits,
        described=described,
        totals={
            name: sum(counts[name] for counts in described["splits"].values())
            for name in ("images", "generated", "real", "unlabelled")
        },
        origins=sorted({image.origin for image in plan.images}),
        by_origin=_by_origin(contents, splits),
        only_ignored=[key for split in splits for key in contents.splits[split].only_ignored],
        merged=_merged(contents, plan),
        dropped=[_dropped(labels) for labels in plan.label_files],
        lost=[_counts(labels.counts.get("lost", {}).items()) for labels in plan.label_files],
        encoded=_counts(contents.encoded.items()),
        applied=_counts(plan.curation.applied.items()) if plan.curation else "",
        rejected=_listed([image.key for image in plan.rejected]),
        parts=parts_of(plan),
        reasons=REASONS,
        unknown=UNKNOWN,
        leaks_shown=LEAKS_SHOWN,
        has_examples=bool(examples.chosen),
    )
    store.write(CARD, text)


def _by_origin(contents: Contents, splits: list[str]) -> dict[tuple[str, str], dict[str, int]]:
    """Images by input and kind, then by split."""
    rows: dict[tuple[str, str], dict[str, int]] = {}
    for (origin, kind, split), count in sorted(contents.origins.items()):
        rows.setdefault((origin, kind), dict.fromkeys(splits, 0))[split] = count
    return rows


def _merged(contents: Contents, plan: Plan) -> Mapping[str, str]:
    """By class, and for regions to ignore: the names in the sources, with how many boxes each gave."""
    names = {category.id: category.name for category in plan.categories}
    counts: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for name in names.values():
        counts[name] = defaultdict(int)
    for (_, source, category, ignored), count in sorted(contents.merged.items()):
        counts["regions to ignore" if ignored else names[category]][source] += count
    return {name: _counts(sources.items()) or "nothing" for name, sources in counts.items()}


def _dropped(labels: LabelInput) -> str:
    """The names of a label file whose labels are in no dataset, with how many there were."""
    names: list[dict[str, Any]] = labels.counts.get("names", [])
    return _counts((each["name"], each["labels"]) for each in names if "dropped" in each["became"])


def _listed(keys: Sequence[str]) -> str:
    """Keys, of many the first few."""
    more = f" and {len(keys) - NAMES_SHOWN} more" if len(keys) > NAMES_SHOWN else ""
    return ", ".join(cell(key) for key in keys[:NAMES_SHOWN]) + more


def _counts(items: Iterable[tuple[str, int]]) -> str:
    """Names with counts, the greatest first; of many names the first few."""
    ranked = sorted(items, key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{cell(name)} ({count:,})" for name, count in ranked[:NAMES_SHOWN])
    others = ranked[NAMES_SHOWN:]
    return f"{shown}, {len(others)} others ({sum(count for _, count in others):,})" if others else shown
