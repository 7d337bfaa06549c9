"""Cross-validation of fits: folds of whole sequences, and scores of held-out pairs that survive a killed run."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nirgen.adapt.fit import fit
from nirgen.adapt.scores import Frame, Scores, judge, translating
from nirgen.files import make_folder, read_json, seal, unseal, write_whole
from nirgen.models.baselines import fit_linear, fit_trees

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nirgen.adapt.config import AdaptConfig, What
    from nirgen.devices import Precision
    from nirgen.models.generator import Pix2Next
    from nirgen.pairs import PairList

_ORDER = 1  # random stream of the order in which pairs join the learning curve
_TREE_PIXELS = 100_000


@dataclass(frozen=True)
class Fold:
    """Positions of the pairs that a fit learns, in the order in which the learning curve takes them, and of others."""

    train: tuple[int, ...]
    held_out: tuple[int, ...]


def make_folds(sequences: Sequence[str], folds: int, seed: int) -> list[Fold]:
    """Deal pairs, given their sequences, into at most `folds` folds of whole sequences, as even as possible.

    A single sequence is dealt pair by pair.

    Example:
        >>> [fold.held_out for fold in make_folds(["a", "a", "b", "c"], 3, seed=0)]
        [(0, 1), (2,), (3,)]
    """
    units = list(sequences) if len(set(sequences)) > 1 else [str(position) for position in range(len(sequences))]
    members: dict[str, list[int]] = {}
    for position, unit in enumerate(units):
        members.setdefault(unit, []).append(position)
    held: list[list[int]] = [[] for _ in range(min(folds, len(members)))]
    for group in sorted(members.values(), key=lambda group: (-len(group), group)):
        min(held, key=len).extend(group)
    found = []
    for number, positions in enumerate(held):
        others = np.array([position for position in range(len(units)) if position not in positions])
        order = np.random.default_rng((seed, _ORDER, number)).permutation(len(others))
        found.append(Fold(tuple(int(i) for i in others[order]), tuple(sorted(positions))))
    return found


class Record:
    """Folder of results by name; a result that is there is whole, and belongs to this run."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self.fingerprint = folder, fingerprint

    def read(self, name: str) -> Any:
        """Return a result, or None if it is missing, damaged or of another run."""
        try:
            values = unseal(read_json(self.folder / f"{name}.json"))
        except (OSError, ValueError):
            return None
        return values.get("result") if values.get("fingerprint") == self.fingerprint else None

    def write(self, name: str, result: Any) -> None:
        """Write a result, whole or not at all."""
        make_folder(self.folder)
        values = seal({"fingerprint": self.fingerprint, "result": result})
        write_whole(self.folder / f"{name}.json", json.dumps(values).encode())


class Validation:
    """Scores of held-out pairs under fits to the others."""

    def __init__(
        self,
        start: Pix2Next,
        pairs: PairList,
        frames: Sequence[Frame],
        config: AdaptConfig,
        record: Record,
        *,
        precision: Precision,
        step_done: Callable[[int], None],
    ) -> None:
        self.start, self.pairs, self.frames, self.config = start, pairs, frames, config
        self.folds = make_folds([pair.sequence for pair in pairs.pairs], config.folds, config.seed)
        self._record, self._precision, self._step_done = record, precision, step_done

    @property
    def train_size(self) -> int:
        """Pairs that the smallest fit of a whole fold learns from."""
        return min(len(fold.train) for fold in self.folds)

    def fits(self, what: What, checks: Sequence[int], count: int | None = None) -> dict[int, list[Scores]]:
        """Return the scores of every pair under the fit that didn't learn it, by the number of steps.

        Each fit learns from the first `count` pairs of its fold; by default from all.
        """

        def scores_of(fold: Fold) -> dict[str, list[Scores]]:
            learned = self.pairs.of(self.pairs.pairs[i] for i in fold.train[:count])
            held_out = [self.frames[i] for i in fold.held_out]
            steps = fit(
                self.start,
                learned,
                what,
                self.config,
                checks=checks,
                precision=self._precision,
                step_done=lambda: self._step_done(1),
            )
            return {str(step): judge(translating(generator), held_out) for step, generator in steps}

        found = self._over_folds(f"{what}-{count or 'all'}-{checks[-1]}", scores_of, checks[-1])
        return {int(step): scores for step, scores in found.items()}

    def baseline(self, kind: str, count: int | None = None) -> list[Scores]:
        """Return the scores of every pair under a baseline, `linear` or `trees`, fitted to others; see `fits`."""

        def scores_of(fold: Fold) -> dict[str, list[Scores]]:
            learned = [self.frames[i] for i in fold.train[:count]]
            rgb, nir = [frame.rgb for frame in learned], [frame.nir for frame in learned]
            if kind == "linear":
                predict = fit_linear(rgb, nir).predict
            else:
                predict = fit_trees(rgb, nir, seed=self.config.seed, pixels=_TREE_PIXELS).predict
            return {"": judge(predict, [self.frames[i] for i in fold.held_out])}

        return self._over_folds(f"{kind}-{count or 'all'}", scores_of, 0)[""]

    def _over_folds(
        self, name: str, scores_of: Callable[[Fold], dict[str, list[Scores]]], steps: int
    ) -> dict[str, list[Scores]]:
        """Return scores in the order of the pairs; those that an earlier run recorded are read."""
        together: dict[str, dict[int, Scores]] = {}
        for number, fold in enumerate(self.folds):
            known = self._record.read(f"{name}-fold{number}")
            if known is None:
                found = scores_of(fold)
                known = {key: [astuple(one) for one in scores] for key, scores in found.items()}
                self._record.write(f"{name}-fold{number}", known)
            else:
                self._step_done(steps)
            for key, values in known.items():
                scores = (Scores(*one) for one in values)
                together.setdefault(key, {}).update(zip(fold.held_out, scores, strict=True))
        return {key: [by_position[i] for i in sorted(by_position)] for key, by_position in together.items()}
