"""Training of generators: `train`, and `describe` and `judge` before and after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.evaluate.summary import Subset
    from nirgen.pairs import PairList
    from nirgen.train.config import TrainConfig
    from nirgen.train.loop import Outcome, StepReport

__all__ = ["Description", "Outcome", "StepReport", "describe", "judge", "train"]


def __getattr__(name: str) -> Any:
    """Import a name of the training loop, and torch with it, at its first use."""
    if name not in __all__:
        raise AttributeError(f"module 'nirgen.train' has no attribute '{name}'")
    from nirgen.train import loop

    return getattr(loop, name)


@dataclass(frozen=True)
class Description:
    """Size of a run."""

    pairs: int  # in the split `train`
    sequences: int  # in the split `train`
    images: tuple[int, int]  # RGB and NIR images in the split `train`
    validated: int  # pairs of the split `val` that validation uses
    parameters: int  # of the generator
    steps: int  # of the whole run, in one process


def describe(pairs: PairList, config: TrainConfig) -> Description:
    """Return the size of a run without starting it.

    Raises:
        ConfigError: The list has no pairs in the split `train`.
        NirgenError: A pair of the list has the bytes of one in another split.
        ModelError: The extractor is unknown.
    """
    from nirgen.models.checkpoint import build
    from nirgen.pairs.duplicates import refuse_copies
    from nirgen.train.monitor import chosen_pairs

    refuse_copies(pairs.pairs)
    chosen = pairs.split("train").pairs
    return Description(
        pairs=len(chosen),
        sequences=len({pair.sequence for pair in chosen}),
        images=(len({pair.rgb for pair in chosen}), len({pair.nir for pair in chosen})),
        validated=len(chosen_pairs(pairs, config.save).pairs),
        parameters=sum(parameter.numel() for parameter in build(config.generator).parameters()),
        steps=config.total_steps(len(chosen)),
    )


def train(
    pairs: PairList,
    config: TrainConfig,
    out: Path,
    *,
    device: str | None = None,
    distributed: bool = False,
    allow_changes: bool = False,
    report: Callable[[StepReport], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda _line: None,
) -> Outcome:
    """Train a generator on the split `train`, or resume a run.

    Args:
        pairs: The list; the split `val`, if there is one, is used for validation.
        config: The run.
        out: The run folder, new or of the same run (docs/formats.md describes its files).
        device: `cpu`, `cuda`, `cuda:1`, `mps`...; the best available one by default.
        distributed: True if `torchrun` started this process and others.
        allow_changes: Resume although settings or pairs changed.
        report: Called after each step, in the first process.
        stopped: Called after each step; True saves and ends the sitting.
        say: Called with a line about each damaged checkpoint that was passed over, in the first process.

    Raises:
        ConfigError: The networks can't run as configured; the device does not exist; a loss became NaN or infinite; or
            the run in the folder has other settings or pairs, or is a baseline's fit.
        NirgenError: A pair of the list has the bytes of one in another split.
        ImageError: A pair can't be read.
        ModelError: A checkpoint or initial weights can't be read.
        OutputError: Another process trains here, or the folder can't be written, or lost files in mid-run.
    """
    from nirgen.devices import choose_device
    from nirgen.pairs.duplicates import refuse_copies
    from nirgen.train import loop
    from nirgen.train.baseline import refuse_fit
    from nirgen.train.monitor import chosen_pairs
    from nirgen.train.networks import build_networks
    from nirgen.train.processes import joined

    refuse_copies(pairs.pairs)
    refuse_fit(out)
    where = choose_device(device)
    chosen, judged = pairs.split("train"), chosen_pairs(pairs, config.save)
    with joined(where, distributed=distributed) as processes:
        parts = (chosen, judged, config, build_networks(config), out)
        callbacks: dict[str, Any] = {"report": report, "stopped": stopped, "say": say}
        return loop.train(*parts, processes=processes, allow_changes=allow_changes, **callbacks)


def judge(model: Path, pairs: PairList, *, device: str | None = None) -> tuple[Subset, ...]:
    """Evaluate a model file on the split `val`; record its scores in the file's header and in `card.md` beside it.

    Returns:
        The scores of the model and of the baselines, on all images and on subsets.

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
