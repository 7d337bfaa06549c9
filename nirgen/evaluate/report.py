"""The files of an evaluation: per-image table, JSON summary, Markdown table and HTML page."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from nirgen import images, templates
from nirgen._version import __version__
from nirgen.evaluate import table
from nirgen.evaluate.measures import CAVEAT, MEASURES, TABLES
from nirgen.evaluate.methods import read_frame, shown
from nirgen.evaluate.summary import Report, notes_on, summarise
from nirgen.files import make_folder, output_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from nirgen.evaluate.methods import Frame, Size
    from nirgen.evaluate.summary import Comparison, Scores, Settings
    from nirgen.evaluate.supplement import Supplement


SCHEMA = 1
FILES = ("per_image.parquet", "summary.json", "table.md", "report.html")
FEW_FOR_FID = 2049  # with fewer images the covariance of 2048 features can't be of full rank

ERROR_RANGE = 64  # grey levels at which the colours of an error map end
LONGEST_SIDE = 512  # pixels; larger pictures are shown smaller
TOO_DARK, TOO_BRIGHT = np.array([33, 102, 172.0]), np.array([178, 24, 43.0])
EACH = 3  # images of each section of the page


class Window(NamedTuple):
    """A part of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crop an image."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]


class Picture(NamedTuple):
    """An image of the page, and its part where the error is greatest; both are data URIs."""

    title: str
    whole: str
    zoom: str


