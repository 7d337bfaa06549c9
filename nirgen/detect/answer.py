"""The answer of a comparison: do generated images help this detector, by class and size, and how many of them.

Every number is tested against real images alone, and against grey copies where there are such. One looks at many: the
reference arm's mAP, classes and sizes, and the mAP of each other mix. So p-values are corrected by Holm's method, those
against real images and those against grey each as a family of their own; a verdict needs a corrected p under 0.05.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from nirgen.dataset.read import recorded_inputs
from nirgen.detect.arms import CHOSEN, GREY, REAL
from nirgen.detect.comparison import groups_with_objects
from nirgen.detect.config import NOTHING_LEARNT
from nirgen.detect.noise import holm
from nirgen.detect.power import ALPHA, POWER, judged_keys, rounded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nirgen.detect.arms import Arm
    from nirgen.detect.comparison import Comparison, OfArm
    from nirgen.detect.noise import Measured
    from nirgen.stats import Estimate


Advice = Literal["helps", "grey", "hurts", "undecided", "unknown"]
_MOST_BOXES = 1_000_000  # a difference that takes more is as good as none
_SIZES = {"ap_small": "small boxes", "ap_medium": "medium boxes", "ap_large": "large boxes"}


@dataclass(frozen=True, slots=True)
class Tested:
    """A difference, and its p-value, corrected for looking at many."""

    measured: Measured
    p: float
    looks: int  # numbers that were looked at

    @property
    def estimate(self) -> Estimate:
        """The difference with its interval, which is not corrected."""
        return self.measured.estimate()

    @property
    def sign(self) -> int:
        """1 for a gain, -1 for a loss, 0 for neither."""
        value = self.measured.value or 0.0
        return (value > 0) - (value < 0) if self.p < ALPHA else 0

    @property
    def factor(self) -> float | None:
        """Test images that would likely tell, as a multiple of these, if the difference is as it seems; or None.

        None: of a difference that chance in training hides, so that more seeds are needed.
        """
        found = self.measured
        if found.value is None or found.of_images is None or not found.value:
            return None
        sure = found.quantile(1 - ALPHA / 2 / self.looks) + found.quantile(POWER)
        room = (abs(found.value) / sure) ** 2 - found.of_seeds
        return None if room <= 0 else max(1.0, found.of_images / room)


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer on a number: mAP, AP of a class or of a size."""

    key: str  # such as `ap/car`
    arm: str
    objects: int
    real: Tested | None  # minus real images alone; None if it can't be judged
    grey: Tested | None  # minus grey copies; None without such an arm
    gain: float  # the one that matters
    highest: float  # AP of an arm

    @property
    def title(self) -> str:
        """Its name for people."""
        return "mAP" if self.key == "ap" else _SIZES.get(self.key) or self.key.removeprefix("ap/")

    @property
    def advice(self) -> Advice:
        """The verdict."""
        if self.real is None:
            return "unknown"
        if self.real.sign < 0:
            return "hurts"
        if self.grey is not None and (self.grey.sign < 0 or (self.real.sign > 0 and self.grey.sign <= 0)):
            return "grey"
        return "helps" if self.real.sign > 0 else "undecided"

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.real is None:
            why = f"{self.objects:,} test box{'es' * (self.objects != 1)}"
            why += ", but an AP under 0.01 in every arm" if self.highest < NOTHING_LEARNT else ""
            return f"{self.title}: can't be told ({why})"
        told = "they hurt, leave them out"
        if self.advice != "hurts":
            told = {"helps": self._helps, "grey": self._as_grey}.get(self.advice, self._undecided)()
        return f"{self.title} {interval(self.real.estimate)}: {told}"

    def _helps(self) -> str:
        if self.grey is None:
            return "use them (grey copies weren't tried, and may do as well)"
        return f"use them (generated minus grey {interval(self.grey.estimate)})"

    def _as_grey(self) -> str:
        assert self.grey is not None
        beside = f"(generated minus grey {interval(self.grey.estimate)})"
        if self.grey.sign < 0:
            return f"grey is better {beside}"
        high = self.grey.estimate.high
        close = high is not None and high < self.gain
        return f"{'grey is as good' if close else 'no better than grey, as far as can be told'} {beside}"

    def _undecided(self) -> str:
        assert self.real is not None
        low, high = self.real.estimate.low, self.real.estimate.high
        if low is not None and high is not None and max(-low, high) < self.gain:
            return f"no difference that matters (under {self.gain:g})"
        factor = self.real.factor
        if factor is None:
            return "undecided; more seeds would tell rather than more test boxes"
        more = self.objects * (factor - 1)
        if more > _MOST_BOXES:
            return "undecided, and next to nothing if anything"
        return f"undecided; about {rounded(more):,} more test boxes would tell, if it is as it seems"


