"""`curation.jsonl`: decisions as a file to be kept in git, a line for each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from nirgen.curation.decision import CONTRADICTIONS, Decision
from nirgen.curation.parsing import parse
from nirgen.errors import NirgenError
from nirgen.files import output_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a file of decisions says.

    Attributes:
        path: The file.
        sha256: Of the decisions as `encode` writes them: the order of lines, blank ones and repeated ones don't matter.
        all: Sorted by key and action.
    """

    path: Path
    sha256: str
    all: tuple[Decision, ...]


def read_decisions(path: Path) -> Decisions:
    """Read a file of decisions.

    Args:
        path: UTF-8, one JSON object a line (docs/formats.md).

    Returns:
        The decisions; lines that say the same are one.

    Raises:
        NirgenError: It can't be read; a line is none, or has an unknown key or action, or lacks what its action needs;
            or two lines contradict each other. The message names file and line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NirgenError(
            f"{path}: can't be read ({error.strerror}); 'nirgen curation export' writes such a file"
        ) from None
    lines: dict[tuple[str, str], int] = {}
    decisions: dict[tuple[str, str], Decision] = {}
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        decision = parse(line, f"{path}, line {number}")
        if decisions.setdefault(decision.order, decision) != decision:
            raise NirgenError(
                f"{path}, lines {lines[decision.order]} and {number}: two different decisions to {decision.action} "
                f"{decision.key!r}; keep one of them"
            )
        lines.setdefault(decision.order, number)
    _refuse_contradictions(decisions, str(path), lines)
    found = tuple(decisions[order] for order in sorted(decisions))
    return Decisions(path, digest(found), found)


def write_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    """Write a file of decisions, sorted, whole or not at all.

    Args:
        path: The file; one that is there is replaced.
        decisions: In any order.

    Raises:
        NirgenError: Two of them contradict each other.
        OutputError: The file can't be written.
    """
    found: dict[tuple[str, str], Decision] = {}
    for decision in decisions:
        if found.setdefault(decision.order, decision).rounded() != decision.rounded():
            raise NirgenError(
                f"{path}: two different decisions to {decision.action} {decision.key!r}; keep one of them"
            )
    _refuse_contradictions(found, str(path))
    data = encode(found.values())
    with output_file(path) as temporary:
        temporary.write_bytes(data)


def encode(decisions: Iterable[Decision]) -> bytes:
    """The content of a file of decisions: sorted by key and action, equal ones once.

    Example:
        >>> encode([Decision("bdd100k/b.jpg", "reject", reason="blurred"), Decision("bdd100k/a.jpg", "keep")]).split()
        [b'{"key":"bdd100k/a.jpg","action":"keep"}', b'{"key":"bdd100k/b.jpg","action":"reject","reason":"blurred"}']
    """
    ordered = sorted({decision.rounded() for decision in decisions}, key=lambda decision: decision.order)
    return b"".join(msgspec.json.encode(plain(decision)) + b"\n" for decision in ordered)


def digest(decisions: Iterable[Decision]) -> str:
    """The sha256 of decisions as `encode` writes them."""
    return hashlib.sha256(encode(decisions)).hexdigest()


def plain(decision: Decision) -> dict[str, Any]:
    """A decision as plain values in the order of a file's keys, without what is empty."""
    seen = decision.seen
    values = {
        "key": decision.key,
        "action": decision.action,
        "category": decision.category,
        "bbox": decision.bbox,
        "width": decision.width,
        "height": decision.height,
        "reason": decision.reason,
        "author": decision.author,
        "seen": _filled({"sha256": seen.sha256, "category": seen.category, "bbox": seen.bbox}),
    }
    return _filled(values)


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", {})}


def _refuse_contradictions(
    decisions: Mapping[tuple[str, str], Decision], where: str, lines: Mapping[tuple[str, str], int] | None = None
) -> None:
    """Make sure that no image and no box has two actions that exclude each other."""
    by_key: dict[str, list[Decision]] = {}
    for order in sorted(decisions):
        by_key.setdefault(order[0], []).append(decisions[order])
    for key, group in by_key.items():
        for position, first in enumerate(group):
            for second in group[position + 1 :]:
                if frozenset((first.action, second.action)) in CONTRADICTIONS:
                    place = "" if lines is None else f", lines {lines[first.order]} and {lines[second.order]}"
                    raise NirgenError(
                        f"{where}{place}: {first.action} and {second.action} of {key!r} contradict each other; "
                        "keep one of them"
                    )
