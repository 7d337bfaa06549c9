"""`curation.jsonl`: decisions as a file to be kept in git, one JSON object a line."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from nirgen.curation.decision import ACTIONS, CONTRADICTIONS, OF_BOXES, Decision, Seen
from nirgen.errors import NirgenError, nearest
from nirgen.files import output_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from nirgen.curation.decision import Bbox


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


KEYS = ("key", "action", "category", "bbox", "width", "height", "reason", "author", "seen")
SEEN_KEYS = ("sha256", "category", "bbox")

_NEEDS: Mapping[str, frozenset[str]] = {
    "category": frozenset({"relabel", "add"}),
    "bbox": frozenset({"move", "add"}),
}
"""The actions that need a value; no other may have it."""

_KEY = re.compile(r"[^/#]+/.*[^/]", re.DOTALL)
_BOX_KEY = re.compile(r"[^/#]+/[^#].*#.+", re.DOTALL)
_ADDED_KEY = re.compile(r"[^/#]+/[^#].*#\+[0-9a-f]{12}", re.DOTALL)
_SHA256 = re.compile(r"[0-9a-f]{64}")


def parse(line: bytes, where: str) -> Decision:
    """Read a decision.

    Args:
        line: A JSON object.
        where: What has it, for errors: file and line.

    Returns:
        The decision, its boxes rounded.

    Raises:
        NirgenError: It isn't one; the message says why and what to do.
    """
    try:
        values = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NirgenError(f"{where}: no JSON ({error}); correct the line, or write it again by export") from None
    _check_object(values, KEYS, where)
    action = values.get("action")
    if action not in ACTIONS:
        hint = nearest(str(action), ACTIONS)
        raise NirgenError(f"{where}: no action {action!r}{hint} (there are {', '.join(ACTIONS)})")
    for name, needing in _NEEDS.items():
        if (name in values) != (action in needing):
            verb = "takes no" if name in values else "needs a"
            raise NirgenError(f"{where}: {action} {verb} {name}; correct the line")
    seen = values.get("seen", {})
    _check_object(seen, SEEN_KEYS, f"{where}: 'seen'")
    size = _size(values, where, needed="bbox" in values or "bbox" in seen)
    return Decision(
        key=_key(values.get("key"), action, where),
        action=action,
        category=_text(values, "category", where) or None,
        bbox=_bbox(values.get("bbox"), where, size),
        width=size[0] if size else None,
        height=size[1] if size else None,
        reason=_text(values, "reason", where),
        author=_text(values, "author", where),
        seen=_seen(seen, f"{where}: 'seen'"),
    ).rounded()


def _check_object(values: Any, known: Collection[str], where: str) -> None:
    if not isinstance(values, dict):
        raise NirgenError(f"{where}: no JSON object; write one object a line")
    unknown = next((name for name in values if name not in known), None)
    if unknown is not None:
        raise NirgenError(f"{where}: unknown key {unknown!r}{nearest(unknown, known)} (there are {', '.join(known)})")


def _key(key: Any, action: str, where: str) -> str:
    """The key of an image or a box, of the form that the action needs."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise NirgenError(f"{where}: the key {key!r} is of no image; write ORIGIN/PATH, or ORIGIN/PATH#SOURCE_KEY")
    if action in OF_BOXES and not _BOX_KEY.fullmatch(key):
        raise NirgenError(f"{where}: {action} is of boxes, and {key!r} is an image; write ORIGIN/PATH#SOURCE_KEY")
    if action == "add" and not _ADDED_KEY.fullmatch(key):
        raise NirgenError(f"{where}: an added box can't be called {key!r}; write ORIGIN/PATH#+ and 12 hex digits")
    return key


def _text(values: Mapping[str, Any], name: str, where: str) -> str:
    text = values.get(name, "")
    if not isinstance(text, str) or (name == "category" and name in values and not text):
        raise NirgenError(f"{where}: {name} {text!r} is no text; write it in quotes")
    return text


def _size(values: Mapping[str, Any], where: str, *, needed: bool) -> tuple[int, int] | None:
    """Width and height of the image that boxes are measured on; None where there is no box."""
    given = [name for name in ("width", "height") if name in values]
    if not needed and not given:
        return None
    if not needed:
        raise NirgenError(f"{where}: {given[0]} without a bbox; leave it out")
    for name in ("width", "height"):
        value = values.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise NirgenError(f"{where}: a bbox, and {name} {value!r}; say the size of its image in pixels")
    return values["width"], values["height"]


def _bbox(bbox: Any, where: str, size: tuple[int, int] | None) -> Bbox | None:
    """A box with a width and a height, of which something is in the image."""
    if bbox is None:
        return None
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_number, bbox)):
        raise NirgenError(f"{where}: the bbox {bbox!r} isn't four numbers; write [x, y, width, height] in pixels")
    x, y, width, height = (round(float(value), 3) for value in bbox)
    if min(width, height) <= 0:
        raise NirgenError(f"{where}: the bbox {bbox!r} has no width or no height; delete the box, or correct it")
    if size is not None and (x >= size[0] or y >= size[1] or x + width <= 0 or y + height <= 0):
        raise NirgenError(f"{where}: the bbox {bbox!r} is outside its image of {size[0]}x{size[1]}; correct it")
    return x, y, width, height


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _seen(values: Mapping[str, Any], where: str) -> Seen:
    sha256 = _text(values, "sha256", where) or None
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise NirgenError(f"{where}: the sha256 {sha256!r} isn't 64 hex digits; leave it out, or correct it")
    return Seen(sha256, _text(values, "category", where) or None, _bbox(values.get("bbox"), where, None))
