"""Dataset card: `README.md` with contents, origin and licence, and its pictures."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from nirgen.config import SPLITS
from nirgen.dataset.contents import UNKNOWN, parts_of, splits_in
from nirgen.dataset.folder import CARD
from nirgen.dataset.plan import REASONS
from nirgen.dataset.writers import render_text
from nirgen.escapes import mathtext
from nirgen.templates import cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nirgen.dataset.contents import Contents
    from nirgen.dataset.examples import Examples
    from nirgen.dataset.plan import Plan
    from nirgen.dataset.store import Store
    from nirgen.labels.file import Category


LEAKS_SHOWN = 20
NAMES_SHOWN = 15


def write_card(store: Store, plan: Plan, contents: Contents, examples: Examples) -> None:
    """Write the card and its pictures; the images are in the store already."""
    described = contents.described(plan)
    splits = splits_in(plan)
    if examples.chosen:
        store.write("card/examples.png", examples.draw(store.root, plan))
    store.write("card/classes.png", draw_classes(contents, plan.categories))
    text = render_text(
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
        dropped=[
            _counts(
                (each["name"], each["labels"]) for each in labels.counts.get("names", []) if "dropped" in each["became"]
            )
            for labels in plan.label_files
        ],
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
    """Return image counts by (input, kind) and split."""
    rows: dict[tuple[str, str], dict[str, int]] = {}
    for (origin, kind, split), count in sorted(contents.origins.items()):
        rows.setdefault((origin, kind), dict.fromkeys(splits, 0))[split] = count
    return rows


def _merged(contents: Contents, plan: Plan) -> dict[str, str]:
    """Return the source classes with their counts, for each class and for regions to ignore."""
    names = {category.id: category.name for category in plan.categories}
    counts = {name: Counter[str]() for name in names.values()}
    for (_, source, category, ignored), count in sorted(contents.merged.items()):
        counts.setdefault("regions to ignore" if ignored else names[category], Counter())[source] += count
    return {name: _counts(sources.items()) or "nothing" for name, sources in counts.items()}


def _listed(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - NAMES_SHOWN} more" if len(keys) > NAMES_SHOWN else ""
    return ", ".join(cell(key) for key in keys[:NAMES_SHOWN]) + more


def _counts(items: Iterable[tuple[str, int]]) -> str:
    ranked = sorted(items, key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{cell(name)} ({count:,})" for name, count in ranked[:NAMES_SHOWN])
    others = ranked[NAMES_SHOWN:]
    return f"{shown}, {len(others)} others ({sum(count for _, count in others):,})" if others else shown


def draw_classes(contents: Contents, categories: Sequence[Category]) -> bytes:
    """Return a PNG of the boxes by class and split, generated and real."""
    from matplotlib.figure import Figure

    splits = [split for split in SPLITS if split in contents.splits]
    figure = Figure(figsize=(3.6 * len(splits), 3.4), layout="constrained")
    plots = np.atleast_1d(figure.subplots(1, len(splits)))
    places = np.arange(len(categories))
    for plot, split in zip(plots, splits, strict=True):
        boxes = contents.splits[split].boxes
        below = np.zeros(len(categories))
        for kind, colour in (("real", "#33557a"), ("generated", "#e08a2e")):
            counts = np.array([boxes[category.id, kind] for category in categories])
            bars = plot.bar(places, counts, bottom=below, label=kind, color=colour, width=0.7)
            below += counts
        plot.bar_label(bars, labels=[f"{int(count):,}" for count in below], fontsize="small")
        plot.set_xticks(places, [mathtext(category.name) for category in categories], rotation=30, ha="right")
        plot.set(title=split, ylabel="boxes" if split == splits[0] else "")
        plot.set_ylim(0, 1.15 * max(1, below.max()))
        plot.spines[["top", "right"]].set_visible(False)
    plots[0].legend(loc="best", fontsize="small", frameon=False)
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph ")  # letters that matplotlib's font lacks become boxes
        figure.savefig(picture, format="png", dpi=100, metadata={"Software": None})
    return picture.getvalue()
