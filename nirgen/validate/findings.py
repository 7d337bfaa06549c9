"""Findings of a validation, counted by check, and the report that holds them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nirgen.validate.checks import CHECKS, GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from nirgen.validate.checks import Check, Severity


EXAMPLES = 3
_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """Something that one check found.

    Attributes:
        check: A key of `CHECKS`.
        count: How often.
        examples: The first few places, in words.
    """

    check: str
    count: int
    examples: tuple[str, ...]

    @property
    def about(self) -> Check:
        """What the check looks for."""
        return CHECKS[self.check]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "severity": self.about.severity,
            "check": self.check,
            "count": self.count,
            "finds": self.about.finds,
            "breaks": self.about.breaks,
            "remedy": self.about.remedy,
            "examples": list(self.examples),
        }


class Findings:
    """Gathers findings while checks run; equal checks are counted together, and keep their first examples."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}
        self._skipped: dict[str, str] = {}
        self._partial: dict[str, str] = {}

    def add(self, check: str, *examples: str) -> None:
        """Note places, each of which counts once.

        Args:
            check: A key of `CHECKS`.
            examples: The places, in words.
        """
        self.add_all(check, examples, str)

    def add_all(self, check: str, places: Sequence[Any] | Any, describe: Callable[[Any], str]) -> None:
        """Note many places, of which only the first few are put into words.

        Args:
            check: A key of `CHECKS`.
            places: The places, such as an array of positions.
            describe: Puts one of them into words.
        """
        assert check in CHECKS
        if len(places) == 0:
            return
        self._counts[check] = self._counts.get(check, 0) + len(places)
        examples = self._examples.setdefault(check, [])
        examples.extend(describe(place) for place in places[: EXAMPLES - len(examples)])

    def skip(self, group: str, why: str, *, partly: bool = False) -> None:
        """Note that a group of checks could not run.

        Args:
            group: A key of `GROUPS`.
            why: The reason and the remedy.
            partly: Whether some of its checks did run.
        """
        assert group in GROUPS
        (self._partial if partly else self._skipped).setdefault(group, why)

    @property
    def skipped(self) -> Mapping[str, str]:
        """Why groups could not run at all, in the order of the groups."""
        return {group: self._skipped[group] for group in GROUPS if group in self._skipped}

    @property
    def partial(self) -> Mapping[str, str]:
        """Why groups could run in part only, in the order of the groups."""
        return {group: self._partial[group] for group in GROUPS if group in self._partial}

    def sorted(self) -> tuple[Finding, ...]:
        """All findings: errors, warnings, notes, each in the order of `CHECKS`."""
        names = [check for check in CHECKS if check in self._counts]
        found = [Finding(check, self._counts[check], tuple(self._examples[check])) for check in names]
        return tuple(sorted(found, key=lambda finding: _SEVERITIES.index(finding.about.severity)))


def count_severities(findings: Iterable[Finding]) -> dict[Severity, int]:
    """How many checks of each severity found something."""
    severities = [finding.about.severity for finding in findings]
    return {severity: severities.count(severity) for severity in _SEVERITIES}


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


Counts = Counter[str]
"""Images, boxes of each class, and regions to ignore, by `IMAGES`, `<id> <name>` and `CROWD`."""


@dataclass(frozen=True)
class Loaded:
    """What came out of one annotation file.

    Attributes:
        split: Its split.
        expected: What it holds, images first, then classes in the order of their ids, then regions to ignore.
        got: What each loader gave; a loader that could not be tried isn't there.
    """

    split: str
    expected: Counts
    got: Mapping[str, Counts]

    def wanted(self, loader: str, what: str) -> int:
        """How many a loader should give: transformers drops regions to ignore."""
        return 0 if loader == "transformers" and what == CROWD else self.expected[what]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "split": self.split,
            "expected": dict(self.expected),
            **{loader: {what: self.got[loader][what] for what in self.expected} for loader in self.got},
        }


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


IMAGES = "images"
CROWD = "regions to ignore"
