"""One line of a file of decisions, read and checked."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import msgspec

from nirgen.curation.decision import ACTIONS, OF_BOXES, Decision, Seen
from nirgen.errors import NirgenError, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nirgen.curation.decision import Bbox

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
