"""What was found, gathered by check: how often, where for example, and how bad that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nirgen.validate.checks import CHECKS, GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from nirgen.validate.check import Check, Severity

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
