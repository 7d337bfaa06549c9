"""What a folder says of itself: what it was made from and by, what stayed out, what to beware of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nirgen.dataset.folder import read_dataset
from nirgen.dataset.plan import REASONS
from nirgen.translate.manifest import read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nirgen.collection import Collection

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
