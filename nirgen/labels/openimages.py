"""Open Images: a CSV with a row for each box, in fractions of the image; classes have codes such as `/m/01g317`."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from nirgen.errors import NirgenError
from nirgen.labels.content import number_of, text_of
from nirgen.labels.frames import Frame, ImageLookup, Label, Reading, box_of, image_name, is_true, to_ignore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nirgen.labels.frames import ReadOptions


_NEEDED = frozenset({"ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax"})
_FLAGS = {"IsOccluded": "occluded", "IsTruncated": "truncated", "IsDepiction": "depiction", "IsInside": "inside"}
_CLASSES = "*class-descriptions*.csv"  # beside the file: names by code


def read(path: Path, options: ReadOptions) -> tuple[Reading, list[Path]]:
    """Read a file; images that it doesn't name are unknown. Returns also the files that were read."""
    names, files = _names(path)
    rows: dict[str, list[tuple[int, dict[str, str]]]] = {}
    table = csv.DictReader(io.StringIO(text_of(path), newline=""))
    if not set(table.fieldnames or ()) >= _NEEDED:
        raise NirgenError(f"{path}: no boxes of Open Images, whose columns are {', '.join(sorted(_NEEDED))}, ...")
    try:
        for row in table:
            if None in row:  # what csv calls values beyond the headings
                raise NirgenError(f"{path}: line {table.line_num}: more values than columns; correct it")
            rows.setdefault(row["ImageID"] or "", []).append((table.line_num, row))
    except csv.Error as error:
        raise NirgenError(f"{path}: line {table.line_num}: {error}; correct it") from None
    lookup = ImageLookup(options)

    def frames() -> Iterator[Frame]:
        missing = 0
        for image, found in rows.items():
            where = f"{path}: line {found[0][0]}"
            name = lookup.complete(image_name(image, where))
            if name == image and options.images is not None and options.size is None:
                missing += 1  # a part of the data set is what most people have
                continue
            height, width = lookup.size(name, where)
            labels = [_label(row, names, (width, height), path) for _, row in found]
            yield Frame(name, width, height, labels, source_id=image)
        if missing:
            options.note(
                f"{missing} of {len(rows)} images of {path.name} aren't in the folder of images, and are left out"
            )

    return Reading(frames(), len(rows)), files


def _names(path: Path) -> tuple[dict[str, str], list[Path]]:
    """Return the class names by code, and the files that were read."""
    beside = sorted(path.parent.glob(_CLASSES))[:1]
    rows = [row for file in beside for row in csv.reader(io.StringIO(text_of(file), newline=""))]
    return {row[0]: row[1] for row in rows if len(row) > 1}, [path, *beside]


def _label(row: Mapping[str, str], names: Mapping[str, str], size: tuple[int, int], path: Path) -> Label:
    x1, x2, y1, y2 = (number_of(row.get(key), key, path) for key in ("XMin", "XMax", "YMin", "YMax"))
    if x1 is None or x2 is None or y1 is None or y2 is None:
        raise NirgenError(f"{path}: a row of '{row['ImageID']}' lacks a coordinate; correct it")
    box, swapped = box_of(x1 * size[0], y1 * size[1], x2 * size[0], y2 * size[1])
    return Label(
        names.get(row["LabelName"], row["LabelName"]),
        box,
        attributes={name: is_true(row[key]) for key, name in _FLAGS.items() if row.get(key) in {"0", "1"}},
        crowd=to_ignore(row),
        swapped=swapped,
    )
