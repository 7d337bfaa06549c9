"""The adaptation of a model to pairs of a camera: choice of fit, learning curve, verdict, model file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nirgen.adapt.cameras import find_two_cameras
from nirgen.adapt.config import LEAST_PAIRS, MOST_PAIRS, WHATS, AdaptConfig
from nirgen.adapt.export import fingerprint_of, opened
from nirgen.adapt.fit import fit, merge
from nirgen.adapt.scores import Scores, judge, read_frames, translating
from nirgen.adapt.validation import Record, Validation
from nirgen.adapt.verdict import Point, Verdict, curve_csv
from nirgen.devices import choose_device, choose_training_precision
from nirgen.errors import NirgenError
from nirgen.models.catalog import find_model
from nirgen.models.checkpoint import load_pix2next
from nirgen.pairs import PairList, check_pairs
from nirgen.pairs.check import TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nirgen.adapt.config import What
    from nirgen.devices import Precision
    from nirgen.models.generator import Pix2Next
    from nirgen.progress import Progress

_REFUSED = {"damaged", "swapped", "unrelated", "misaligned"}


@dataclass(frozen=True)
class Choice:
    """The fit that is best on held-out pairs."""

    what: What
    steps: int
    scores: list[Scores]  # of each pair


def usable(pairs: PairList, progress: Progress | None = None) -> tuple[PairList, list[str]]:
    """Return the pairs to adapt to, without those of the split `test`, and a line for each pair that is left out.

    Damaged, swapped, unrelated and misaligned pairs are left out (see `pairs.check_pairs`).

    Raises:
        NirgenError: Fewer than 3 pairs remain, or there are more than 200.
    """
    chosen = pairs.of(pair for pair in pairs.pairs if pair.split != "test")
    if len(chosen.pairs) > MOST_PAIRS:
        raise NirgenError(
            f"{len(chosen.pairs)} pairs; adapt takes {MOST_PAIRS} at most: list fewer, or train on them with "
            "'nirgen train CONFIG OUT --pairs LIST --set start_from=MODEL'"
        )
    left_out = {}
    for row in check_pairs(chosen, workers=1, progress=progress) if chosen.pairs else ():
        reasons = sorted(_REFUSED & set(row.suspect))
        if reasons:
            about = f" by {row.shift:.0f} pixels (more than {TOLERANCE:g})" if reasons == ["misaligned"] else ""
            left_out[row.split, row.name] = f"{row.nir}: {row.error or ' and '.join(reasons) + about}; left out"
    kept = tuple(pair for pair in chosen.pairs if (pair.split, pair.name) not in left_out)
    if len(kept) < LEAST_PAIRS:
        why = f" ({'; '.join(left_out.values())})" if left_out else ""
        raise NirgenError(
            f"{len(kept)} usable pair(s){why}; adapt needs {LEAST_PAIRS} at least, since some are held out: add pairs"
        )
    return chosen.of(kept), list(left_out.values())


def adapt(
    model: str | Path,
    pairs: PairList,
    out: Path,
    config: AdaptConfig,
    *,
    device: str | None = None,
    left_out: Sequence[str] = (),
    progress: Progress = lambda _stage, _done, _total: None,
) -> Verdict:
    """Adapt a model to pairs of a camera, or go on with an adaptation that was stopped.

    The folder gets the model, adapted or as it was, and the files of `Folder`. The same inputs on the same machine give
    the same bytes, be the run interrupted or not.

    Args:
        model: An embedded name, a model file or a run folder.
        pairs: As `usable` returns them.
        out: Folder, new or of the same adaptation.
        config: Settings.
        device: `cpu`, `cuda`...; the best available one by default.
        left_out: Lines on pairs that were left out, for the card.
        progress: Progress callback, in optimizer steps.

    Raises:
        ConfigError: The folder has an adaptation with other settings, or a loss became NaN or infinite.
        ImageError: A pair can't be read.
        ModelError: The model can't be read.
        OutputError: The folder can't be written, or holds something else.
    """
    path, where = find_model(model), choose_device(device)
    start, header = load_pix2next(path)
    config.check_stride(start.stride)
    listed = [(pair.split, pair.name, pair.sequence, pair.rgb_sha256, pair.nir_sha256) for pair in pairs.pairs]
    fingerprint = fingerprint_of(header["model_id"], config, listed)
    with opened(out, fingerprint) as folder:
        finished = folder.finished()
        if finished is not None:
            return Verdict.read(finished)
        record = Record(folder.work, fingerprint)
        record.write("run", {"model_id": header["model_id"]})
        precision = choose_training_precision("auto", where)
        run = _Run(start.to(where), pairs, config, record, precision=precision, progress=progress)
        trained_on = {pair["nir_sha256"] for pair in header["training"].get("pairs", [])}
        known = sum(pair.nir_sha256 in trained_on for pair in pairs.pairs)
        verdict = replace(run.decide(fingerprint), known=known)
        fitted = run.final(verdict) if verdict.adapted else None
        if verdict.adapted and fitted is None:
            verdict = verdict.withdrawn()
        about = {
            "outcome": verdict.outcome,
            "pairs": len(pairs.pairs),
            "what": verdict.what,
            "steps": verdict.steps,
        }
        written = folder.write_model(path, about, fitted, config, learned=pairs.pairs, metrics=_metrics(verdict))
        values = {"header": written, "pairs": pairs.pairs, "left_out": list(left_out)}
        folder.finish(verdict, "card.md.j2", {"curve.csv": curve_csv(verdict.curve)}, **values)
    return verdict


def _metrics(verdict: Verdict) -> list[dict[str, Any]]:
    scores = verdict.point("adapted").scores
    names = {
        "PSNR dB after gain and offset": scores.psnr_affine,
        "SSIM after gain and offset": scores.ssim_affine,
        "PSNR dB": scores.psnr,
        "SSIM": scores.ssim,
    }
    on = f"{len(verdict.gains)} pairs of the camera, each held out from fits to the others"
    return [{"name": name, "value": round(value, 4), "on": on} for name, value in names.items()]


class _Run:
    def __init__(
        self,
        start: Pix2Next,
        pairs: PairList,
        config: AdaptConfig,
        record: Record,
        *,
        precision: Precision,
        progress: Progress,
    ) -> None:
        self.start, self.pairs, self.config, self.precision = start, pairs, config, precision
        self.frames = read_frames(pairs, config.judged_size)
        self._progress, self._done = progress, 0
        settings: dict[str, Any] = {"precision": precision, "step_done": self._step_done}
        self.validation = Validation(start, pairs, self.frames, config, record, **settings)
        self.checks = config.checks_of(config.steps_for(self.validation.train_size))
        self.counts = [count for count in config.curve if count < self.validation.train_size]
        self.whats: tuple[What, ...] = WHATS if config.what == "auto" else (config.what,)
        fits = len(self.whats) * self.checks[-1] + sum(min(self.checks[-1], config.steps_for(n)) for n in self.counts)
        self.total = len(self.validation.folds) * fits + self.checks[-1]

    def _step_done(self, steps: int = 1) -> None:
        self._done += steps
        self._progress("adapt", min(self._done, self.total), self.total)

    def decide(self, fingerprint: str) -> Verdict:
        """Choose the fit by cross-validation, compute the learning curve, and judge."""
        predict = translating(self.start)
        outputs = [predict(frame.rgb) for frame in self.frames]
        before = judge(predict, self.frames)
        choice, better = self._choose(Scores.mean(before))
        gains = np.array([after.total - score.total for after, score in zip(choice.scores, before, strict=True)])
        cameras = find_two_cameras(self.frames, outputs) or ()
        spoiled = any(gains[list(group)].mean() < 0 for group in cameras)
        return Verdict(
            fingerprint=fingerprint,
            outcome="no gain" if not better else "several cameras" if spoiled else "adapted",
            what=choice.what,
            steps=choice.steps,
            folds=len(self.validation.folds),
            curve=self._curve(choice, Scores.mean(before)),
            gains={frame.key: round(float(gain), 3) for frame, gain in zip(self.frames, gains, strict=True)},
            cameras=tuple(tuple(self.frames[i].key for i in group) for group in cameras),
        )

    def _choose(self, start: Scores) -> tuple[Choice, bool]:
        """Return the best fit, and whether it may replace the start: it gains enough and spoils no mean score."""
        fits = [
            Choice(what, steps, scores)
            for what in self.whats
            for steps, scores in self.validation.fits(what, self.checks).items()
        ]
        safe = [one for one in fits if not Scores.mean(one.scores).spoils(start)]
        best = max(safe or fits, key=lambda one: Scores.mean(one.scores).total)
        return best, bool(safe) and Scores.mean(best.scores).total >= start.total + self.config.least_gain

    def _curve(self, choice: Choice, start: Scores) -> list[Point]:
        grey = Scores.mean(judge(lambda rgb: np.rint(rgb @ _LUMA).astype(np.uint8), self.frames))
        points = [Point(0, "grey", grey), Point(0, "start", start)]
        for count in (*self.counts, None):
            if count is None:
                adapted = choice.scores
            else:
                checks = (min(choice.steps, self.config.steps_for(count)),)
                adapted = self.validation.fits(choice.what, checks, count)[checks[0]]
            shown = self.validation.train_size if count is None else count
            points.append(Point(shown, "adapted", Scores.mean(adapted)))
            points += [
                Point(shown, kind, Scores.mean(self.validation.baseline(kind, count))) for kind in ("linear", "trees")
            ]
        return points

    def final(self, verdict: Verdict) -> Pix2Next | None:
        """Return the generator fitted to all pairs; None if it is worse on them than the start."""
        steps = fit(
            self.start,
            self.pairs,
            verdict.what,
            self.config,
            checks=(verdict.steps,),
            precision=self.precision,
            step_done=self._step_done,
        )
        (fitted,) = (merge(generator) for _, generator in steps)
        after, before = (Scores.mean(judge(translating(one), self.frames)) for one in (fitted, self.start))
        return fitted if after.total >= before.total else None


_LUMA = np.array([0.299, 0.587, 0.114])
