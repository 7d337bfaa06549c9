"""Files of a comparison: JSON, a table in the layout of the paper's Table 7, and pictures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nirgen._version import __version__
from nirgen.detect.answer import answer
from nirgen.detect.arms import REAL
from nirgen.detect.comparison import as_number
from nirgen.detect.config import NOTHING_LEARNT
from nirgen.escapes import markdown
from nirgen.files import make_folder, output_file
from nirgen.stats import note_on_groups
from nirgen.templates import markdown_table

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.detect.arms import Arm
    from nirgen.detect.comparison import Comparison
    from nirgen.stats import Estimate


SCHEMA = 1
FILES = ("comparison.json", "table7.md", "curve.png", "precision_recall.png", "predictions.png")
FEW_SEEDS = 3
NOTHING = "-"
PAPER: tuple[tuple[str, dict[str, float]], ...] = (
    ("RGB-pretrained", {"ap": 0.2724, "ap/person": 0.1551, "ap/bicycle": 0.1745, "ap/car": 0.4874}),
    ("+ RANUS", {"ap": 0.3149, "ap/person": 0.1682, "ap/bicycle": 0.2143, "ap/car": 0.5622}),
    ("+ RANUS + generated", {"ap": 0.3347, "ap/person": 0.1704, "ap/bicycle": 0.2829, "ap/car": 0.5507}),
)  # Table 7 of Jin et al., Technologies 13(4):154, 2025
CAVEAT = (
    "The paper's rows are of Co-DETR on RANUS, with boxes of its authors' own: they show the size of the effect that "
    "was found there, and are no goal for another detector or other images."
)


def notes_on(comparison: Comparison) -> list[str]:
    """Return the caveats on the numbers."""
    config, split = comparison.config, comparison.split
    made = f"every trained arm made {config.train.steps} steps of {config.train.batch} images"
    notes = [f"{made}: equal budgets, so an arm of more images saw each one less often"]
    if len(config.seeds) == 1:
        notes.append("one seed: how much chance in training changes the numbers is unknown, and in no interval")
    elif len(config.seeds) < FEW_SEEDS:
        notes.append(f"{len(config.seeds)} seeds are few: intervals know little of the chance in training")
    most = max(len(each.runs) for each in comparison.arms)
    fewer = [
        f"{each.arm.title} {len(each.runs)}" for each in comparison.arms if each.arm.images and len(each.runs) < most
    ]
    if fewer:
        notes.append(f"within the budget, not all arms were trained with {most} seeds: {', '.join(fewer)}")
    if split.unlabelled:
        notes.append(f"{split.unlabelled} images of '{split.name}' are left out, for nobody has labelled them")
    notes += note_on_groups(len(set(split.groups(config.bootstrap.draw))), config.bootstrap.draw)
    if config.train.model.startswith("fresh"):
        notes.append("the model began from random weights, so 'as pretrained' is what chance gives")
    return notes


def sentence(comparison: Comparison) -> str:
    """Return the verdict on the arm with the most generated images: whether their gain exceeds the noise."""
    last, bootstrap = comparison.reference, comparison.config.bootstrap
    found = comparison.difference(last.arm.name, REAL)
    difference = found.numbers["ap"]
    images, seeds = len(comparison.split.images), len(comparison.config.seeds)
    on = f"{images} test image{'s' * (images != 1)}" if comparison.split.name == "test" else f"{images} images of 'val'"
    told = f"{on}, {seeds} seed{'s' * (seeds != 1)}"
    if seeds == 1:
        told += ", so the spread over seeds is unknown"
    what = f"{last.arm.generated} generated images beside {last.arm.real} real ones"
    if difference.value is None:
        return f"Whether {what} help can't be said: there is nothing to find on the images that judge ({told})."
    if not comparison.learnt:
        return (
            f"Whether {what} help can't be said: nothing was learnt, for mAP is under {NOTHING_LEARNT} in every arm, "
            f"{comparison.highest:.4f} at most ({told}). Train for more --steps, or from pretrained weights (--model)."
        )
    if last.numbers["ap"].value == comparison.of(REAL).numbers["ap"].value == 0:
        return f"Whether {what} help can't be said: neither arm found anything ({told})."
    change = f"{what} change mAP by {difference.value:+.4f}"
    if difference.low is None or difference.high is None:
        return f"{change}; whether that exceeds the noise is unknown, for there is no interval ({told})."
    interval = f"95 % interval {difference.low:+.4f} to {difference.high:+.4f} over {bootstrap.draw}"
    interval += " and seeds" if seeds > 1 else ""
    verdict = "within the noise" if found.verdict == "noise" else f"a {found.verdict} that exceeds the noise"
    return f"{change} ({interval}; {told}): {verdict}."


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """Return the values of `comparison.json` (docs/detect.md)."""
    split, config = comparison.split, comparison.config
    return {
        "schema": SCHEMA,
        "nirgen": __version__,
        "sentence": sentence(comparison),
        "answer": answer(comparison).as_dict(),
        "dataset_sha256": split.sha256,
        "split": split.name,
        "images": len(split.images),
        "library": comparison.library,
        "config": config.model_dump(mode="json", exclude={"train": {"seed"}}),
        "arms": [
            {
                "name": each.arm.name,
                "real": each.arm.real,
                "generated": each.arm.generated,
                "rgb": each.arm.copies,
                "look": each.arm.look,
                "order": each.arm.order,
                "steps": config.train.steps if each.arm.images else 0,
                "epochs": round(each.arm.epochs(config.train.steps, config.train.batch), 3),
                "numbers": {key: number.as_dict() for key, number in each.numbers.items()},
                "spread_over_seeds": each.spread,
                "runs": [
                    {
                        "seed": run.run.seed,
                        "model_id": run.model_id,
                        "numbers": {key: as_number(values[place]) for key, values in each.values.items()},
                    }
                    for place, run in enumerate(each.runs)
                ],
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
        "learnt": comparison.learnt,
        "notes": notes_on(comparison),
    }


def answers(comparison: Comparison) -> list[str]:
    """Return the answer: what to do, the command that builds the mix, and a line for each class and size."""
    found = answer(comparison)
    build = [f"build it: {found.command}"] if found.command else []
    return [found.sentence, *build, *(each.sentence for each in found.findings if each.key != "ap")]


def _counts(arm: Arm) -> str:
    rgb = f", {arm.copies} RGB images" if arm.copies else ""
    return f"{arm.real} real and {arm.generated} generated images{rgb}"


def table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows: the arms, whose numbers have intervals, then the paper's."""
    columns = {"ap": "mAP"} | {f"ap/{name}": name for name in comparison.split.names}
    arms = [[each.arm.title, *(shown(each.numbers[key]) for key in columns)] for each in comparison.arms]
    paper = [
        [f"paper: {title}", *(f"{row[key]:.4f}" if key in row else NOTHING for key in columns)] for title, row in PAPER
    ]
    return ["trained on", *columns.values()], arms + paper


