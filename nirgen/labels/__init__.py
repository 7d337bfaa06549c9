"""Labels of RGB and NIR images: reading what data sets have, choosing classes, the labels file."""

from nirgen.labels.convert import convert
from nirgen.labels.file import Category, LabelFile, LabelledImage, annotation, box_counts
from nirgen.labels.opening import open_labels
from nirgen.labels.policy import Policy
from nirgen.labels.sources import Source

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
