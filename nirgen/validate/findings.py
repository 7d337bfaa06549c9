"""Findings of a validation, counted by check, and the report of them all."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nirgen.validate.checks import CHECKS, GROUPS, SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from nirgen.validate.checks import Check, Severity


EXAMPLES = 3
IMAGES = "images"
CROWD = "regions to ignore"
Counts = Counter[str]
"""Numbers of images (`IMAGES`), of boxes of each class (`<id> <name>`) and of regions to ignore (`CROWD`)."""


@dataclass(frozen=True)
class Finding:
    """The faults that one check found."""

    check: str  # a key of `CHECKS`
    count: int
    examples: tuple[str, ...]  # descriptions of the first `EXAMPLES` faults

    @property
    def about(self) -> Check:
        """The check."""
        return CHECKS[self.check]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        about = {name: getattr(self.about, name) for name in ("finds", "breaks", "remedy")}
        named = {"severity": self.about.severity, "check": self.check, "count": self.count}
        return {**named, **about, "examples": list(self.examples)}


class Findings:
    """Collector of faults: counts them by check, keeps the first examples of each."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}
        self._skipped: dict[bool, dict[str, str]] = {False: {}, True: {}}

    def add(self, check: str, *examples: str) -> None:
        """Count one fault for each description."""
        self.add_all(check, examples, str)

    def add_all(self, check: str, faults: Sequence[Any] | Any, describe: Callable[[Any], str]) -> None:
        """Count many faults, such as an array of positions; `describe` is called for the first few only."""
        assert check in CHECKS
        self._counts[check] += len(faults)
        examples = self._examples.setdefault(check, [])
        examples.extend(describe(fault) for fault in faults[: EXAMPLES - len(examples)])

    def add_counted(self, check: str, count: int, examples: Sequence[str]) -> None:
        """Count many faults of which only the first are described."""
        self.add_all(check, examples, str)
        self._counts[check] += count - len(examples)

    def skip(self, group: str, why: str, *, partly: bool = False) -> None:
        """Record that a group of checks did not run, or only partly; the first reason given for a group is kept."""
        assert group in GROUPS
        self._skipped[partly].setdefault(group, why)

    def skipped(self, *, partly: bool = False) -> dict[str, str]:
        """Return the reasons of the groups that did not run, or that ran only partly."""
        return {group: self._skipped[partly][group] for group in GROUPS if group in self._skipped[partly]}

    def sorted(self) -> tuple[Finding, ...]:
        """Return the findings by severity, then in the order of `CHECKS`."""
        names = [check for check in CHECKS if self._counts[check]]
        found = [Finding(check, self._counts[check], tuple(self._examples[check])) for check in names]
        return tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.about.severity)))


def count_severities(findings: Iterable[Finding]) -> dict[Severity, int]:
    """Return the number of findings of each severity."""
    severities = [finding.about.severity for finding in findings]
    return {severity: severities.count(severity) for severity in SEVERITIES}


@dataclass(frozen=True)
class Extent:
    """Numbers of images, boxes and regions to ignore in one annotation file."""

    split: str
    images: int
    boxes: int
    ignored: int


@dataclass(frozen=True)
class Loaded:
    """Counts of one annotation file as the loaders give them."""

    split: str
    expected: Counts  # of the file: images, classes in the order of their ids, regions to ignore
    got: Mapping[str, Counts]  # by loader; a loader that could not be tried is absent

    def wanted(self, loader: str, what: str) -> int:
        """Return the count that a loader should give; transformers drops regions to ignore."""
        return 0 if loader == "transformers" and what == CROWD else self.expected[what]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "split": self.split,
            "expected": dict(self.expected),
            **{loader: {what: counts[what] for what in self.expected} for loader, counts in self.got.items()},
        }


@dataclass(frozen=True)
class Report:
    """The result of a validation."""

    subject: str  # the folder, or the annotation files
    extents: tuple[Extent, ...]  # of the annotation files
    checked: tuple[str, ...]  # groups of checks that ran
    skipped: Mapping[str, str]  # groups that did not run, with the reason
    partial: Mapping[str, str]  # groups that ran only partly, with the reason
    findings: tuple[Finding, ...]  # errors first
    loaded: tuple[Loaded, ...]  # empty unless asked for

    @property
    def exit_code(self) -> int:
        """1 if there are errors, else 0."""
        return 1 if count_severities(self.findings)["error"] else 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "subject": self.subject,
            "exit_code": self.exit_code,
            "counts": count_severities(self.findings),
            "splits": [asdict(extent) for extent in self.extents],
            "checked": list(self.checked),
            "skipped": dict(self.skipped),
            "partial": dict(self.partial),
            "findings": [finding.as_dict() for finding in self.findings],
            "train_ready": [each.as_dict() for each in self.loaded],
        }
