"""What a curator decided about a dataset's images and boxes: decisions as a file, merged, compared.

Decisions name images and boxes by their stable keys and know nothing of datasets or databases.
"""

from nirgen.curation.decision import ACTIONS, Action, Bbox, Decision, Difference, Seen, added_key, diff, merge, unite
from nirgen.curation.file import Decisions, encode, read_decisions, write_decisions

__all__ = [
    "ACTIONS",
    "Action",
    "Bbox",
    "Decision",
    "Decisions",
    "Difference",
    "Seen",
    "added_key",
    "diff",
    "encode",
    "merge",
    "read_decisions",
    "unite",
    "write_decisions",
]
