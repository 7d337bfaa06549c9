"""Summary of a report: provenance facts of the folder, the first sentences, and all numbers for machines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nirgen.dataset.folder import read_dataset
from nirgen.dataset.plan import REASONS
from nirgen.report.gallery import reasons, why
from nirgen.report.survey import overlap
from nirgen.scores import TAGS
from nirgen.translate.manifest import read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from nirgen.collection import Collection
    from nirgen.report.gallery import Choice, Gallery
    from nirgen.report.survey import Missing, Statistics, Survey


SHORT = 12
"""Digits shown of a hash."""
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the facts.

    Attributes:
        name: What it is about.
        text: What is the case.
        warning: Whether a reader should beware.
    """

    name: str
    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What stayed out for one reason.

    Attributes:
        origin: The input.
        reason: In words.
        count: How many.
        examples: The first few, by name.
    """

    origin: str
    reason: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """What a folder says of itself.

    Attributes:
        lines: For people.
        left_out: What isn't in it.
        values: The same for machines.
    """

    lines: tuple[Fact, ...]
    left_out: tuple[LeftOut, ...]
    values: Mapping[str, Any]


def facts_of(collection: Collection) -> Facts:
    """Read what a folder says of itself.

    Raises:
        NirgenError: Its `dataset.json` or manifest can't be read.
    """
    return _of_dataset(collection) if collection.kind == "dataset" else _of_translation(collection)


def _of_dataset(collection: Collection) -> Facts:
    values = read_dataset(collection.folder).values
    left_out = tuple(
        LeftOut(
            origin=each["origin"],
            reason=REASONS.get(each["what"], each["what"]),
            count=each["count"],
            examples=tuple(each.get("examples", ()))[:EXAMPLES],
        )
        for each in values.get("left_out", ())
    )
    generators: list[dict[str, Any]] = [
        {name: each.get(name) for name in ("origin", "model_id", "licence", "training_pairs")}
        for each in values.get("generators", ())
    ]
    return Facts(
        lines=(
            *_generators(generators, licences=False),
            *_policies(values),
            *_leaks(values),
            _decisions(values),
            *_licences(values),
            *(Fact("Note", note) for note in values.get("notes", ())),
            Fact("Written by", f"nirgen {values['nirgen']}"),
            Fact("Digest", collection.digest),
        ),
        left_out=left_out,
        values={
            "nirgen": values["nirgen"],
            "generators": generators,
            "policies": {each["origin"]: each.get("policy") for each in values.get("labels", ())},
            "leaks": len(values.get("leaks", ())),
            "curation": values.get("curation"),
            "licences": values.get("licences", []),
            "left_out": [_described(each) for each in left_out],
        },
    )


def _of_translation(collection: Collection) -> Facts:
    manifest = read_manifest(collection.folder)
    rows = () if manifest is None else manifest.rows
    failed = [row for row in rows if row.status == "failed"]
    left_out: tuple[LeftOut, ...] = ()
    if failed:
        examples = tuple(f"{row.source}: {row.error}" for row in failed[:EXAMPLES])
        left_out = (LeftOut(collection.name, REASONS["failed"], len(failed), examples),)
    model: Mapping[str, Any] = {} if manifest is None else manifest.model
    version = "" if manifest is None else manifest.nirgen_version
    generators = [
        {"origin": collection.name, "model_id": model_id, "licence": model.get("licence"), "training_pairs": None}
        for model_id in sorted({row.model_id for row in rows})
    ]
    return Facts(
        lines=(
            *_generators(generators, licences=True),
            Fact("Written by", f"nirgen {version}"),
            Fact("Digest", collection.digest),
        ),
        left_out=left_out,
        values={"nirgen": version, "generators": generators, "left_out": [_described(each) for each in left_out]},
    )


def _generators(generators: list[dict[str, Any]], *, licences: bool) -> Iterator[Fact]:
    for each in generators:
        text = f"{each['model_id'][:SHORT]}, which translated {each['origin']}"
        if each["training_pairs"] is not None:
            text += f"; trained on {each['training_pairs']:,} pairs"
        if licences:
            text += f"; its licence: {each['licence'] or 'unknown'}"
        yield Fact("Generator", text)


def _policies(values: Mapping[str, Any]) -> Iterator[Fact]:
    policies: dict[str, list[str]] = {}
    for each in values.get("labels", ()):
        policies.setdefault(str(each.get("policy")), []).append(each["origin"])
    if policies:
        yield Fact("Class policy", "; ".join(f"{name} ({', '.join(origins)})" for name, origins in policies.items()))


def _leaks(values: Mapping[str, Any]) -> Iterator[Fact]:
    leaks = values.get("leaks", ())
    if not leaks:
        yield Fact("Leaks", "none: nothing in val or test is known to be in training")
        return
    count = f"{len(leaks):,} images" if len(leaks) > 1 else "1 image"
    text = f"{count} of val or test, or the like of which, training has seen; allowed when it was built"
    yield Fact("Leaks", text, warning=True)
    yield Fact("Leaks", f"such as {', '.join(each['key'] for each in leaks[:EXAMPLES])}")


def _decisions(values: Mapping[str, Any]) -> Fact:
    curation = values.get("curation")
    if not curation:
        return Fact("Curator's decisions", "none applied")
    applied = curation.get("applied") or {}
    parts = [f"{count:,} {action}" for action, count in sorted(applied.items()) if count] or ["none applied"]
    gone, changed = len(curation.get("gone") or ()), len(curation.get("changed") or ())
    if gone:
        parts.append(f"{gone:,} whose target is gone")
    if changed:
        parts.append(f"{changed:,} whose target had changed since")
    return Fact("Curator's decisions", ", ".join(parts), warning=bool(gone or changed))


def _licences(values: Mapping[str, Any]) -> Iterator[Fact]:
    if own := (values.get("config") or {}).get("licence"):
        yield Fact("Licence", f"of the dataset: {own}")
    for each in values.get("licences", ()):
        yield Fact("Licence", f"{each['what']}: {each['licence']}")


def _described(each: LeftOut) -> dict[str, Any]:
    return {"origin": each.origin, "reason": each.reason, "count": each.count, "examples": list(each.examples)}


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
