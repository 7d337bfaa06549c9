"""`nirgen labels`: labels of any known format as a COCO file for detection, classes chosen by a policy."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Any, Literal

from nirgen.cli import options
from nirgen.cli.options import argument, flag, option, refuse
from nirgen.cli.output import announce, conclude, echo, echo_text, progress, show
from nirgen.errors import OutputError, counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nirgen.labels.file import Document

_LISTED = 10  # largest number of classes that the last line counts one by one
_FORMS = {
    "box": "boxes",
    "polygon": "polygons",
    "rle": "run lengths (RLE)",
    "mask": "masks",
    "rotated box": "rotated boxes",
}


def labels(
    inputs: list[str] = argument(
        "IN...",
        "Label files or folders: BDD100K, COCO, Pascal VOC, Cityscapes-like polygons, RANUS masks, YOLO, CVAT, "
        "labelme, Label Studio, KITTI, KAIST, Open Images. Prefix train=, val= or test= to set the split.",
    ),
    out: Path = option("COCO JSON file to write.", "--out -o FILE", default=...),
    policy: str = option(
        "Class policy: default, paper, bdd100k, identity, or a YAML file.", "NAME|FILE", default="default"
    ),
    unknown: Literal["stop", "drop"] | None = option(
        "Action at class names that the policy lacks.", of="labels.convert:convert"
    ),
    bdd_inclusive: bool = flag("Compute BDD100K widths as x2 - x1 + 1, as its own converter does.", "--bdd-inclusive"),
    images: Path | None = option("Folder of the images, for labels without sizes or file suffixes.", "DIR"),
    listing: Path | None = option(
        "List of the labelled images in --images to write, for 'nirgen translate --list'.", "--list FILE"
    ),
    size: str | None = option("Height and width of images whose size nothing states, in pixels.", "HxW"),
    boxes: Literal["xywh", "xyxy"] | None = option(
        "Meaning of COCO boxes: x, y, width, height, or x1, y1, x2, y2.", of="labels.convert:convert"
    ),
    outlines: Literal["refuse", "box"] | None = option(
        "Action at YOLO's oriented boxes and segments: refuse, or take the box around each.",
        of="labels.convert:convert",
    ),
    drop_duplicates: bool = flag("Drop the later of two boxes of one class with an IoU over 0.9.", "--drop-duplicates"),
    as_json: bool = options.AS_JSON,
) -> None:
    """Convert labels to one COCO detection file.

    Reads labels of any known format, maps their classes by a policy, and prints what became of each class. Images
    without a label entry are listed apart from images without objects. docs/formats.md has the rules.

    \b
    Examples:
      nirgen labels bdd100k/det_train.json -o bdd.json
      nirgen labels train=voc/train val=voc/val -o voc.json --policy identity
      nirgen labels bdd.json -o labels.json --images photos --list labelled.txt
    """
    pixels = options.parse_size(size)
    refuse(listing is not None and images is None, "--list goes with --images, whose labelled images it lists")
    announce("reading labels", quiet=as_json)
    from nirgen.labels import Policy, Source, convert

    sources = [Source.parse(text) for text in inputs]
    target = out.resolve()
    for path in (source.path for source in sources):
        if target == path.resolve() or (path.is_dir() and target.is_relative_to(path.resolve())):
            raise OutputError(f"{out}: lies in the input {path}; name another file")
    chosen = Policy.load(policy)
    with progress("nothing was written") as report:
        document = convert(
            sources,
            chosen,
            **options.given(unknown=unknown, boxes=boxes, outlines=outlines),
            drop_duplicates=drop_duplicates,
            bdd_inclusive=bdd_inclusive,
            images=images,
            size=pixels,
            progress=report,
        )
        if listing is not None and images is not None:
            _write_list(listing, images, document, sources[0].path)
        written = document.write(out)
    if as_json:
        written.check()
        echo_text(json.dumps(document.counts))
        return
    _print_names(document.counts["names"])
    _print_events(document.counts)
    _print_forms(document.counts)
    for note in document.counts["notes"]:
        echo(f"note: {note}", err=True)
    written.check()
    verdict = f"{out}: {_summary(document.counts)}; policy {document.policy}"
    conclude(verdict, then=["build-dataset", "NIR", out, "DATASET"])


def _write_list(listing: Path, images: Path, document: Document, labels: Path) -> None:
    """Write the labelled images, one a line; `labels` is named in errors."""
    from nirgen.dataset.entries import labelled_images
    from nirgen.files import write_output

    entries = [entry.file_name for entry in document.entries if entry.annotations is not None]
    names = labelled_images(images, entries, labels)
    write_output(listing, (f"{name}\n".encode(errors="surrogateescape") for name in names))


def _print_names(names: Sequence[Mapping[str, Any]]) -> None:
    dropped = [row for row in names if row["became"] == "dropped"]
    folded = dropped[_LISTED:] if len(dropped) > _LISTED + 1 else []
    rows = [(row["name"], str(row["labels"]), row["became"], str(row["written"])) for row in names if row not in folded]
    if folded:
        rows.append((f"{len(folded)} more names", str(sum(row["labels"] for row in folded)), "dropped", "0"))
    show(("name", "labels", "became", "written"), rows, right=(1, 3), ruled=True)


def _print_events(counts: Mapping[str, Any]) -> None:
    from nirgen.labels.annotations import REPAIRS

    events = {
        "clipped": (counts["clipped"], "boxes cut at the border of their image"),
        **{reason: (count, f"labels left out: {reason}") for reason, count in counts["lost"].items()},
        "duplicates": (counts["duplicates"], "pairs of boxes of one class with an IoU over 0.9"),
        "removed": (counts["duplicates_removed"], "boxes left out for that"),
        "repeated": (counts["repeated_keys"], "labels whose id another one has, which go by their position"),
        **{
            kind: (count, f"boxes drawn around {_FORMS.get(kind, kind + 's')}")
            for kind, count in counts["derived"].items()
        },
        "crowds": (counts["crowds"], "crowds in the source, to be ignored"),
        **{key: (counts[key], text) for key, text in REPAIRS.items()},
    }
    for key, (count, text) in events.items():
        if count:
            example = next(iter(counts["examples"].get(key, [])), None)
            echo(f"{count:7} {text}" + (f", such as {example}" if example else ""))


def _form(kind: str) -> str:
    return _FORMS.get(kind, f"{kind}s")


def _print_forms(counts: Mapping[str, Any]) -> None:
    """Print a line if the labels come in several forms."""
    derived = {kind: count for kind, count in counts["derived"].items() if count}
    forms = {"box": max(0, counts["annotations"] - sum(derived.values())), **derived}
    mixed = [f"{count} {_form(kind)}" for kind, count in forms.items() if count]
    if len(mixed) > 1:
        echo(f"the labels mix {', '.join(mixed[:-1])} and {mixed[-1]}; all became upright boxes")


def _summary(counts: Mapping[str, Any]) -> str:
    ignored = sum(one["ignored"] for one in counts["classes"].values())
    boxes = [f"{one['boxes']} {name}" for name, one in counts["classes"].items() if one["boxes"]]
    if len(boxes) > _LISTED:
        boxes = [
            f"{counted(counts['annotations'] - ignored, 'box', 'boxes')} of {counted(len(boxes), 'class', 'classes')}"
        ]
    return (
        f"{counted(counts['images'], 'image')} ({counts['empty']} empty), {counts['unlabelled']} unlabelled; "
        f"{', '.join(boxes) or 'no boxes'}; {ignored} to ignore"
    )