@dataclass(frozen=True)
class Answer:
    """The answers on the reference arm's numbers and on the other mixes, and what to do."""

    findings: tuple[Finding, ...]  # of the reference arm: mAP, classes, sizes
    mixes: tuple[Finding, ...]  # mAP of every mix
    chosen: Arm | None  # the mix to use
    command: str | None  # that builds it; None of a mix that scores chose
    advice: Advice
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "advice": self.advice,
            "sentence": self.sentence,
            "arm": self.chosen.name if self.chosen else None,
            "command": self.command,
            "correction": "Holm",
            "findings": [_as_dict(each) for each in self.findings],
            "mixes": [_as_dict(each) for each in self.mixes],
        }


def answer(comparison: Comparison) -> Answer:
    """Answer whether generated images help, from the numbers of all arms."""
    reference = comparison.reference
    mixes = [each for each in comparison.arms if each.arm.advisable]
    keys = judged_keys(comparison.split, comparison.config.bootstrap.draw)
    if len({len(each.runs) for each in mixes}) > 1:  # the reference was chosen by what was found: look at all
        asked = [(each, key) for each in mixes for key in keys]
    else:
        asked = [(reference, key) for key in keys] + [(each, "ap") for each in mixes if each is not reference]
    against = {base: _tested(comparison, asked, base) for base in (REAL, GREY)}
    groups = groups_with_objects(comparison.split, comparison.config.bootstrap.draw)

    def finding(arm: OfArm, key: str) -> Finding:
        place = arm.arm.name, key
        objects = sum(groups[key].values())
        found = against[REAL].get(place), against[GREY].get(place)
        return Finding(key, arm.arm.name, objects, *found, comparison.config.gain, _highest(comparison, key))

    few = [f"ap/{name}" for name in comparison.split.names if f"ap/{name}" not in keys and groups[f"ap/{name}"]]
    findings = tuple(finding(reference, key) for key in [*keys, *few])
    of_mixes = tuple(finding(each, "ap") for each in mixes)
    helping = [each for each, found in zip(mixes, of_mixes, strict=True) if found.advice == "helps"]
    chosen = _least(helping).arm if helping else None
    shown = next(found for found in of_mixes if found.arm == (chosen.name if chosen else reference.arm.name))
    random = chosen is not None and chosen.order is None  # `build-dataset` can sample, but not by scores
    command = build_command(comparison.split.folder, chosen) if chosen and random else None
    return Answer(findings, of_mixes, chosen, command, shown.advice, _sentence(comparison, shown, chosen))


def interval(estimate: Estimate) -> str:
    """Return a difference as text, such as `+0.050 (+0.010 to +0.090)`.

    Example:
        >>> from nirgen.stats import Estimate
        >>> interval(Estimate(0.05, 0.01, 0.09))
        '+0.050 (+0.010 to +0.090)'
    """
    if estimate.value is None:
        return "-"
    ends = "" if estimate.low is None else f" ({estimate.low:+.3f} to {estimate.high:+.3f})"
    return f"{estimate.value:+.3f}{ends}"


def build_command(dataset: Path, arm: Arm) -> str:
    """Return the `nirgen build-dataset` that builds a mix from the inputs of a dataset.

    Of a dataset that doesn't record its inputs, they have names to fill in.
    """
    words = ["nirgen", "build-dataset", "NEW"]
    inputs = recorded_inputs(dataset)
    for origin, given in sorted(inputs.items()):
        flag = "--generated" if "sources" in given else "--real"
        words += [flag, f"{origin}={given.get('folder')}:{given.get('labels')}"]
    words += [] if inputs else ["--generated", "DIR:LABELS", "--real", "DIR:LABELS"]
    return shlex.join([*words, "--generated-per-real", f"{arm.generated / arm.real:.3g}"])


