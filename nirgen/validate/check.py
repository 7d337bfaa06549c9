"""One thing that can be wrong with a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]

CONVERT = "convert the file with 'nirgen labels'"
REBUILD = "build the dataset again with 'nirgen build-dataset'"
"""Remedies that several checks have."""


@dataclass(frozen=True)
class Check:
    """One thing that can be wrong.

    Attributes:
        group: A key of `checks.GROUPS`.
        severity: `error`, training or judging goes wrong; `warning`, it may; `note`, worth knowing.
        finds: What such a finding counts.
        breaks: What goes wrong otherwise.
        remedy: What to do.
    """

    group: str
    severity: Severity
    finds: str
    breaks: str
    remedy: str