def shown(number: Estimate) -> str:
    """Return a number with its interval, as in `0.3149 (0.3012 to 0.3290)`.

    Example:
        >>> from nirgen.stats import Estimate
        >>> shown(Estimate(0.25, 0.2, 0.3)), shown(Estimate(0.25)), shown(Estimate(None))
        ('0.2500 (0.2000 to 0.3000)', '0.2500', '-')
    """
    if number.value is None:
        return NOTHING
    return f"{number.value:.4f}" + ("" if number.low is None else f" ({number.low:.4f} to {number.high:.4f})")


def as_markdown(comparison: Comparison) -> str:
    """Return the text of `table7.md`."""
    counts = [
        f"- {markdown(each.arm.title)}: {markdown(_counts(each.arm))}" for each in comparison.arms if each.arm.images
    ]
    about = (
        f"AP at overlaps of 0.50 to 0.95 on {len(comparison.split.images)} real images of the split "
        f"'{comparison.split.name}'; means over the seeds {', '.join(map(str, comparison.config.seeds))}, "
        "with 95 % intervals."
    )
    notes = "\n".join([*counts, *(f"- {markdown(note)}" for note in (*notes_on(comparison), CAVEAT))])
    title = "# Detection with and without generated images"
    headings, cells = table(comparison)
    rows = "\n".join(markdown_table([*map(markdown, headings)], ([markdown(row[0]), *row[1:]] for row in cells)))
    told, *others = answers(comparison)
    by_class = "\n".join(f"- {markdown(line)}" for line in others)
    parts = [title, markdown(told), markdown(sentence(comparison)), by_class, rows, about, notes]
    return "\n\n".join(filter(None, parts)) + "\n"


def write(comparison: Comparison, out: Path) -> None:
    """Write `comparison.json`, `table7.md` and the pictures; older ones are replaced."""
    from nirgen.detect import figures
    from nirgen.detect.pictures import save

    make_folder(out)
    values = json.dumps(as_dict(comparison), indent=2, ensure_ascii=False) + "\n"
    for name, text in (("comparison.json", values), ("table7.md", as_markdown(comparison))):
        with output_file(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    save(figures.draw_curve(comparison), out / "curve.png")
    save(figures.draw_precision(comparison), out / "precision_recall.png")
    save(figures.draw_differences(comparison), out / "predictions.png")
