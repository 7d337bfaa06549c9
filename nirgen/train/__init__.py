"""Training of generators: `train`, and `describe` and `judge` before and after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.evaluate import Score
    from nirgen.pairs import PairList
    from nirgen.train.config import TrainConfig
    from nirgen.train.loop import Outcome, StepReport, train

__all__ = ["Description", "Outcome", "StepReport", "describe", "judge", "train"]


def __getattr__(name: str) -> Any:
    """Import the training loop, and torch with it, at its first use."""
    if name not in __all__:
        raise AttributeError(f"module 'nirgen.train' has no attribute '{name}'")
    from nirgen.train import loop

    return getattr(loop, name)


@dataclass(frozen=True)
class Description:
    """Size of a run."""

    pairs: int  # in the split `train`
    sequences: int  # in the split `train`
    validated: int  # pairs of the split `val` that validation uses
    parameters: int  # of the generator
    steps: int  # of the whole run, in one process


def describe(pairs: PairList, config: TrainConfig) -> Description:
    """Return the size of a run without starting it.

    Raises:
        ConfigError: The list has no pairs in the split `train`.
        ModelError: The extractor is unknown.
    """
    from nirgen.models.checkpoint import build
    from nirgen.train.monitor import chosen_pairs

    chosen = pairs.split("train").pairs
    return Description(
        pairs=len(chosen),
        sequences=len({pair.sequence for pair in chosen}),
        validated=len(chosen_pairs(pairs, config.save).pairs),
        parameters=sum(parameter.numel() for parameter in build(config.generator).parameters()),
        steps=config.total_steps(len(chosen)),
    )


def judge(model: Path, pairs: PairList, *, device: str | None = None) -> list[Score]:
    """Evaluate a model file on the split `val`; record its scores in the file's header and in `card.md` beside it.

    Returns:
        The scores of the model and of the baselines.

    Raises:
        NirgenError: The model or a pair can't be read, or a file can't be written; the model stays as it was.
    """
    from nirgen.evaluate import as_metrics, evaluate
    from nirgen.model import load_model
    from nirgen.models.checkpoint import record_metrics
    from nirgen.train.export import write_card

    scores = evaluate(load_model(model, device=device), pairs)
    record_metrics(model, as_metrics(scores, "val"))
    write_card(model, model.parent / "card.md")
    return scores
