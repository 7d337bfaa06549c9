from __future__ import annotations

from nirgen.validate.findings import Findings, count_severities


def test_equal_checks_are_counted_together_and_keep_three_examples() -> None:
    findings = Findings()
    findings.add_all("zero-id", [1, 2], lambda place: f"a {place}")
    findings.add("zero-id", "b 1", "b 2")
    (finding,) = findings.sorted()
    assert (finding.count, finding.examples) == (4, ("a 1", "a 2", "b 1"))


def test_only_examples_are_put_into_words() -> None:
    described: list[int] = []
    Findings().add_all("zero-id", range(1000), lambda place: str(described.append(place)))
    assert described == [0, 1, 2]


def test_errors_come_before_warnings_and_notes() -> None:
    findings = Findings()
    for check in ("wide-ids", "tiny-box", "zero-entry-id", "missing-file"):
        findings.add(check, "somewhere")
    found = findings.sorted()
    assert [finding.check for finding in found] == ["missing-file", "zero-entry-id", "tiny-box", "wide-ids"]
    assert count_severities(found) == {"error": 1, "warning": 2, "note": 1}


def test_nothing_is_no_finding() -> None:
    findings = Findings()
    findings.add_all("zero-id", [], str)
    assert findings.sorted() == ()
