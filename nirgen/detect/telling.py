"""What a comparison tells: one sentence, what is to be known of it, and everything for machines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nirgen import __version__
from nirgen.detect.arms import REAL

if TYPE_CHECKING:
    from nirgen.detect.comparison import Comparison

SCHEMA = 1
FEW_SEEDS = 3


def notes_on(comparison: Comparison) -> list[str]:
    """What is to be known of the numbers."""
    config = comparison.config
    groups = len(set(comparison.truth.groups(config.bootstrap.draw)))
    notes = [
        (
            f"every trained arm made {config.train.steps} steps of {config.train.batch} images: equal budgets, so an "
            "arm of more images saw each one less often"
        )
    ]
    if len(config.seeds) == 1:
        notes.append("one seed: how much chance in training changes the numbers is unknown, and in no interval")
    elif len(config.seeds) < FEW_SEEDS:
        notes.append(f"{len(config.seeds)} seeds are few: intervals know little of the chance in training")
    if comparison.truth.unlabelled:
        notes.append(
            f"{comparison.truth.unlabelled} images of '{comparison.truth.split}' are left out, for nobody has labelled "
            "them"
        )
    if groups < 10:
        notes.append(f"intervals of {groups} {config.bootstrap.draw} are rough, and rather too narrow")
    if config.train.model.startswith("fresh"):
        notes.append("the model began from random weights, so 'as pretrained' is what chance gives")
    return notes


def sentence(comparison: Comparison) -> str:
    """Whether the gain of generated images exceeds the noise; of the arm that has the most."""
    last, bootstrap = comparison.arms[-1], comparison.config.bootstrap
    found = comparison.difference(last.arm.name, REAL)
    difference = found.numbers["ap"]
    images, seeds = len(comparison.truth.entries), len(comparison.config.seeds)
    on = (
        f"{images} test image{'s' * (images != 1)}" if comparison.truth.split == "test" else f"{images} images of 'val'"
    )
    told = f"{on}, {seeds} seed{'s' * (seeds != 1)}"
    if seeds == 1:
        told += ", so the spread over seeds is unknown"
    what = f"{last.arm.generated} generated images beside {last.arm.real} real ones"
    if difference.value is None:
        return f"Whether {what} help can't be said: there is nothing to find on the images that judge ({told})."
    real = next(each for each in comparison.arms if each.arm.name == REAL)
    if last.numbers["ap"].value == real.numbers["ap"].value == 0:
        return f"Whether {what} help can't be said: neither arm found anything ({told})."
    change = f"{what} change mAP by {difference.value:+.4f}"
    if difference.low is None or difference.high is None:
        return f"{change}; whether that exceeds the noise is unknown, for there is no interval ({told})."
    interval = f"95 % interval {difference.low:+.4f} to {difference.high:+.4f} over {bootstrap.draw}"
    interval += " and seeds" if seeds > 1 else ""
    verdict = {
        "gain": "a gain that exceeds the noise",
        "loss": "a loss that exceeds the noise",
        "noise": "within the noise",
    }[found.verdict]
    return f"{change} ({interval}; {told}): {verdict}."


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """What `comparison.json` holds (docs/detect.md)."""
    truth, config = comparison.truth, comparison.config
    return {
        "schema": SCHEMA,
        "nirgen": __version__,
        "sentence": sentence(comparison),
        "dataset_sha256": truth.dataset_sha256,
        "split": truth.split,
        "images": len(truth.entries),
        "library": comparison.library,
        "config": config.model_dump(mode="json", exclude={"train": {"seed"}}),
        "arms": [
            {
                "name": each.arm.name,
                "real": each.arm.real,
                "generated": each.arm.generated,
                "steps": config.train.steps if each.arm.trained else 0,
                "epochs": round(each.arm.epochs(config.train.steps, config.train.batch), 3),
                "numbers": {key: number.as_dict() for key, number in each.numbers.items()},
                "spread_over_seeds": each.spread,
                "runs": [{"seed": run.seed, "model_id": run.model_id, "numbers": run.values} for run in each.runs],
            }
            for each in comparison.arms
        ],
        "differences": [
            {
                "arm": each.arm,
                "minus": each.minus,
                "verdict": each.verdict,
                "numbers": {key: number.as_dict() for key, number in each.numbers.items()},
            }
            for each in comparison.differences
        ],
        "notes": notes_on(comparison),
    }


def as_json(comparison: Comparison) -> str:
    """The text of `comparison.json`."""
    return json.dumps(as_dict(comparison), indent=2, ensure_ascii=False) + "\n"
