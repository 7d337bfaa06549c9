"""Validation of detection datasets: structure, boxes, files, splits, lineage, and the loaders' view."""

from nirgen.validate.findings import Report
from nirgen.validate.run import Options, validate, validate_coco, validate_dataset

__all__ = ["Options", "Report", "validate", "validate_coco", "validate_dataset"]
