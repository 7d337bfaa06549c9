"""Everything that one evaluation found, and the files that it is written to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import nirgen
from nirgen.evaluate import table
from nirgen.evaluate.measures import MEASURES, OF_SETS
from nirgen.evaluate.page import render
from nirgen.evaluate.perceptual import FEW_FOR_FID
from nirgen.evaluate.published import TABLES
from nirgen.evaluate.summary import notes_on, summarise
from nirgen.files import make_folder, output_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nirgen.evaluate.scores import Scores
    from nirgen.evaluate.summary import Estimate, Settings, Subset

SCHEMA = 1
FILES = ("per_image.parquet", "summary.json", "table.md", "report.html")


@dataclass(frozen=True)
class Report:
    """An evaluation.

    Attributes:
        about: One line on the images, their size and the intervals.
        scores: Of single images.
        settings: What the numbers depend on.
        subsets: The tables.
        notes: What is to be known, each with what it is about.
        weights: By measure, the name of its weight file.
        published: Which of the paper's tables to show beside.
    """

    about: str
    scores: Scores
    settings: Settings
    subsets: tuple[Subset, ...]
    notes: tuple[tuple[str, str], ...]
    weights: dict[str, str]
    published: tuple[str, ...]


def make_report(
    scores: Scores,
    settings: Settings,
    *,
    on: str,
    notes: Mapping[str, str],
    weights: Mapping[str, str],
    published: tuple[str, ...] = (),
) -> Report:
    """Sum up scores.

    Args:
        scores: Of single images.
        settings: As they were taken with, and how to sum them up.
        on: What the images are, such as "split 'val' of pairs.csv".
        notes: What is to be known, by measure or other subject.
        weights: By measure, the name of its weight file.
        published: Keys of `nirgen.evaluate.published.TABLES`.
    """
    subsets = summarise(scores, settings)
    whole = subsets[0]
    size = "at their own sizes" if settings.size is None else f"squashed to {settings.size}x{settings.size} (bilinear)"
    groups = "" if settings.bootstrap == "images" else f" in {whole.groups} sequences"
    about = (
        f"{on}: {whole.images} images{groups}, {size}, as 8-bit grey; 95 % intervals by {settings.resamples} bootstrap "
        f"samples of {settings.bootstrap}"
    )
    said = [(MEASURES[name].title if name in MEASURES else name, note) for name, note in notes.items()]
    said += [("intervals", note) for note in notes_on(whole, settings)]
    if "fid" in whole.rows[0].estimates and whole.images < FEW_FOR_FID:
        said.append(
            ("FID", f"of {whole.images} images it is far too high; compare only within this table, and rather by KID")
        )
    if scores.features and whole.images < 2:
        said += [(MEASURES[name].title, "needs two images at least") for name in OF_SETS]
    said += [(method.name, method.about) for method in scores.methods if method.about]
    said += table.published_notes(published)
    return Report(about, scores, settings, subsets, tuple(said), dict(weights), published)


def as_dict(report: Report) -> dict[str, Any]:
    """The summary for machines; a number that is not finite is null, for JSON has none."""
    return {
        "schema": SCHEMA,
        "nirgen": nirgen.__version__,
        "about": report.about,
        "settings": report.settings.model_dump(mode="json"),
        "measures": {
            name: {
                "better": measure.better,
                "range": measure.limits,
                "definition": measure.definition,
                "compared": measure.input,
                "weights": report.weights.get(name),
            }
            for name, measure in MEASURES.items()
        },
        "subsets": [_subset_as_dict(subset, report.settings) for subset in report.subsets],
        "published": {
            name: {"title": TABLES[name].title, "rows": dict(TABLES[name].values())} for name in report.published
        },
        "notes": [{"about": about, "note": note} for about, note in report.notes],
    }


def write(report: Report, out: Path) -> None:
    """Write the four files of a report; those of an earlier one are replaced.

    Args:
        report: The report.
        out: The folder; it is made.

    Raises:
        OutputError: A file can't be written.
    """
    make_folder(out)
    with output_file(out / "per_image.parquet") as temporary:
        pq.write_table(_per_image(report), temporary)
    texts = {
        "summary.json": json.dumps(as_dict(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "table.md": table.as_markdown(report),
        "report.html": render(report),
    }
    for name, text in texts.items():
        with output_file(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _per_image(report: Report) -> pa.Table:
    """A row for each method and image, sorted by the table's methods and by the images' keys."""
    scores = report.scores
    order = sorted(range(len(scores.cases)), key=lambda number: scores.cases[number].key)
    rows = [
        {
            "method": method.name,
            "kind": method.kind,
            "image": scores.cases[i].key,
            "sequence": scores.cases[i].sequence,
            "category": scores.cases[i].category,
            "height": scores.sizes[i][0],
            "width": scores.sizes[i][1],
        }
        | {name: float(scores.values[method.name][name][i]) for name in scores.measures}
        for method in scores.methods
        for i in order
    ]
    texts = ("method", "kind", "image", "sequence", "category")
    schema = pa.schema(
        [(name, pa.string()) for name in texts]
        + [("height", pa.int32()), ("width", pa.int32())]
        + [(name, pa.float64()) for name in scores.measures],
        metadata={
            "nirgen.schema": str(SCHEMA),
            "nirgen.version": nirgen.__version__,
            "nirgen.settings": report.settings.model_dump_json(),
        },
    )
    return pa.Table.from_pylist(rows, schema=schema)


def _subset_as_dict(subset: Subset, settings: Settings) -> dict[str, Any]:
    return {
        "name": subset.name,
        "images": subset.images,
        settings.bootstrap: subset.groups,
        "methods": [
            {
                "method": row.method,
                "kind": row.kind,
                "estimates": {name: _estimate_as_dict(estimate) for name, estimate in row.estimates.items()},
            }
            for row in subset.rows
        ],
        "comparisons": [
            {
                "method": comparison.method,
                "minus": comparison.other,
                "measure": comparison.measure,
                "verdict": comparison.verdict,
            }
            | _estimate_as_dict(comparison.difference)
            for comparison in subset.comparisons
        ],
    }


def _estimate_as_dict(estimate: Estimate) -> dict[str, float | None]:
    numbers = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: None if number is None or not np.isfinite(number) else number for name, number in numbers.items()}
