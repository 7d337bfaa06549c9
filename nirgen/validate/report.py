"""What a validation found, as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nirgen.validate.findings import count_severities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nirgen.validate.findings import Finding
    from nirgen.validate.loaders import Loaded


@dataclass(frozen=True)
class Extent:
    """How much one annotation file holds.

    Attributes:
        split: What it is called.
        images: Entries.
        boxes: Annotations that are not regions to ignore.
        ignored: Regions to ignore.
    """

    split: str
    images: int
    boxes: int
    ignored: int


@dataclass(frozen=True)
class Report:
    """What a validation found.

    Attributes:
        subject: What was checked: a folder, or the files.
        extents: How much each annotation file holds.
        checked: The groups of checks that ran.
        skipped: Why groups did not run.
        partial: Why groups ran in part only.
        findings: Errors first.
        loaded: What came out of the loaders; empty unless asked for.
    """

    subject: str
    extents: tuple[Extent, ...]
    checked: tuple[str, ...]
    skipped: Mapping[str, str]
    partial: Mapping[str, str]
    findings: tuple[Finding, ...]
    loaded: tuple[Loaded, ...]

    @property
    def exit_code(self) -> int:
        """1 if there are errors."""
        return 1 if count_severities(self.findings)["error"] else 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "subject": self.subject,
            "exit_code": self.exit_code,
            "counts": count_severities(self.findings),
            "splits": [
                {"split": each.split, "images": each.images, "boxes": each.boxes, "ignored": each.ignored}
                for each in self.extents
            ],
            "checked": list(self.checked),
            "skipped": dict(self.skipped),
            "partial": dict(self.partial),
            "findings": [finding.as_dict() for finding in self.findings],
            "train_ready": [each.as_dict() for each in self.loaded],
        }
