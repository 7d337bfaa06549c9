"""Results of adaptations: the learning curve, what was done, and what to take."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from nirgen.adapt.scores import Scores
from nirgen.errors import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nirgen.adapt.config import What

SCHEMA = 1
_TAKEN = {
    "adapted": "the adapted model",
    "start": "the old model",
    "linear": "the linear map (nirgen train linear)",
    "trees": "the trees (nirgen train trees)",
    "grey": "plain grey",
}


@dataclass(frozen=True)
class Point:
    """A row of the learning curve."""

    pairs: int  # that each fit learned from
    method: Literal["grey", "start", "adapted", "linear", "trees"]
    scores: Scores  # means over all pairs, each held out


@dataclass(frozen=True)
class Verdict:
    """The result of an adaptation to pairs."""

    fingerprint: str  # of start model, pairs and settings
    outcome: Literal["adapted", "no gain", "several cameras"]
    what: What  # weights that changed, or came nearest to a gain
    steps: int
    folds: int
    curve: list[Point]
    gains: dict[str, float]  # dB, of each pair when held out, by split and name
    cameras: tuple[tuple[str, ...], ...] = ()  # names of the pairs of each apparent camera; empty if there is one
    known: int = 0  # pairs that the start was trained on already

    @property
    def adapted(self) -> bool:
        """True if the model was adapted; False if the old one was kept."""
        return self.outcome == "adapted"

    def withdrawn(self) -> Self:
        """Return the verdict of keeping the old model after all."""
        return replace(self, outcome="no gain")

    def point(self, method: str) -> Point:
        """Return the last point of a method, the one of the most pairs."""
        return [point for point in self.curve if point.method == method][-1]

    @property
    def best(self) -> str:
        """The method with the best score; the adapted model counts if it was kept, the old one if not."""
        methods = ("adapted" if self.adapted else "start", "grey", "linear", "trees")
        return max(methods, key=lambda method: self.point(method).scores.total)

    def lines(self) -> list[str]:
        """Return the result in words: what was done, several cameras, and what to take."""
        start, adapted = self.point("start").scores, self.point("adapted").scores
        change = (
            f"held-out pairs: {start.psnr_affine:.2f} -> {adapted.psnr_affine:.2f} dB after gain and offset, "
            f"{start.psnr:.2f} -> {adapted.psnr:.2f} dB as they are"
        )
        lines = [f"no gain: kept the old one ({change})"]
        if self.adapted:
            lines = [f"adapted ({self.what}, {counted(self.steps, 'step')}); {change}"]
        elif self.outcome == "several cameras":
            lines = [f"no gain: kept the old one, since one of several cameras would lose ({change})"]
        if self.cameras:
            groups = "; ".join(", ".join(group) for group in self.cameras)
            lines.append(f"the pairs look like several cameras: adapt to each apart ({groups})")
        if self.known:
            lines.append(f"the old model was trained on {self.known} of these pairs, so its scores flatter it")
        totals = ", ".join(f"{point.method} {point.scores.total:.2f}" for point in map(self.point, _TAKEN))
        taken = f"take {_TAKEN[self.best]}"
        if self.outcome == "several cameras":
            taken = "what to take is open until each camera has an adaptation of its own"
        return [*lines, f"{taken} (mean of both PSNRs, dB: {totals})"]

    def plain(self) -> dict[str, Any]:
        """Return plain values."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Build from the values of `plain`."""
        given = {name: value for name, value in values.items() if name != "schema"}
        points = [Point(one["pairs"], one["method"], Scores(**one["scores"])) for one in given["curve"]]
        return cls(**given | {"curve": points, "cameras": tuple(map(tuple, given["cameras"]))})


def curve_csv(curve: Sequence[Point]) -> str:
    """Return a learning curve as CSV."""
    with io.StringIO(newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["pairs", "method", *(field.name for field in fields(Scores))])
        for point in curve:
            writer.writerow([point.pairs, point.method, *(f"{value:.4f}" for value in asdict(point.scores).values())])
        return text.getvalue()


@dataclass(frozen=True)
class ToneVerdict:
    """The result of an adaptation to NIR images without partners."""

    fingerprint: str  # of start model, images and settings
    outcome: Literal["adapted", "no gain"]
    what: What
    steps: int
    before: float  # distance of the tones of held-out photos' translations from held-out NIR images, grey levels
    after: float  # the same for the fitted model
    photos: int
    nirs: int
    classes: tuple[int, ...]  # of the masks, with a tone curve of their own

    @property
    def adapted(self) -> bool:
        """True if the model was adapted; False if the old one was kept."""
        return self.outcome == "adapted"

    def lines(self) -> list[str]:
        """Return the result in words."""
        change = f"distance of tones on held-out images: {self.before:.1f} -> {self.after:.1f} levels of 255"
        first = (
            f"adapted (tones alone, {counted(self.steps, 'step')}); {change}"
            if self.adapted
            else (f"no gain: kept the old one ({change})")
        )
        classes = f"; curves of their own: classes {', '.join(map(str, self.classes))}" if self.classes else ""
        return [
            f"{first}{classes}",
            "no pair says whether the images are right: brightness and contrast were matched, not content",
        ]

    def plain(self) -> dict[str, Any]:
        """Return plain values."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Build from the values of `plain`."""
        given = {name: value for name, value in values.items() if name != "schema"}
        return cls(**given | {"classes": tuple(given["classes"])})
