"""The checks by name: severity, what each finds, what breaks otherwise, and the remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

CONVERT = "convert the file with 'nirgen labels'"
REBUILD = "build the dataset again with 'nirgen build-dataset'"

GROUPS: Mapping[str, str] = {
    "structure": "ids, references, keys and classes",
    "boxes": "boxes, areas and segmentations",
    "files": "names and image files",
    "splits": "images, copies and sequences across splits",
    "lineage": "training data of the generators against validation and test",
    "train-ready": "loading with pycocotools, torchvision and transformers",
}
"""Titles of the groups of checks, in the order in which they run."""


@dataclass(frozen=True)
class Check:
    """One kind of fault."""

    group: str  # a key of `GROUPS`
    severity: Severity  # error: training or evaluation goes wrong; warning: it may; note: worth knowing
    finds: str  # plural, as the finding's count precedes it
    breaks: str
    remedy: str


# fmt: off
CHECKS: Mapping[str, Check] = {
    "lax-json": Check(
        "structure", "error", "files with NaN, Infinity or a byte order mark (not valid JSON)",
        "only Python's reader takes them", "fix or remove the values; in boxes they are counted below"),
    "missing-key": Check(
        "structure", "error", "entries without a key that readers need",
        "pycocotools raises KeyError without area and iscrowd, mmdet without width and height", CONVERT),
    "bad-id": Check(
        "structure", "error", "ids that are not integers from 0 to 2^53",
        "tensors hold integers: text and fractions stop the loaders or lose the reference",
        f"number from 1; {CONVERT}"),
    "zero-id": Check(
        "structure", "error", "annotations whose id is 0",
        "COCOeval takes them for unmatched: three perfect boxes have AP 0.44", f"number from 1; {CONVERT}"),
    "zero-entry-id": Check(
        "structure", "warning", "images and categories whose id is 0",
        "CVAT refuses such images; class 0 is the background of torchvision's detectors", f"number from 1; {CONVERT}"),
    "duplicate-id": Check(
        "structure", "error", "entries whose id another entry has",
        "readers keep the last of them", f"renumber; {CONVERT}"),
    "wide-ids": Check(
        "structure", "note", "lists whose ids go beyond 2^31, or leave over 1000 numbers free for each used one",
        "some tools allocate by the largest id, or keep ids in 32 bits",
        "nothing, if your tools take them; 'nirgen labels' numbers from 1"),
    "no-image": Check(
        "structure", "error", "annotations of images that have no entry",
        "readers fail, or lose the boxes", "restore the entries, or remove the annotations"),
    "no-category": Check(
        "structure", "error", "annotations of categories that have no entry",
        "readers fail, or lose the boxes", "restore the entries, or remove the annotations"),
    "duplicate-file": Check(
        "structure", "error", "image entries that name a file which another entry names",
        "each holds a part of the boxes, so the others count as background", "merge the entries"),
    "bad-size": Check(
        "structure", "error", "images whose width or height is not a positive integer",
        "boxes can't be scaled or clipped", "write the upright size of the file"),
    "bad-box": Check(
        "structure", "error", "boxes that are not four finite numbers",
        "losses become NaN, or the loader stops", "remove these annotations"),
    "bad-crowd": Check(
        "structure", "error", "annotations whose iscrowd is neither 0 nor 1",
        "readers don't agree on what it means", "write 0, or 1 for a region to ignore"),
    "bad-area": Check(
        "structure", "error", "areas that are not positive numbers",
        "mmdet drops the box, COCOeval judges it in no size range", "write width * height, or the area of the mask"),
    "bad-category": Check(
        "structure", "error", "categories without a name, or with another category's",
        "frameworks choose classes by name: with two of one name, one is never learnt",
        "give each category a name of its own"),
    "category-gaps": Check(
        "structure", "note", "files whose category ids are not 1 to N in order",
        "detectors differ in how they number classes (80 or 91, from 0 or from 1)",
        "nothing, if your detector maps ids; 'nirgen labels' numbers from 1"),
    "category-order": Check(
        "structure", "error", "files of a nirgen dataset whose categories are not those of dataset.json, in its order",
        "the ready configurations and the labels disagree on what a class is", REBUILD),
    "categories-differ": Check(
        "structure", "error", "files whose categories differ from the first file's",
        "the detector is evaluated on other classes than it was trained on",
        "convert them with one policy of 'nirgen labels'"),
    "policy-classes": Check(
        "structure", "error", "categories that the dataset's policy does not have, or has elsewhere in its order",
        "class 2 of one dataset is class 3 of another", REBUILD),
    "shadowed-category": Check(
        "structure", "warning", "categories without boxes whose name is another category's supercategory",
        "rfdetr removes them, and the classes behind them move up", "rename the supercategory"),
    "empty-category": Check(
        "structure", "note", "categories without a single box",
        "their AP is undefined (-1), and a detector can't learn them", "add images that show them, if they matter"),
    "empty-images": Check(
        "structure", "note", "images without boxes, which train as background",
        "if they are unlabelled, they teach that objects are background",
        "check that they show no objects"),
    "degenerate-box": Check(
        "boxes", "error", "boxes of no or negative width or height",
        "torchvision's detectors stop, other losses become NaN", "remove them; 'nirgen labels' does and counts them"),
    "tiny-box": Check(
        "boxes", "warning", "boxes under 1 px wide or high",
        "mmdet drops them, others do not", "remove them, or mark them with iscrowd 1"),
    "outside-box": Check(
        "boxes", "error", "boxes that lie outside of their image",
        "mmdet drops them, augmentations stop, losses become NaN",
        "remove them; check that boxes and images have the same scale"),
    "overhanging-box": Check(
        "boxes", "error", "boxes that reach over 1 px beyond their image",
        "albumentations stops, and a detector learns objects where no pixels are", "clip them; 'nirgen labels' does"),
    "edge-box": Check(
        "boxes", "note", "boxes that reach up to 1 px beyond their image",
        "albumentations stops at them unless it clips", "clip them; 'nirgen labels' does"),
    "area-mismatch": Check(
        "boxes", "warning",
        "areas that do not fit their box: not width * height without a mask, or more than that with one",
        "COCOeval sorts by area into small, medium and large, so their AP is of other objects",
        "write width * height, or the area of the mask"),
    "same-boxes": Check(
        "boxes", "warning", "pairs of boxes of one class in one image with an IoU over 0.9",
        "one object counted twice: at most one of them can be found",
        "remove one of each; 'nirgen labels' has an option for it"),
    "bad-segmentation": Check(
        "boxes", "error", "segmentations that can't be decoded",
        "pycocotools fails on them, or draws another mask",
        "remove the key, or write polygons or RLE of the image's size"),
    "strayed-segmentation": Check(
        "boxes", "warning", "polygons whose extent has an IoU under 0.5 with their box",
        "one of both was moved or scaled without the other", "scale both, or remove the polygons"),
    "unsafe-name": Check(
        "files", "error", "file names that are absolute, or have '..', a backslash or a drive letter",
        "they lead out of the dataset, or to nothing on another system; such files are not opened",
        "write paths relative to the images' folder, with '/'"),
    "missing-file": Check(
        "files", "error", "images that are not there",
        "training stops in the middle of an epoch", "restore them, or name their folder with --images"),
    "damaged-image": Check(
        "files", "error", "images that can't be decoded",
        "training stops in the middle of an epoch", "copy them again, or remove their entries"),
    "size-differs": Check(
        "files", "error", "images that are not as large as their entry says",
        "boxes lie elsewhere once a loader scales by the entry",
        "write the upright size of the file; check that the boxes fit it"),
    "turned-image": Check(
        "files", "error", "images that their EXIF data turns or mirrors",
        "torchvision and transformers ignore it, OpenCV doesn't: half of the loaders misplace the boxes",
        "store them upright: in a nirgen dataset, build it with --codec png"),
    "deep-image": Check(
        "files", "warning", "images with 16 bits a sample",
        "loaders clip them to 8 bits, so nearly everything is white",
        "store 8 bits: in a nirgen dataset, build it with --codec png"),
    "coloured-image": Check(
        "files", "warning", "real images of a nirgen dataset that are in colour, which NIR isn't",
        "a detector is trained, or judged, on photos in place of NIR images",
        "give the NIR images, and build without --allow-colour"),
    "changed-image": Check(
        "files", "error", "images that are not the ones that the dataset was built with",
        "their content and their boxes may not match", REBUILD),
    "changed-file": Check(
        "files", "error", "other files of the dataset that are gone, or are not as they were built",
        "labels and provenance differ from the dataset's record",
        f"{REBUILD}; change labels with 'nirgen browse'"),
    "edited-file": Check(
        "files", "note", "configurations and cards that are not as they were built",
        "nothing, if you edited them", "nothing, if you edited them"),
    "stray-file": Check(
        "files", "warning", "images in the dataset's folder that no annotation file names",
        "a tool that lists the folder takes them for images without objects", "remove them"),
    "mixed-codecs": Check(
        "files", "warning", "splits whose generated and real images have different codecs",
        "a detector can tell real from generated by the compression alone", "build with --codec png"),
    "mixed-channels": Check(
        "files", "warning", "splits whose generated and real images have different numbers of channels",
        "a detector can tell real from generated by the channels alone", "build with --channels 1 or --channels 3"),
    "split-file": Check(
        "splits", "error", "image files that are in two splits",
        "the detector is evaluated on training data", "remove them from one split"),
    "split-copy": Check(
        "splits", "error", "images with the bytes of one in another split",
        "the detector is evaluated on training data", "remove them from one split"),
    "split-near-copy": Check(
        "splits", "error", "images that look like one of another split",
        "the detector is evaluated on slightly altered training data",
        "remove them from one split, or build with --allow-leak to accept them"),
    "split-sequence": Check(
        "splits", "error", "sequences with frames in training and in validation or test",
        "neighbouring frames show the same objects: results are too good",
        "split by sequence, or build with --allow-leak to accept them"),
    "generated-judge": Check(
        "splits", "error", "generated images in validation or test",
        "the detector is evaluated on generated images, not on camera images",
        "keep generated images in training"),
    "leak": Check(
        "lineage", "error",
        "images in validation or test that trained the generator, or whose RGB source is in training",
        "generated training images contain evaluation data",
        "move them to training, or build with --allow-leak to accept them"),
    "agreed-leak": Check(
        "lineage", "warning", "leaks that the dataset was built with, by --allow-leak",
        "results are too good", "state it with the results, or build without --allow-leak"),
    "loader-fails": Check(
        "train-ready", "error", "images that a loader can't load, or files that it can't read",
        "training stops there", "fix the errors above; each example names the loader"),
    "loader-differs": Check(
        "train-ready", "error", "counts of images, or of the boxes of a class, that a loader doesn't give as expected",
        "the detector trains on other images or boxes than the annotations hold",
        "fix the errors above; the table shows which loader loses what"),
    "loader-missing": Check(
        "train-ready", "error", "loaders that are not installed",
        "loading with them is untested", "pip install 'nirgen[detect]'"),
}
# fmt: on
"""By the name that findings bear, in the order of `GROUPS`."""
