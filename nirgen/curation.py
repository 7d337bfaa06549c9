"""Decisions of a curator about images and boxes of a dataset, the file that holds them, and their merge.

`curation.jsonl` has one JSON object a line, to be kept in git. Decisions name images and boxes by stable keys.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import dataclass, replace
from itertools import combinations, groupby
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from nirgen.errors import NirgenError, nearest
from nirgen.files import output_file, read_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path


DECIMALS = 3  # of a pixel in boxes
Bbox = tuple[float, float, float, float]  # COCO xywh in pixels
Action = Literal["add", "delete", "flag", "keep", "move", "reject", "relabel"]

ACTIONS: tuple[Action, ...] = ("add", "delete", "flag", "keep", "move", "reject", "relabel")
OF_BOXES: frozenset[Action] = frozenset({"add", "delete", "move", "relabel"})  # keep and flag may be of images, too

# Pairs of actions that exclude each other on one image or box.
CONTRADICTIONS: frozenset[frozenset[str]] = frozenset(
    frozenset(pair)
    for pair in (
        *combinations(("reject", "keep", "flag"), 2),
        *(("delete", action) for action in ("keep", "flag", "relabel", "move", "add")),
    )
)


@dataclass(frozen=True, slots=True)
class Seen:
    """Target of a decision when it was made, as the dataset has it without decisions; None if unknown."""

    sha256: str | None = None  # of an image file, before any re-encoding
    category: str | None = None  # of a box
    bbox: Bbox | None = None  # of a box, in pixels of an image of the decision's `width` and `height`


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about an image or a box."""

    key: str  # of an image, `ORIGIN/PATH`, or of a box, `ORIGIN/PATH#SOURCE_KEY`
    action: Action  # images: reject, keep, flag; boxes: delete, keep, flag, relabel, move, add
    category: str | None = None  # new class of `relabel` and `add`
    bbox: Bbox | None = None  # new box of `move` and `add`, in pixels of an image of `width` x `height`
    width: int | None = None  # of the image that `bbox` and `seen.bbox` are measured on; None without either
    height: int | None = None
    reason: str = ""
    author: str = ""
    seen: Seen = Seen()

    @property
    def size(self) -> tuple[int, int] | None:
        """Return width and height of the image that its boxes are measured on."""
        return None if self.width is None or self.height is None else (self.width, self.height)

    @property
    def order(self) -> tuple[str, str]:
        """Return the sort key, unique in a file."""
        return self.key, self.action

    def rounded(self) -> Decision:
        """Return a copy with boxes rounded to `DECIMALS`."""
        if self.bbox is None and self.seen.bbox is None:
            return self
        seen = replace(self.seen, bbox=_rounded(self.seen.bbox))
        return replace(self, bbox=_rounded(self.bbox), seen=seen)


def added_key(image_key: str, category: str, bbox: Bbox, width: int, height: int) -> str:
    """Return the key of an added box, which it keeps in rebuilt datasets; `bbox` is on an image of `width` x `height`.

    Example:
        >>> added_key("bdd100k/a.jpg", "car", (10, 20, 30, 40), 1280, 720)
        'bdd100k/a.jpg#+a756db5eb2c1'
    """
    text = json.dumps([category, _rounded(bbox), width, height], ensure_ascii=False, separators=(",", ":"))
    return f"{image_key}#+{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def scaled(bbox: Bbox, old: tuple[int, int] | None, new: tuple[int, int] | None) -> Bbox:
    """Return a box in pixels of an image of size `new` instead of `old`; unchanged if a (width, height) is unknown.

    Example:
        >>> scaled((10, 20, 30, 40), (1280, 720), (640, 360))
        (5.0, 10.0, 15.0, 20.0)
    """
    if old is None or new is None or old == new:
        return bbox
    x, y = new[0] / old[0], new[1] / old[1]
    return bbox[0] * x, bbox[1] * y, bbox[2] * x, bbox[3] * y


def _rounded(bbox: Bbox | None) -> Bbox | None:
    if bbox is None:
        return None
    x, y, width, height = (round(float(value), DECIMALS) + 0.0 for value in bbox)
    return x, y, width, height


def unite(older: Iterable[Decision], newer: Iterable[Decision]) -> tuple[Decision, ...]:
    """Return the decisions of two files, sorted; newer ones replace older ones that they contradict or repeat."""
    united = {decision.order: decision.rounded() for decision in older}
    for decision in newer:
        _remove_contradicted(united, decision)
        united[decision.order] = decision.rounded()
    return tuple(united[order] for order in sorted(united))


