"""The files of an evaluation: per-image table, JSON summary, Markdown table and HTML page."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nirgen._version import __version__
from nirgen.errors import counted
from nirgen.evaluate import page, table
from nirgen.evaluate.measures import CAVEAT, MEASURES, TABLES
from nirgen.evaluate.summary import Report, notes_on, summarise
from nirgen.evaluate.verdicts import sentences
from nirgen.files import make_folder, write_output

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

    from nirgen.evaluate.cost import Costs
    from nirgen.evaluate.methods import Size
    from nirgen.evaluate.summary import Comparison, Scores, Settings
    from nirgen.evaluate.supplement import Supplement
    from nirgen.files import WrittenFile


SCHEMA = 1
FILES = ("per_image.parquet", "summary.json", "table.md", "report.html")
FEW_FOR_FID = 2049  # with fewer images the covariance of 2048 features can't be of full rank


def make_report(
    scores: Scores,
    settings: Settings,
    *,
    on: str,
    notes: Mapping[str, str],
    weights: Mapping[str, str],
    published: tuple[str, ...] = (),
    supplements: tuple[Supplement, ...] = (),
    costs: Costs | None = None,
) -> Report:
    """Summarise scores, taken on images of the name `on`; notes and weight files are by measure."""
    subsets = summarise(scores, settings)
    whole = subsets[0]
    sizes: dict[Size, str] = {None: "at their own sizes", "truth": "resized to the real images' sizes (bilinear)"}
    sizes["pred"] = "resized to the first folder's sizes (bilinear)"
    size = sizes.get(settings.size) or f"squashed to {settings.size}x{settings.size} (bilinear)"
    groups = "" if settings.bootstrap == "images" else f" in {counted(whole.groups, 'sequence')}"
    about = (
        f"{on}: {counted(whole.images, 'image')}{groups}, {size}, as 8-bit grey; 95 % intervals "
        f"by {settings.resamples} bootstrap samples of {settings.bootstrap}"
    )
    said = [(MEASURES[name].title if name in MEASURES else name, note) for name, note in notes.items()]
    said += [("intervals", note) for note in notes_on(whole, settings)]
    if "fid" in whole.rows[0].estimates and whole.images < FEW_FOR_FID:
        fid = (
            f"of {counted(whole.images, 'image')} it is far too high; compare only within this table, and rather by KID"
        )
        said += [("FID", fid)]
    missing = (("fid", scores.features), ("kid", scores.features), ("kid_features", scores.pooled))
    if whole.images < 2:
        said += [(MEASURES[name].title, "needs two images at least") for name, there in missing if there]
    said += [(method.name, method.about) for method in scores.methods if method.about]
    said += [(f"published {name}", TABLES[name].title) for name in published]
    said += [("published", CAVEAT)] if published else []
    return Report(about, scores, settings, subsets, tuple(said), dict(weights), published, supplements, costs)


def as_dict(report: Report) -> dict[str, Any]:
    """Return the values of `summary.json`; a number that is not finite is null."""
    return {
        "schema": SCHEMA,
        "nirgen": __version__,
        "verdicts": sentences(report.subsets[0]),
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
        "subsets": [
            {
                "name": subset.name,
                "images": subset.images,
                report.settings.bootstrap: subset.groups,
                "methods": [
                    {
                        "method": row.method,
                        "kind": row.kind,
                        "estimates": {name: estimate.as_dict() for name, estimate in row.estimates.items()},
                    }
                    for row in subset.rows
                ],
                "ranking": [_comparison(each) for each in subset.ranking],
                "verdicts": [_comparison(each) for each in subset.verdicts],
                "comparisons": [_comparison(each) for each in subset.comparisons],
            }
            for subset in report.subsets
        ],
        "costs": None if report.costs is None else report.costs.as_dict(),
        **{supplement.name: supplement.as_dict() for supplement in report.supplements},
        "published": {name: asdict(TABLES[name]) for name in report.published},
        "notes": [{"about": about, "note": note} for about, note in report.notes],
    }


def _comparison(each: Comparison) -> dict[str, Any]:
    names = {"method": each.method, "minus": each.other, "measure": each.measure, "verdict": each.verdict}
    return names | each.difference.as_dict()


def write(report: Report, out: Path) -> tuple[WrittenFile, ...]:
    """Write the files of a report; those of an earlier one are replaced."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    make_folder(out)
    rows = pa.BufferOutputStream()
    pq.write_table(_per_image(report), rows)
    texts = {
        "summary.json": json.dumps(as_dict(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "table.md": table.as_markdown(report),
        "report.html": page.render(report),
    }
    files = {"per_image.parquet": rows.getvalue().to_pybytes()}
    files |= {name: text.encode() for name, text in texts.items()}
    return tuple(write_output(out / name, [data]) for name, data in files.items())


def _per_image(report: Report) -> pa.Table:
    """Return a row for each method and image, in the order of the table's methods and of the images' keys."""
    import pyarrow as pa

    scores = report.scores
    order = sorted(range(len(scores.cases)), key=lambda number: scores.cases[number].key)
    texts = ("method", "kind", "image", "sequence", "category")
    rows = []
    for method in scores.methods:
        for case, size, i in ((scores.cases[i], scores.sizes[i], i) for i in order):
            row = zip(texts, (method.name, method.kind, case.key, case.sequence, case.category), strict=True)
            values = {name: float(scores.values[method.name][name][i]) for name in scores.measures}
            rows.append({**dict(row), "height": size[0], "width": size[1], **values})
    fields = [*((name, pa.string()) for name in texts), ("height", pa.int32()), ("width", pa.int32())]
    metadata = {
        "nirgen.schema": str(SCHEMA),
        "nirgen.version": __version__,
        "nirgen.settings": report.settings.model_dump_json(),
        "nirgen.weights": json.dumps(report.weights),
    }
    schema = pa.schema([*fields, *((name, pa.float64()) for name in scores.measures)], metadata=metadata)
    return pa.Table.from_pylist(rows, schema=schema)
