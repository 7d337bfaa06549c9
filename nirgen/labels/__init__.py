"""Labels of RGB and NIR images: readers of data sets, class policies, the labels file."""

from nirgen.labels.convert import convert, open_labels
from nirgen.labels.file import Category, LabelFile, LabelledImage, annotation, box_counts
from nirgen.labels.frames import Source
from nirgen.labels.policy import Policy

__all__ = [
    "Category",
    "LabelFile",
    "LabelledImage",
    "Policy",
    "Source",
    "annotation",
    "box_counts",
    "convert",
    "open_labels",
]