def merge(base: Iterable[Decision], new: Iterable[Decision]) -> tuple[Decision, ...]:
    """Put new decisions on top of those that a dataset was built with, and return all, sorted by key and action.

    A new decision replaces older ones that it contradicts or repeats. `seen` of the result refers to the dataset
    without decisions: where an older decision has changed a box, the new one takes over what the older one saw. A new
    decision that restores a box cancels the older one, and the deletion of an added box cancels the addition.
    """
    merged = {decision.order: decision.rounded() for decision in base}
    earlier = dict(merged)
    for decision in sorted((each.rounded() for each in new), key=lambda each: each.order):
        removes_added = decision.action == "delete" and (decision.key, "add") in earlier
        if removes_added:
            for action in ACTIONS:
                merged.pop((decision.key, action), None)
        _remove_contradicted(merged, decision)
        if not removes_added and not _takes_back(decision, earlier):
            merged[decision.order] = _as_without(decision, earlier)
    return tuple(merged[order] for order in sorted(merged))


def _remove_contradicted(decisions: dict[tuple[str, str], Decision], new: Decision) -> None:
    for action in ACTIONS:
        if action == new.action or {action, new.action} in CONTRADICTIONS:
            decisions.pop((new.key, action), None)


def _takes_back(new: Decision, earlier: Mapping[tuple[str, str], Decision]) -> bool:
    """Return True if a decision restores what a box was before an earlier one."""
    old = earlier.get(new.order)
    if old is None:
        return False
    if new.action == "relabel":
        return new.category == old.seen.category
    if new.action != "move" or old.seen.bbox is None:
        return False
    was = replace(new, bbox=scaled(old.seen.bbox, old.size, new.size)).rounded()
    return new.bbox == was.bbox


def _as_without(new: Decision, earlier: Mapping[tuple[str, str], Decision]) -> Decision:
    """Return a decision whose `seen` refers to the dataset without the earlier ones."""
    relabelled, moved = earlier.get((new.key, "relabel")), earlier.get((new.key, "move"))
    seen, size = new.seen, new.size
    if relabelled is not None:
        seen = replace(seen, category=relabelled.seen.category)
    if moved is not None:
        size = size or moved.size
        seen = replace(seen, bbox=moved.seen.bbox and scaled(moved.seen.bbox, moved.size, size))
    if size is None or (new.bbox is None and seen.bbox is None):
        return replace(new, seen=seen, width=None, height=None)
    return replace(new, seen=seen, width=size[0], height=size[1]).rounded()


@dataclass(frozen=True, slots=True)
class Decisions:
    """Content of a file of decisions."""

    path: Path
    all: tuple[Decision, ...]  # sorted by key and action

    @property
    def data(self) -> bytes:
        """Return the decisions as `encode` writes them: order, blank lines and repetitions of the file don't matter."""
        return encode(self.all)

    @property
    def sha256(self) -> str:
        """Return the sha256 of `data`."""
        return hashlib.sha256(self.data).hexdigest()


def read_decisions(path: Path) -> Decisions:
    """Read a file of decisions: UTF-8, one JSON object a line (docs/formats.md).

    Raises:
        NirgenError: It can't be read, a line is invalid, or two lines contradict each other; the lines are named.
    """
    try:
        data = read_bytes(path)
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
    return Decisions(path, tuple(decisions[order] for order in sorted(decisions)))


def write_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    """Write a file of decisions, sorted; an existing file is replaced at once."""
    found: dict[tuple[str, str], Decision] = {}
    for decision in decisions:
        if found.setdefault(decision.order, decision).rounded() != decision.rounded():
            raise NirgenError(
                f"{path}: two different decisions to {decision.action} {decision.key!r}; keep one of them"
            )
    _refuse_contradictions(found, str(path))
    with output_file(path) as temporary:
        temporary.write_bytes(encode(found.values()))


def encode(decisions: Iterable[Decision]) -> bytes:
    """Return the content of a file of decisions: sorted by key and action, equal ones once.

    Example:
        >>> encode([Decision("bdd100k/b.jpg", "reject", reason="blurred"), Decision("bdd100k/a.jpg", "keep")]).split()
        [b'{"key":"bdd100k/a.jpg","action":"keep"}', b'{"key":"bdd100k/b.jpg","action":"reject","reason":"blurred"}']
    """
    ordered = sorted({decision.rounded() for decision in decisions}, key=lambda decision: decision.order)
    return b"".join(msgspec.json.encode(plain(decision)) + b"\n" for decision in ordered)


def plain(decision: Decision) -> dict[str, Any]:
    """Return a decision as plain values in the order of a file's keys, without empty ones."""
    values = {name: getattr(decision, name) for name in KEYS}
    seen = {name: getattr(decision.seen, name) for name in SEEN_KEYS}
    values["seen"] = {name: value for name, value in seen.items() if value not in (None, "")}
    return {name: value for name, value in values.items() if value not in (None, "", {})}