def pictures(frame: Frame, generated: NDArray[np.uint8]) -> tuple[list[Picture], Window]:
    """Return the pictures of a case, and the window that their zooms show."""
    window = worst_window(generated, frame.nir)
    shown = {} if frame.rgb is None else {"photo": frame.rgb}
    shown |= {"real NIR": frame.nir, "generated": generated, "error": error_map(generated, frame.nir)}
    height, width = frame.nir.shape
    scale = min(1, LONGEST_SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return [
        Picture(
            title,
            _data_uri(images.resize(image, size), "png" if title == "error" else "jpg"),
            _data_uri(window.of(image), "png"),
        )
        for title, image in shown.items()
    ], window


def error_map(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the signed error of (H, W) images in colours, (H, W, 3): white, red if too bright, blue if too dark.

    The colours end at an error of `ERROR_RANGE` grey levels.

    Example:
        >>> error_map(np.array([[100, 164, 36]], np.uint8), np.full((1, 3), 100, np.uint8)).tolist()
        [[[255, 255, 255], [178, 24, 43], [33, 102, 172]]]
    """
    error = (generated.astype(np.float64) - real.astype(np.float64)) / ERROR_RANGE
    amount = np.abs(error).clip(0, 1)[..., np.newaxis]
    colour = np.where(error[..., np.newaxis] > 0, TOO_BRIGHT, TOO_DARK)
    mixed: NDArray[np.uint8] = np.rint(255 + amount * (colour - 255)).astype(np.uint8)
    return mixed


def worst_window(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> Window:
    """Return the square of a quarter of the shorter side with the greatest mean squared error, the first of equals."""
    height, width = real.shape
    side = max(1, min(height, width) // 4)
    squares = np.zeros((height + 1, width + 1))
    error = generated.astype(np.float64) - real.astype(np.float64)
    squares[1:, 1:] = np.cumsum(np.cumsum(error**2, axis=0), axis=1)
    sums = squares[side:, side:] - squares[:-side, side:] - squares[side:, :-side] + squares[:-side, :-side]
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)
    return Window(int(top), int(left), side, side)


def _data_uri(image: NDArray[np.uint8], form: Literal["png", "jpg"]) -> str:
    data = images.encode(np.ascontiguousarray(image), form)
    return f"data:image/{form.replace('jpg', 'jpeg')};base64,{base64.b64encode(data).decode()}"


def render(report: Report) -> str:
    """Return the page's HTML; the same report gives the same text."""
    return templates.render(
        "nirgen.evaluate",
        "page.html.j2",
        report=report,
        grids=table.grids(report),
        differences=[(subset.name, table.differences(subset)) for subset in report.subsets],
        definitions=table.definitions(report),
        legend=table.LEGEND,
        method=report.scores.methods[0],
        sections=[(title, [_show(report, number) for number in numbers]) for title, numbers in extremes(report)],
        error_range=ERROR_RANGE,
    )


def extremes(report: Report) -> list[tuple[str, list[int]]]:
    """Return the images to show: the worst and best of the first method, by PSNR and by SSIM, none of them twice."""
    values = report.scores.values[report.scores.methods[0].name]
    taken: set[int] = set()
    sections = []
    for measure in ("psnr", "ssim"):
        order = sorted(range(len(report.scores.cases)), key=lambda number: (values[measure][number], number))
        for title, ranked in (("Worst", order), ("Best", order[::-1])):
            chosen = [number for number in ranked if number not in taken][:EACH]
            taken |= set(chosen)
            if chosen:
                sections.append((f"{title} by {MEASURES[measure].title}", chosen))
    return sections


def _show(report: Report, number: int) -> dict[str, Any]:
    """Return a case as the page shows it; its window is in hundredths of the image's height and width."""
    method, case = report.scores.methods[0], report.scores.cases[number]
    frame = read_frame(case, report.settings.size)
    drawn, window = pictures(frame, method.generate(frame))
    height, width = frame.nir.shape
    sides = (height, width, height, width)
    values = report.scores.values[method.name]
    measures = [MEASURES[name] for name in report.scores.measures if name != "rmse_uint8_wrapped"]
    return {
        "key": case.key,
        "about": ", ".join(filter(None, (case.category, shown(frame.nir)))),
        "numbers": [(each.title, f"{values[each.name][number]:.{each.decimals}f}") for each in measures],
        "pictures": drawn,
        "window": {name: 100 * window[i] / sides[i] for i, name in enumerate(Window._fields)},
    }


def make_report(
    scores: Scores,
    settings: Settings,
    *,
    on: str,
    notes: Mapping[str, str],
    weights: Mapping[str, str],
    published: tuple[str, ...] = (),
    supplements: tuple[Supplement, ...] = (),
) -> Report:
    """Summarise scores, taken on images of the name `on`; notes and weight files are by measure."""
    subsets = summarise(scores, settings)
    whole = subsets[0]
    sizes: dict[Size, str] = {None: "at their own sizes", "truth": "resized to the real images' sizes (bilinear)"}
    sizes["pred"] = "resized to the first folder's sizes (bilinear)"
    size = sizes.get(settings.size) or f"squashed to {settings.size}x{settings.size} (bilinear)"
    groups = "" if settings.bootstrap == "images" else f" in {whole.groups} sequences"
    about = (
        f"{on}: {whole.images} images{groups}, {size}, as 8-bit grey; 95 % intervals by {settings.resamples} bootstrap "
        f"samples of {settings.bootstrap}"
    )
    said = [(MEASURES[name].title if name in MEASURES else name, note) for name, note in notes.items()]
    said += [("intervals", note) for note in notes_on(whole, settings)]
    if "fid" in whole.rows[0].estimates and whole.images < FEW_FOR_FID:
        fid = f"of {whole.images} images it is far too high; compare only within this table, and rather by KID"
        said += [("FID", fid)]
    missing = (("fid", scores.features), ("kid", scores.features), ("kid_features", scores.pooled))
    if whole.images < 2:
        said += [(MEASURES[name].title, "needs two images at least") for name, there in missing if there]
    said += [(method.name, method.about) for method in scores.methods if method.about]
    said += [(f"published {name}", TABLES[name].title) for name in published]
    said += [("published", CAVEAT)] if published else []
    return Report(about, scores, settings, subsets, tuple(said), dict(weights), published, supplements)


def as_dict(report: Report) -> dict[str, Any]:
    """Return the values of `summary.json`; a number that is not finite is null."""
    return {
        "schema": SCHEMA,
        "nirgen": __version__,
        "verdicts": table.verdicts(report.subsets[0]),
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
                "verdicts": [_comparison(each) for each in subset.verdicts],
                "comparisons": [_comparison(each) for each in subset.comparisons],
            }
            for subset in report.subsets
        ],
        **{supplement.name: supplement.as_dict() for supplement in report.supplements},
        "published": {name: asdict(TABLES[name]) for name in report.published},
        "notes": [{"about": about, "note": note} for about, note in report.notes],
    }


def _comparison(each: Comparison) -> dict[str, Any]:
    names = {"method": each.method, "minus": each.other, "measure": each.measure, "verdict": each.verdict}
    return names | each.difference.as_dict()


def write(report: Report, out: Path) -> None:
    """Write the files of a report; those of an earlier one are replaced."""
    import pyarrow.parquet as pq

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
