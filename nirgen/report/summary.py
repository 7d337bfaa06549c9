"""A report in numbers, for machines, and the few sentences that it begins with."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from nirgen.report.choosing import reasons, why
from nirgen.report.statistics import overlap
from nirgen.scores import TAGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from nirgen.collection import Collection
    from nirgen.report.choosing import Choice
    from nirgen.report.facts import Facts
    from nirgen.report.gallery import Gallery
    from nirgen.report.statistics import Statistics
    from nirgen.report.survey import Missing, Survey

SCHEMA = 1


def totals(survey: Survey) -> dict[str, int]:
    """How much there is in all: `images`, `generated`, `real`, `empty`, `boxes`, `ignored`."""
    generated = sum(tally.images for place, tally in survey.tallies.items() if place.generated)
    return {
        "images": len(survey.frames),
        "generated": generated,
        "real": len(survey.frames) - generated,
        "empty": sum(tally.empty for tally in survey.tallies.values()),
        "boxes": sum(tally.boxes.total() for tally in survey.tallies.values()),
        "ignored": sum(tally.ignored for tally in survey.tallies.values()),
    }


def in_short(
    collection: Collection, facts: Facts, survey: Survey, statistics: Mapping[bool, Statistics], unreadable: int
) -> Iterator[str]:
    """What a reader should know first, in a few sentences."""
    total = totals(survey)
    if collection.kind == "dataset":
        yield (
            f"{_count(total['boxes'], 'box', 'boxes')} on {_count(total['images'], 'image')}: "
            f"{total['generated']:,} generated, {total['real']:,} real; without labels: {total['empty']:,}."
        )
    else:
        yield f"{_count(total['images'], 'translated image')}, without labels."
    judged = int((~np.isnan(survey.boxes.fidelity)).sum())
    if judged:
        parts = [f"{survey.tags[tag]:,} {tag}" for tag in TAGS if survey.tags[tag]]
        named = f"; look at these first: {', '.join(parts)}" if parts else f", and found none {' or '.join(TAGS)}"
        yield f"The scores could judge {_count(judged, 'box', 'boxes')}{named}."
    if len(statistics) == 2:
        levels, slopes = (
            100 * overlap(getattr(statistics[True], name), getattr(statistics[False], name))
            for name in ("levels", "slopes")
        )
        yield (
            f"Generated and real NIR share {levels:.0f} % of their distribution of intensities and {slopes:.0f} % of "
            "that of gradients."
        )
    yield from _missing(survey.no_nir, "These images have no scores and no pictures here.")
    yield from _missing(survey.no_rgb, "Scores that need them are unknown, unless made before.", "RGB")
    if unreadable:
        yield f"Of {_count(unreadable, 'image')} a file is there and can't be read."
    yield from (f"{fact.name}: {fact.text}." for fact in facts.lines if fact.warning)


def numbers(
    title: str,
    collection: Collection,
    facts: Facts,
    survey: Survey,
    choice: Choice,
    *,
    gallery: Gallery,
    statistics: Mapping[bool, Statistics],
) -> dict[str, Any]:
    """The whole report as plain values."""
    badness = why(survey)
    return {
        "schema": SCHEMA,
        "title": title,
        "kind": collection.kind,
        "digest": collection.digest,
        **facts.values,
        "totals": totals(survey),
        "counts": [
            {
                "split": place.split or None,
                "origin": place.origin,
                "kind": "generated" if place.generated else "real",
                "images": tally.images,
                "empty": tally.empty,
                "boxes": {category.name: tally.boxes[category.name] for category in collection.categories},
                "ignored": tally.ignored,
            }
            for place, tally in survey.tallies.items()
        ],
        "scores": {name: _spread(values) for name, values in survey.scores.items()},
        "fidelity": _spread(survey.boxes.fidelity),
        "tags": {tag: survey.tags[tag] for tag in TAGS},
        **{
            f"{name}_images": [
                {
                    "key": survey.frames[number].key,
                    "trouble": _rounded(survey.trouble[number]),
                    "because": reasons(badness, number),
                }
                for number in shown
            ]
            for name, shown in (("worst", choice.worst), ("best", choice.best))
        },
        "worst_boxes": [
            {
                "key": card.key,
                "category": card.category,
                "trouble": _rounded(card.trouble),
                "fidelity": None if card.fidelity is None else _rounded(card.fidelity),
                "tags": list(card.tags),
            }
            for card in gallery.boxes
        ],
        "compared": [
            {"key": survey.frames[number].key, "as": list(names)} for number, names in choice.compared.items()
        ],
        "statistics": {
            "generated" if kind else "real": {"images": each.images} | {n: _rounded(v) for n, v in each.numbers.items()}
            for kind, each in statistics.items()
        },
        "shared": {
            name: _rounded(overlap(getattr(statistics[True], name), getattr(statistics[False], name)))
            for name in ("levels", "slopes")
            if len(statistics) == 2
        },
        "missing": {
            "nir": {"count": survey.no_nir.count, "examples": survey.no_nir.examples},
            "rgb": {"count": survey.no_rgb.count, "examples": survey.no_rgb.examples},
        },
    }


def class_totals(survey: Survey, names: Sequence[str]) -> dict[str, int]:
    """The boxes of each class in all."""
    counts: Counter[str] = Counter()
    for tally in survey.tallies.values():
        counts.update(tally.boxes)
    return {name: counts[name] for name in names}


def _spread(values: NDArray[np.float32]) -> dict[str, Any]:
    """How many values are known, and where they lie."""
    known = values[~np.isnan(values)]
    if not len(known):
        return {"known": 0}
    low, middle, high = (_rounded(each) for each in np.percentile(known, (5, 50, 95)))
    return {"known": len(known), "p5": low, "median": middle, "p95": high}


def _rounded(value: float) -> float:
    """To four digits that count."""
    return float(f"{float(value):.4g}")


def _missing(missing: Missing, what: str, kind: str = "NIR") -> Iterator[str]:
    if missing.count:
        names = ", ".join(missing.examples) + (", ..." if missing.count > len(missing.examples) else "")
        yield f"{kind} files missing: {missing.count:,} ({names}). {what}"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