def _tested(comparison: Comparison, asked: Sequence[tuple[OfArm, str]], base: str) -> dict[tuple[str, str], Tested]:
    """Return the differences of arms from another, where they have p-values, by arm and number.

    There are none of what no arm has learnt, or with one seed, for chance in training is unknown then.
    """
    several = any(len(each.runs) > 1 for each in comparison.arms)
    if all(each.arm.name != base for each in comparison.arms) or not comparison.learnt or not several:
        return {}
    found = {(arm.arm.name, key): comparison.difference(arm.arm.name, base).measured[key] for arm, key in asked}
    learnt = {key for key in {key for _, key in asked} if _highest(comparison, key) >= NOTHING_LEARNT}
    known = {place: each for place, each in found.items() if each.p is not None and place[1] in learnt}
    corrected = holm([each.p or 0.0 for each in known.values()])
    return {place: Tested(each, p, len(known)) for (place, each), p in zip(known.items(), corrected, strict=True)}


def _highest(comparison: Comparison, key: str) -> float:
    """Return the highest mean of an arm."""
    return max(each.numbers[key].value or 0.0 for each in comparison.arms)


def _least(helping: Sequence[OfArm]) -> OfArm:
    """Return the mix of the fewest generated images within a standard error of the best one."""
    best = max(helping, key=lambda each: each.numbers["ap"].value or 0.0)
    value, low = best.numbers["ap"].value or 0.0, best.numbers["ap"].low
    error = 0.0 if low is None else (value - low) / 2
    near = [each for each in helping if (each.numbers["ap"].value or 0.0) >= value - error]
    return min(near, key=lambda each: each.arm.generated)


def _sentence(comparison: Comparison, shown: Finding, chosen: Arm | None) -> str:
    """Return what to do, in one sentence or two; `shown` is the mAP of the mix to use, or of the reference arm."""
    if not comparison.learnt or shown.real is None:
        one = comparison.learnt and len(comparison.config.seeds) == 1
        return f"Whether generated images help can't be told{' with one seed: give more --seeds' if one else ''}."
    change = f"mAP {interval(shown.real.estimate)} with '{shown.arm}'"
    if chosen is not None:
        rest = "" if shown.grey is None else f", and {interval(shown.grey.estimate)} against grey copies"
        best = f", those {CHOSEN[chosen.order]} (reject the others, and build with --curation)" if chosen.order else ""
        return f"Use {chosen.generated / chosen.real:.3g} generated images for each real one{best}: {change}{rest}."
    if shown.advice == "hurts":
        return f"Don't use them: they hurt ({change})."
    if shown.advice == "grey":
        assert shown.grey is not None
        beside = interval(shown.grey.estimate)
        what = "do better" if shown.grey.sign < 0 else "do as well, as far as these images can tell"
        return f"No evidence that they beat grey copies of the RGB images, which {what} ({beside}): use those."
    could = shown.real.measured.error
    told = f"No evidence that they help; don't use them ({change})."
    if could is not None:
        least = could * (shown.real.measured.quantile(1 - ALPHA / 2) + shown.real.measured.quantile(POWER))
        if least > comparison.config.gain:
            told += f" These test images and seeds could have shown a gain of {least:.3f}, not one of "
            told += f"{comparison.config.gain:g}."
    return told


def _as_dict(finding: Finding) -> dict[str, Any]:
    def tested(each: Tested | None) -> dict[str, Any] | None:
        return None if each is None else each.estimate.as_dict() | {"p": round(each.p, 6), "looks": each.looks}

    beside = {"minus_real": tested(finding.real), "minus_grey": tested(finding.grey)}
    about = {"key": finding.key, "arm": finding.arm, "objects": finding.objects, "advice": finding.advice}
    return {**about, **beside, "sentence": finding.sentence}
