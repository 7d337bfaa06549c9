"""Tables beside the main one, with columns of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from nirgen.evaluate.methods import Kind
    from nirgen.stats import Estimate


@dataclass(frozen=True)
class Column:
    """A column of a supplement."""

    name: str  # in files
    heading: str  # in tables
    decimals: int
    definition: str


@dataclass(frozen=True)
class SupplementRow:
    """A row of a supplement."""

    method: str
    kind: Kind | Literal["reference"]  # reference: what methods are compared with
    estimates: dict[str, Estimate]  # by column; some may be missing
    marks: dict[str, str] = field(default_factory=dict)  # by column: better, worse or undecided against a baseline


@dataclass(frozen=True)
class Supplement:
    """A table beside the main one."""

    name: str  # its key in summary.json
    title: str
    columns: tuple[Column, ...]
    rows: tuple[SupplementRow, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "title": self.title,
            "columns": {column.name: column.definition for column in self.columns},
            "methods": [
                {
                    "method": row.method,
                    "kind": row.kind,
                    "estimates": {
                        name: estimate.as_dict() | ({"verdict": row.marks[name]} if name in row.marks else {})
                        for name, estimate in row.estimates.items()
                    },
                }
                for row in self.rows
            ],
        }
