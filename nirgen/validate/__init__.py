"""Whether a detection dataset is sound: structure, boxes, files, splits, lineage, and what loaders make of it."""

from nirgen.validate.findings import Report
from nirgen.validate.run import Options, validate_coco, validate_dataset

__all__ = ["Options", "Report", "validate_coco", "validate_dataset"]
