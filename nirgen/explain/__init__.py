"""From a box or an image of a dataset back to its source label, its source image, its model, and every step between.

`provenance.parquet` answers; its row groups are in the order of keys and ids, so only those that hold the answer are
read. What the annotation itself says comes from its one line in the COCO file.
"""

from nirgen.explain.explanation import Explanation
from nirgen.explain.trace import explain

__all__ = ["Explanation", "explain"]
