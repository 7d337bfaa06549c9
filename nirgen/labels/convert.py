"""Labels of any known format into a labels file: classes by a policy, boxes in the frame, nothing lost uncounted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from nirgen.errors import NirgenError, nearest
from nirgen.labels.annotations import AnnotationWriter
from nirgen.labels.categories import policy_categories, source_categories
from nirgen.labels.document import Document
from nirgen.labels.frames import ReadOptions
from nirgen.labels.licences import Licences
from nirgen.labels.recognise import read_source
from nirgen.labels.report import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nirgen.labels.document import Entry
    from nirgen.labels.frames import Frame, Reading
    from nirgen.labels.policy import Policy
    from nirgen.labels.sources import Source

_STEP = 100
"""After how many images progress is told."""


def convert(
    sources: Sequence[Source],
    policy: Policy,
    *,
    unknown: Literal["stop", "drop"] = "stop",
    drop_duplicates: bool = False,
    bdd_inclusive: bool = False,
    images: Path | None = None,
    size: tuple[int, int] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Document:
    """Convert labels; several sources are joined.

    Args:
        sources: Files and folders of labels.
        policy: What becomes of each name.
        unknown: What to do about names that the policy doesn't know: `stop`, or `drop` their labels.
        drop_duplicates: Whether to leave out the later of two boxes of a class that lie on each other.
        bdd_inclusive: Whether a BDD100K box is `x2 - x1 + 1` wide, as the official converter has it.
        images: The folder of the images, for sizes that labels don't state and endings that names lack.
        size: (height, width) of images whose size nothing states.
        progress: Is told how many images are done, of how many.

    Returns:
        The labels file, not written yet.

    Raises:
        NirgenError: A source can't be read; an image is in two of them; there is none; or the policy doesn't know a
            name.
    """
    tally = Tally()
    options = ReadOptions(bdd_inclusive, images, size, tally.note)
    readings = [(source, *read_source(source, options)) for source in sources]
    writer = AnnotationWriter(policy, tally, drop_duplicates=drop_duplicates)
    licences = Licences()
    entries: dict[str, Entry] = {}
    frames = _frames([(source, reading) for source, reading, _ in readings], licences)
    total = sum(reading.total for _, reading, _ in readings)
    for done, frame in enumerate(frames, start=1):
        entries[frame.file_name] = writer.entry(frame)
        if done % _STEP == 0 or done == total:
            progress(done, total)
    if not entries:
        raise NirgenError(f"{', '.join(str(source.path) for source in sources)}: no images; name labels of some")
    if unknown == "stop":
        _refuse_unknown(policy, tally)
    if policy.keep:
        categories = source_categories([reading.categories for _, reading, _ in readings], set(tally.written))
    else:
        categories = policy_categories(policy)
    alone = len(readings) == 1
    return Document(
        policy=policy.name,
        inputs=[_input(*one, with_extra=not alone) for one in readings],
        counts=tally.values([category["name"] for category in categories]),
        categories=categories,
        licenses=licences.all,
        entries=[entries[name] for name in sorted(entries)],
        extra=readings[0][1].extra if alone else {},
    )


def _input(source: Source, reading: Reading, files: list[Path], *, with_extra: bool) -> dict[str, Any]:
    """What a labels file says of a source."""
    extra = {"extra": reading.extra} if with_extra and reading.extra else {}
    return {"file": source.path.name, "sha256": source.digest(files), **extra}


def _frames(readings: Sequence[tuple[Source, Reading]], licences: Licences) -> Iterator[Frame]:
    """The frames of all sources, each image once, with the split that the user says and licences of one numbering."""
    places: dict[str, Path] = {}
    for source, reading in readings:
        renumbered = licences.add(reading.licenses)
        for frame in reading.frames:
            place = places.get(frame.file_name)
            if place is not None:
                where = f"twice in {place}" if place == source.path else f"in {place} and in {source.path}"
                raise NirgenError(f"'{frame.file_name}' is {where}; take it out of one")
            places[frame.file_name] = source.path
            frame.split = source.split or frame.split
            if renumbered and frame.extra.get("license") in renumbered:
                frame.extra = {**frame.extra, "license": renumbered[frame.extra["license"]]}
            yield frame


def _refuse_unknown(policy: Policy, tally: Tally) -> None:
    names = [name for name, fate in tally.fates.items() if fate.kind == "unknown"]
    if names:
        known = policy.fates()
        listed = ", ".join(
            f"'{name}' ({tally.labels[name]} label(s){nearest(name.casefold(), known)})"
            for name in sorted(names, key=lambda name: (-tally.labels[name], name))
        )
        raise NirgenError(
            f"policy '{policy.name}' doesn't know {len(names)} name(s): {listed}; write a policy that does (see "
            "docs/formats.md), or leave their labels out with --unknown drop"
        )