def _refuse_contradictions(
    decisions: Mapping[tuple[str, str], Decision], where: str, lines: Mapping[tuple[str, str], int] | None = None
) -> None:
    for key, group in groupby((decisions[order] for order in sorted(decisions)), key=lambda each: each.key):
        for first, second in combinations(group, 2):
            if {first.action, second.action} in CONTRADICTIONS:
                place = "" if lines is None else f", lines {lines[first.order]} and {lines[second.order]}"
                raise NirgenError(
                    f"{where}{place}: {first.action} and {second.action} of {key!r} contradict each other; "
                    "keep one of them"
                )


KEYS = ("key", "action", "category", "bbox", "width", "height", "reason", "author", "seen")
SEEN_KEYS = ("sha256", "category", "bbox")

_NEEDS = {"category": {"relabel", "add"}, "bbox": {"move", "add"}}  # actions without it must not have the value

_KEY = re.compile(r"[^/#]+/.*[^/]", re.DOTALL)
_BOX_KEY = re.compile(r"[^/#]+/[^#].*#.+", re.DOTALL)
_ADDED_KEY = re.compile(r"[^/#]+/[^#].*#\+[0-9a-f]{12}", re.DOTALL)
_SHA256 = re.compile(r"[0-9a-f]{64}")


def parse(line: bytes, where: str) -> Decision:
    """Read a decision from a line of JSON; `where` names file and line in errors."""
    try:
        values = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NirgenError(f"{where}: no JSON ({error}); correct the line, or export the decisions again") from None
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
    sha256 = _text(seen, "sha256", f"{where}: 'seen'") or None
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise NirgenError(f"{where}: 'seen': the sha256 {sha256!r} isn't 64 hex digits; leave it out, or correct it")
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
        seen=Seen(
            sha256=sha256,
            category=_text(seen, "category", f"{where}: 'seen'") or None,
            bbox=_bbox(seen.get("bbox"), f"{where}: 'seen'", None),
        ),
    ).rounded()


def _check_object(values: Any, known: Collection[str], where: str) -> None:
    if not isinstance(values, dict):
        raise NirgenError(f"{where}: no JSON object; write one object a line")
    unknown = next((name for name in values if name not in known), None)
    if unknown is not None:
        raise NirgenError(f"{where}: unknown key {unknown!r}{nearest(unknown, known)} (there are {', '.join(known)})")


def _key(key: Any, action: str, where: str) -> str:
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise NirgenError(f"{where}: {key!r} is no key of image or box; write ORIGIN/PATH, or ORIGIN/PATH#SOURCE_KEY")
    if action in OF_BOXES and not _BOX_KEY.fullmatch(key):
        raise NirgenError(f"{where}: {action} applies to boxes, and {key!r} is an image; write ORIGIN/PATH#SOURCE_KEY")
    if action == "add" and not _ADDED_KEY.fullmatch(key):
        raise NirgenError(f"{where}: {key!r} is no key of an added box; write ORIGIN/PATH#+ and 12 hex digits")
    return key


def _text(values: Mapping[str, Any], name: str, where: str) -> str:
    text = values.get(name, "")
    if not isinstance(text, str) or (name == "category" and name in values and not text):
        raise NirgenError(f"{where}: {name} {text!r} is no text; write it in quotes")
    return text


def _size(values: Mapping[str, Any], where: str, *, needed: bool) -> tuple[int, int] | None:
    given = [name for name in ("width", "height") if name in values]
    if not needed and not given:
        return None
    if not needed:
        raise NirgenError(f"{where}: {given[0]} without a bbox; leave it out")
    for name in ("width", "height"):
        value = values.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise NirgenError(f"{where}: a bbox with {name} {value!r}; give the size of its image in pixels")
    return values["width"], values["height"]


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


def _bbox(bbox: Any, where: str, size: tuple[int, int] | None) -> Bbox | None:
    if bbox is None:
        return None
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_number, bbox)):
        raise NirgenError(f"{where}: the bbox {bbox!r} isn't four numbers; write [x, y, width, height] in pixels")
    x, y, width, height = (round(float(value), DECIMALS) for value in bbox)
    if min(width, height) <= 0:
        raise NirgenError(f"{where}: the bbox {bbox!r} has no width or no height; delete the box, or correct it")
    if size is not None and (x >= size[0] or y >= size[1] or x + width <= 0 or y + height <= 0):
        raise NirgenError(f"{where}: the bbox {bbox!r} is outside its image of {size[0]}x{size[1]}; correct it")
    return x, y, width, height
