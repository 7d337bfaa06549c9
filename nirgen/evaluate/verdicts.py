"""Verdicts and comparisons of an evaluation in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nirgen.evaluate.measures import MEASURES
from nirgen.evaluate.methods import BASELINE
from nirgen.evaluate.summary import VERDICT_BY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nirgen.evaluate.summary import Comparison, Subset


NOTHING = "–"


def sentences(subset: Subset) -> list[str]:
    """Return a sentence on the best of several methods, then one on each against the baseline `grey`.

    Without that baseline, a sentence says so.
    """
    where = "these images" if subset.name == "all" else f"the images '{subset.name}'"
    said = []
    for each in subset.verdicts:
        how = "undecided against" if each.verdict == "undecided" else f"{each.verdict} than"
        measure, estimate = MEASURES[VERDICT_BY], each.difference
        ends = (estimate.value, estimate.low, estimate.high)
        value, low, high = (number(end, measure.decimals, "+") for end in ends)
        interval = ", no interval" if estimate.low is None else f" [{low}, {high}]"
        said.append(f"{each.method} is {how} {each.other} on {where} ({measure.title} {value} dB{interval})")
    missing = [f"no verdict: the baseline {BASELINE} needs the photos; name their folder with --rgb"]
    return [*_ranking(subset, where), *(said or missing)]


def _ranking(subset: Subset, where: str) -> list[str]:
    """Return the sentence on the best of several methods; nothing for one."""
    if not subset.ranking:
        return []
    measure = MEASURES[VERDICT_BY]
    others = _by_verdict(subset.ranking, {"better": "better than", "undecided": "not told apart from"})
    first, count = subset.ranking[0].method, len(subset.ranking) + 1
    best = next(row.estimates[VERDICT_BY].value for row in subset.rows if row.method == first)
    value = f"{number(best, measure.decimals)} dB"
    if all(each.verdict == "better" for each in subset.ranking):
        return [f"{first} is the best of {count} on {where} ({measure.title} {value}): {others}"]
    return [f"{first} has the highest {measure.title} of {count} on {where} ({value}): {others}"]


def _by_verdict(comparisons: Sequence[Comparison], words: Mapping[str, str], *, other: bool = True) -> str:
    """Return the names of methods after the words of their verdict, such as `better than a, b; worse than c`."""
    groups = {
        verdict: [each.other if other else each.method for each in comparisons if each.verdict == verdict]
        for verdict in words
    }
    return "; ".join(f"{words[verdict]} {', '.join(names)}" for verdict, names in groups.items() if names)


def brief_sentences(subset: Subset) -> list[str]:
    """Return the verdicts; those on several methods against the baseline in one sentence, without numbers."""
    every = sentences(subset)
    if len(subset.verdicts) < 2:
        return every
    words = {"better": "better than", "undecided": "not told apart from", "worse": "worse than"}
    words = {verdict: f"{text} {BASELINE}:" for verdict, text in words.items()}
    return [*every[: len(every) - len(subset.verdicts)], _by_verdict(subset.verdicts, words, other=False)]


def differences(subset: Subset) -> list[tuple[str, str, list[tuple[str, str, str]]]]:
    """Return the comparisons as (method, other, [(measure, difference with interval, verdict)])."""
    found: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for each in subset.comparisons:
        measure, estimate = MEASURES[each.measure], each.difference
        ends = (estimate.value, estimate.low, estimate.high)
        value, low, high = (number(end, measure.decimals, "+") for end in ends)
        text = f"{value} (no interval)" if estimate.low is None else f"{value} [{low}, {high}]"
        found.setdefault((each.method, each.other), []).append((measure.title, text, each.verdict))
    return [(method, other, entries) for (method, other), entries in found.items()]


def number(value: float | None, decimals: int, sign: str = "") -> str:
    """Return a number for a table: `NOTHING` for None, with a sign in front for the sign `+`."""
    if value is None:
        return NOTHING
    if np.isfinite(value):
        return f"{value:{sign}.{decimals}f}"
    return f"{sign}∞" if value > 0 else "-∞"
