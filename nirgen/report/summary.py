"""Text and numbers of a report: the folder's provenance, the first sentences, all numbers as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nirgen.dataset.folder import read_dataset
from nirgen.dataset.plan import REASONS
from nirgen.report.gallery import badness_of, reasons
from nirgen.report.survey import overlap
from nirgen.scores import TAGS
from nirgen.translate.manifest import read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from nirgen.collection import Collection
    from nirgen.report.gallery import Choice
    from nirgen.report.survey import Statistics, Survey


SCHEMA = 1
EXAMPLES = 5
_SHORT = 12  # digits shown of a hash


class Fact(NamedTuple):
    """One line of the facts."""

    name: str
    text: str
    warning: bool = False


@dataclass(frozen=True)
class Facts:
    """Provenance of a folder."""

    lines: tuple[Fact, ...]
    values: Mapping[str, Any]  # the same as plain values, `left_out` among them: origin, reason, count, examples


def facts_of(collection: Collection) -> Facts:
    """Read the provenance of a dataset or a translation folder.

    Raises:
        NirgenError: Its `dataset.json` or manifest can't be read.
    """
    return _of_dataset(collection) if collection.kind == "dataset" else _of_translation(collection)


def _of_dataset(collection: Collection) -> Facts:
    values = read_dataset(collection.folder).values
    generators = [
        {name: each.get(name) for name in ("origin", "model_id", "licence", "training_pairs")}
        for each in values.get("generators", ())
    ]
    policies = {each["origin"]: each.get("policy") for each in values.get("labels", ())}
    by_policy: dict[str, list[str]] = {}
    for origin, policy in policies.items():
        by_policy.setdefault(str(policy), []).append(origin)
    lines = [_generator(each) for each in generators]
    if policies:
        shown = "; ".join(f"{policy} ({', '.join(origins)})" for policy, origins in by_policy.items())
        lines.append(Fact("Class policy", shown))
    lines += [*_leaks(values.get("leaks", ())), _decisions(values.get("curation"))]
    if licence := (values.get("config") or {}).get("licence"):
        lines.append(Fact("Licence", f"of the dataset: {licence}"))
    lines += [Fact("Licence", f"{each['what']}: {each['licence']}") for each in values.get("licences", ())]
    lines += [Fact("Note", note) for note in values.get("notes", ())]
    lines += [Fact("Written by", f"nirgen {values['nirgen']}"), Fact("Digest", collection.digest)]
    left_out = [
        _left_out(each["origin"], each["what"], each["count"], each.get("examples", ()))
        for each in values.get("left_out", ())
    ]
    return Facts(
        lines=tuple(lines),
        values={
            "nirgen": values["nirgen"],
            "generators": generators,
            "policies": policies,
            "leaks": len(values.get("leaks", ())),
            "curation": values.get("curation"),
            "licences": values.get("licences", []),
            "left_out": left_out,
        },
    )


def _of_translation(collection: Collection) -> Facts:
    manifest = read_manifest(collection.folder)
    rows = () if manifest is None else manifest.rows
    model: Mapping[str, Any] = {} if manifest is None else manifest.model
    version = "" if manifest is None else manifest.nirgen_version
    failed = [f"{row.source}: {row.error}" for row in rows if row.status == "failed"]
    generators = [
        {"origin": collection.name, "model_id": model_id, "licence": model.get("licence"), "training_pairs": None}
        for model_id in sorted({row.model_id for row in rows})
    ]
    licence = f"; its licence: {model.get('licence') or 'unknown'}"
    lines = [_generator(each, licence) for each in generators]
    lines += [Fact("Written by", f"nirgen {version}"), Fact("Digest", collection.digest)]
    left_out = [_left_out(collection.name, "failed", len(failed), failed)] if failed else []
    return Facts(tuple(lines), {"nirgen": version, "generators": generators, "left_out": left_out})


def _generator(values: Mapping[str, Any], licence: str = "") -> Fact:
    pairs = values["training_pairs"]
    trained = "" if pairs is None else f"; trained on {pairs:,} pairs"
    return Fact("Generator", f"{values['model_id'][:_SHORT]}, which translated {values['origin']}{trained}{licence}")


def _left_out(origin: str, what: str, count: int, examples: Sequence[str]) -> dict[str, Any]:
    return {"origin": origin, "reason": REASONS.get(what, what), "count": count, "examples": [*examples[:EXAMPLES]]}


def _leaks(leaks: Sequence[Mapping[str, Any]]) -> Iterator[Fact]:
    if not leaks:
        yield Fact("Leaks", "none known between training and val or test")
        return
    count = f"{len(leaks):,} images" if len(leaks) > 1 else "1 image"
    text = f"{count} of val or test, or near copies of them, are in training; accepted by --allow-leak"
    yield Fact("Leaks", text, warning=True)
    yield Fact("Leaks", f"such as {', '.join(each['key'] for each in leaks[:EXAMPLES])}")


def _decisions(curation: Mapping[str, Any] | None) -> Fact:
    if not curation:
        return Fact("Curator's decisions", "none applied")
    applied = curation.get("applied") or {}
    parts = [f"{count:,} {action}" for action, count in sorted(applied.items()) if count] or ["none applied"]
    gone, changed = len(curation.get("gone") or ()), len(curation.get("changed") or ())
    parts += [f"{gone:,} whose target is gone"] if gone else []
    parts += [f"{changed:,} whose target had changed since"] if changed else []
    return Fact("Curator's decisions", ", ".join(parts), warning=bool(gone or changed))


def totals(survey: Survey) -> dict[str, int]:
    """Return the numbers of `images`, `generated`, `real`, `empty`, `boxes` and `ignored`."""
    tallies = survey.tallies.values()
    generated = sum(tally.images for place, tally in survey.tallies.items() if place.generated)
    return {
        "images": len(survey.frames),
        "generated": generated,
        "real": len(survey.frames) - generated,
        "empty": sum(tally.empty for tally in tallies),
        "boxes": sum(tally.boxes.total() for tally in tallies),
        "ignored": sum(tally.ignored for tally in tallies),
    }


def in_short(
    collection: Collection, facts: Facts, survey: Survey, statistics: Mapping[bool, Statistics], unreadable: int
) -> Iterator[str]:
    """Yield the first sentences of the report: sizes, suspect boxes, missing files, warnings."""
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
        yield f"{_count(judged, 'box', 'boxes')} scored; suspect: {', '.join(parts) or 'none'}."
    if shared := _shared(statistics):
        yield (
            f"Generated and real NIR share {100 * shared['levels']:.0f} % of their distribution of intensities and "
            f"{100 * shared['slopes']:.0f} % of that of gradients."
        )
    yield from _missing("NIR", survey.no_nir, "These images have no scores and no pictures here.")
    yield from _missing("RGB", survey.no_rgb, "Scores that need them are unknown, unless computed before.")
    if unreadable:
        yield f"Unreadable files: of {_count(unreadable, 'image')}."
    yield from (f"{fact.name}: {fact.text}." for fact in facts.lines if fact.warning)


def numbers(
    title: str,
    collection: Collection,
    facts: Facts,
    survey: Survey,
    choice: Choice,
    *,
    boxes: Sequence[Mapping[str, Any]],
    statistics: Mapping[bool, Statistics],
) -> dict[str, Any]:
    """Return the whole report as plain values, without clock, host or absolute path; `boxes` are the worst ones."""
    badness = badness_of(survey)
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
            {name: _rounded(value) if isinstance(value, float) else value for name, value in card.items()}
            for card in boxes
        ],
        "compared": [
            {"key": survey.frames[number].key, "as": list(names)} for number, names in choice.compared.items()
        ],
        "statistics": {
            "generated" if kind else "real": {"images": each.images} | {n: _rounded(v) for n, v in each.numbers.items()}
            for kind, each in statistics.items()
        },
        "shared": {name: _rounded(share) for name, share in _shared(statistics).items()},
        "missing": {
            kind: {"count": len(keys), "examples": list(keys[:EXAMPLES])}
            for kind, keys in (("nir", survey.no_nir), ("rgb", survey.no_rgb))
        },
    }


def _shared(statistics: Mapping[bool, Statistics]) -> dict[str, float]:
    """Return the overlap of the distributions of both kinds; empty if there is only one."""
    if len(statistics) < 2:
        return {}
    one, other = statistics[True], statistics[False]
    return {"levels": overlap(one.levels, other.levels), "slopes": overlap(one.slopes, other.slopes)}


def _spread(values: NDArray[np.float32]) -> dict[str, Any]:
    """Return the number of known values, and their 5th, 50th and 95th percentile."""
    known = values[~np.isnan(values)]
    if not len(known):
        return {"known": 0}
    low, middle, high = (_rounded(each) for each in np.percentile(known, (5, 50, 95)))
    return {"known": len(known), "p5": low, "median": middle, "p95": high}


def _rounded(value: float) -> float:
    return float(f"{float(value):.4g}")


def _missing(kind: str, keys: Sequence[str], consequence: str) -> Iterator[str]:
    if keys:
        names = ", ".join(keys[:EXAMPLES]) + (", ..." if len(keys) > EXAMPLES else "")
        yield f"{kind} files missing: {len(keys):,} ({names}). {consequence}"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
