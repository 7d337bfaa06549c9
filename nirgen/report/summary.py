"""Text and numbers of a report: the folder's provenance, the first sentences, all numbers as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nirgen.dataset.folder import read_dataset
from nirgen.dataset.plan import REASONS
from nirgen.errors import counted
from nirgen.report.gallery import excesses_of, reasons
from nirgen.report.survey import overlap
from nirgen.scores import TAGS
from nirgen.translate.manifest import is_named, read_manifest

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


def facts_of(collection: Collection) -> tuple[list[Fact], dict[str, Any]]:
    """Read the provenance of a dataset or a translation folder.

    Returns:
        Its lines, and the same as plain values, `left_out` among them: origin, reason, count, examples.

    Raises:
        NirgenError: Its `dataset.json` or manifest can't be read.
    """
    return _of_dataset(collection) if collection.kind == "dataset" else _of_translation(collection)


def _of_dataset(collection: Collection) -> tuple[list[Fact], dict[str, Any]]:
    values = read_dataset(collection.folder).values
    names = ("origin", "model_id", "licence", "training_pairs")
    generators = [{name: each.get(name) for name in names} for each in values.get("generators", ())]
    policies = {each["origin"]: each.get("policy") for each in values.get("labels", ())}
    by_policy: dict[str, list[str]] = {}
    for origin, policy in policies.items():
        by_policy.setdefault(str(policy), []).append(origin)
    lines = [_generator(each) for each in generators]
    if policies:
        shown = "; ".join(f"{policy} ({', '.join(origins)})" for policy, origins in by_policy.items())
        lines.append(Fact("Class policy", shown))
    lines += [*_leaks(values.get("leaks", ())), *_colour(values.get("coloured")), _decisions(values.get("curation"))]
    if licence := (values.get("config") or {}).get("licence"):
        lines.append(Fact("Licence", f"of the dataset: {licence}"))
    lines += [Fact("Licence", f"{each['what']}: {each['licence']}") for each in values.get("licences", ())]
    lines += [Fact("Note", note) for note in values.get("notes", ())]
    lines += [Fact("Written by", f"nirgen {values['nirgen']}"), Fact("Digest", collection.digest)]
    return lines, {
        "nirgen": values["nirgen"],
        "generators": generators,
        "policies": policies,
        "leaks": len(values.get("leaks", ())),
        "coloured": (values.get("coloured") or {}).get("count", 0),
        "curation": values.get("curation"),
        "licences": values.get("licences", []),
        "left_out": [
            _left_out(each["origin"], each["what"], each["count"], each.get("examples", ()))
            for each in values.get("left_out", ())
        ],
    }


def _of_translation(collection: Collection) -> tuple[list[Fact], dict[str, Any]]:
    manifest = read_manifest(collection.folder)
    rows = () if manifest is None else manifest.rows
    licence = None if manifest is None else manifest.model.get("licence")
    version = "" if manifest is None else manifest.nirgen_version
    failed = [f"{row.source}: {row.error}" for row in rows if row.status == "failed"]
    generators = [
        {"origin": collection.name, "model_id": model_id, "licence": licence, "training_pairs": None}
        for model_id in sorted({row.model_id for row in rows})
    ]
    lines = [_generator(each, f"; its licence: {licence or 'unknown'}") for each in generators]
    lines += [Fact("Written by", f"nirgen {version}"), Fact("Digest", collection.digest)]
    misnamed = [row.source for row in rows if row.status == "done" and not is_named(row)]
    kinds = {"failed": failed, "name": misnamed}
    left_out = [_left_out(collection.name, what, len(names), names) for what, names in kinds.items() if names]
    return lines, {"nirgen": version, "generators": generators, "left_out": left_out}


def _generator(values: Mapping[str, Any], licence: str = "") -> Fact:
    pairs = values["training_pairs"]
    trained = "" if pairs is None else f"; trained on {counted(pairs, 'pair')}"
    return Fact("Generator", f"{values['model_id'][:_SHORT]}, which translated {values['origin']}{trained}{licence}")


def _left_out(origin: str, what: str, count: int, examples: Sequence[str]) -> dict[str, Any]:
    return {"origin": origin, "reason": REASONS.get(what, what), "count": count, "examples": [*examples[:EXAMPLES]]}


def _leaks(leaks: Sequence[Mapping[str, Any]]) -> Iterator[Fact]:
    if not leaks:
        yield Fact("Leaks", "none known between training and val or test")
        return
    count = counted(len(leaks), "image")
    text = f"{count} of val or test, or near copies of them, are in training; accepted by --allow-leak"
    yield Fact("Leaks", text, warning=True)
    yield Fact("Leaks", f"such as {', '.join(each['key'] for each in leaks[:EXAMPLES])}")


def _colour(coloured: Mapping[str, Any] | None) -> Iterator[Fact]:
    if coloured and coloured["count"]:
        text = f"{coloured['count']:,} of {coloured['real']:,} real images are in colour; accepted by --allow-colour"
        yield Fact("Colour", text, warning=True)


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
    """Return the numbers of `images`, `generated`, `real`, `empty`, `unlabelled`, `boxes` and `ignored`."""
    tallies = survey.tallies.values()
    generated = sum(tally.images for place, tally in survey.tallies.items() if place.generated)
    return {
        "images": len(survey.frames),
        "generated": generated,
        "real": len(survey.frames) - generated,
        "empty": sum(tally.empty for tally in tallies),
        "unlabelled": sum(tally.unlabelled for tally in tallies),
        "boxes": sum(tally.boxes.total() for tally in tallies),
        "ignored": sum(tally.ignored for tally in tallies),
    }


def in_short(
    facts: Sequence[Fact], survey: Survey, statistics: Mapping[bool, Statistics], *, labelled: bool, unreadable: int
) -> Iterator[str]:
    """Yield the first sentences of the report: sizes, suspect boxes, missing files, warnings."""
    total = totals(survey)
    if labelled:
        none = total["empty"] - total["unlabelled"]
        unlabelled = f"; unlabelled: {total['unlabelled']:,}" if total["unlabelled"] else ""
        yield (
            f"{counted(total['images'], 'image')} ({total['generated']:,} generated, {total['real']:,} real) with "
            f"{counted(total['boxes'], 'box', 'boxes')}; no objects: {none:,}{unlabelled}."
        )
    else:
        yield f"{counted(total['images'], 'translated image')}, without labels."
    judged = int((~np.isnan(survey.boxes.fidelity)).sum())
    if judged:
        parts = [f"{survey.tags[tag]:,} {tag}" for tag in TAGS if survey.tags[tag]]
        yield f"{counted(judged, 'box', 'boxes')} scored; suspect: {', '.join(parts) or 'none'}."
    if shared := overlap(statistics):
        yield (
            f"Generated and real NIR share {100 * shared['levels']:.0f} % of their distribution of intensities and "
            f"{100 * shared['slopes']:.0f} % of that of gradients."
        )
    for kind, keys, consequence in (
        ("NIR", survey.no_nir, "These images have no scores and no pictures here."),
        ("RGB", survey.no_rgb, "Scores that need them are unknown, unless computed before."),
    ):
        if keys:
            names = ", ".join(keys[:EXAMPLES]) + (", ..." if len(keys) > EXAMPLES else "")
            yield f"{kind} files missing: {len(keys):,} ({names}). {consequence}"
    if unreadable:
        yield f"Unreadable files: of {counted(unreadable, 'image')}."
    yield from (f"{fact.name}: {fact.text}." for fact in facts if fact.warning)


def numbers(
    collection: Collection,
    survey: Survey,
    choice: Choice,
    boxes: Sequence[Mapping[str, Any]],
    statistics: Mapping[bool, Statistics],
) -> dict[str, Any]:
    """Return counts, scores and choices as plain values, without clock, host or absolute path."""
    excesses = excesses_of(survey)

    def listed(shown: Mapping[bool, Sequence[int]]) -> list[dict[str, Any]]:
        return [
            {
                "key": survey.frames[at].key,
                "kind": _kind(kind),
                "trouble": _rounded(survey.trouble[at]),
                "because": reasons(excesses, at),
            }
            for kind, each in shown.items()
            for at in each
        ]

    return {
        "totals": totals(survey),
        "counts": [
            {
                "split": place.split or None,
                "origin": place.origin,
                "kind": _kind(place.generated),
                "images": tally.images,
                "empty": tally.empty,
                "unlabelled": tally.unlabelled,
                "boxes": {category.name: tally.boxes[category.name] for category in collection.categories},
                "ignored": tally.ignored,
            }
            for place, tally in survey.tallies.items()
        ],
        "scores": {name: _spread(values) for name, values in survey.scores.items()},
        "fidelity": _spread(survey.boxes.fidelity),
        "tags": {tag: survey.tags[tag] for tag in TAGS},
        "worst_images": listed(choice.worst),
        "best_images": listed(choice.best),
        "worst_boxes": [
            {name: _rounded(card[name]) for name in ("key", "category", "trouble", "fidelity", "tags")}
            for card in boxes
        ],
        "compared": [{"key": survey.frames[at].key, "as": [*names]} for at, names in choice.compared.items()],
        "statistics": {
            _kind(kind): {"images": each.images, **{name: _rounded(value) for name, value in each.numbers.items()}}
            for kind, each in statistics.items()
        },
        "shared": {name: _rounded(share) for name, share in overlap(statistics).items()},
        "missing": {
            kind: {"count": len(keys), "examples": list(keys[:EXAMPLES])}
            for kind, keys in (("nir", survey.no_nir), ("rgb", survey.no_rgb))
        },
    }


def _kind(generated: bool) -> str:
    return "generated" if generated else "real"


def _spread(values: NDArray[np.float32]) -> dict[str, Any]:
    """Return the number of known values, and their 5th, 50th and 95th percentile."""
    known = values[~np.isnan(values)]
    if not len(known):
        return {"known": 0}
    low, middle, high = map(_rounded, np.percentile(known, (5, 50, 95)))
    return {"known": len(known), "p5": low, "median": middle, "p95": high}


def _rounded(value: Any) -> Any:
    """Return a float with four digits; any other value as it is."""
    return float(f"{value:.4g}") if isinstance(value, (float, np.floating)) else value
