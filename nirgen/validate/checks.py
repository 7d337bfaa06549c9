"""What is looked for: every check by its name, with what breaks otherwise and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nirgen.validate.annotation_checks import ANNOTATION_CHECKS
from nirgen.validate.dataset_checks import DATASET_CHECKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nirgen.validate.check import Check

GROUPS: Mapping[str, str] = {
    "structure": "ids, references, keys and classes",
    "boxes": "boxes, areas and segmentations",
    "files": "names and image files",
    "splits": "images, copies and sequences across splits",
    "lineage": "what trained the generator against what judges the detector",
    "provenance": "provenance.parquet against the annotations",
    "formats": "YOLO, Hugging Face and rfdetr forms against the annotations",
    "train-ready": "loading with pycocotools, torchvision and transformers",
}
"""The groups of checks, in the order in which they run."""

CHECKS: Mapping[str, Check] = {**ANNOTATION_CHECKS, **DATASET_CHECKS}
"""Every check, by the name that findings bear; in the order of the groups."""
