"""The HTML page of an evaluation: its tables, and the same crops of what each method makes of some images."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from nirgen import images, templates
from nirgen.evaluate import table
from nirgen.evaluate.measures import MEASURES
from nirgen.evaluate.methods import read_frame, shown
from nirgen.evaluate.summary import VERDICT_BY
from nirgen.evaluate.verdicts import differences
from nirgen.metrics import PSNR_CEILING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nirgen.evaluate.methods import Frame, Method
    from nirgen.evaluate.summary import Report, Scores


ERROR_RANGE = 64  # grey levels at which the colours of an error map end
LONGEST_SIDE = 512  # pixels; larger pictures are shown smaller
TOO_DARK, TOO_BRIGHT = np.array([33, 102, 172.0]), np.array([178, 24, 43.0])
EACH = 3  # images of each section of the page
SHARE = 4  # worst and best images are among the outermost images, one of so many
NUMBERS = ("psnr_affine", "ssim_affine", "psnr", "ssim", "lpips", "features_distance")  # below a picture


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
    """An image of the page, and its part in the window; all images are data URIs."""

    title: str
    whole: str
    zoom: str
    error: str = ""  # of the whole image; empty for photo and real NIR
    numbers: tuple[tuple[str, str, bool], ...] = ()  # title and value of a measure; True for the best method's


def pictures(frame: Frame, generated: dict[str, NDArray[np.uint8]]) -> tuple[list[Picture], Window]:
    """Return photo, real NIR and the generated images of a case, (H, W) by method, and the window of their zooms.

    The window is where the squared error is greatest, summed over the methods.
    """
    window = worst_window(list(generated.values()), frame.nir)
    height, width = frame.nir.shape
    scale = min(1, LONGEST_SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))

    def picture(title: str, image: NDArray[np.uint8], error: str = "") -> Picture:
        return Picture(title, _data_uri(images.resize(image, size), "jpg"), _data_uri(window.of(image), "png"), error)

    given = {} if frame.rgb is None else {"photo": frame.rgb}
    drawn = [picture(title, image) for title, image in (given | {"real NIR": frame.nir}).items()]
    for method, image in generated.items():
        error = _data_uri(images.resize(error_map(image, frame.nir), size), "png")
        drawn.append(picture(method, image, error))
    return drawn, window


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


def worst_window(generated: Sequence[NDArray[np.uint8]], real: NDArray[np.uint8]) -> Window:
    """Return the square of a quarter of the shorter side with the greatest summed squared error, the first of equals.

    `generated` are (H, W) images of the same scene as `real`.
    """
    height, width = real.shape
    side = max(1, min(height, width) // 4)
    squares = np.zeros((height + 1, width + 1))
    errors = sum((image.astype(np.float64) - real) ** 2 for image in generated)
    squares[1:, 1:] = np.cumsum(np.cumsum(errors, axis=0), axis=1)
    sums = squares[side:, side:] - squares[:-side, side:] - squares[side:, :-side] + squares[:-side, :-side]
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)
    return Window(int(top), int(left), side, side)


def _data_uri(image: NDArray[np.uint8], form: Literal["png", "jpg"]) -> str:
    data = images.encode(np.ascontiguousarray(image), form)
    return f"data:image/{form.replace('jpg', 'jpeg')};base64,{base64.b64encode(data).decode()}"


def render(report: Report) -> str:
    """Return the page's HTML; the same report gives the same text."""
    shown_methods = judged(report.scores)
    return templates.render(
        "nirgen.evaluate",
        "page.html.j2",
        report=report,
        grids=table.grids(report),
        differences=[(subset.name, differences(subset)) for subset in report.subsets],
        definitions=table.definitions(report),
        legend=table.LEGEND,
        methods=", ".join(method.name for method in shown_methods),
        measure=MEASURES[VERDICT_BY].title,
        several=len(shown_methods) > 1,
        sections=[(title, [_show(report, number) for number in numbers]) for title, numbers in choose(report.scores)],
        error_range=ERROR_RANGE,
    )


def judged(scores: Scores) -> tuple[Method, ...]:
    """Return the methods that aren't baselines."""
    return tuple(method for method in scores.methods if method.kind != "floor")


def choose(scores: Scores) -> list[tuple[str, list[int]]]:
    """Return the images to show, the worst, typical and best ones by the methods' mean of `VERDICT_BY`, none twice.

    Images of a sequence that isn't shown yet come first, among the outermost quarter, or the middle one.
    """
    values = [np.minimum(scores.values[method.name][VERDICT_BY], PSNR_CEILING) for method in judged(scores)]
    means = np.mean(values, axis=0)
    order = sorted(range(len(scores.cases)), key=lambda number: (means[number], number))
    middle = sorted(order, key=lambda number: abs(order.index(number) - (len(order) - 1) / 2))
    taken: set[int] = set()
    sequences: set[str] = set()
    sections = []
    for title, ranked in (("Worst", order), ("Typical", middle), ("Best", order[::-1])):
        near = [number for number in ranked[: max(EACH, len(order) // SHARE)] if number not in taken]
        chosen: list[int] = []
        for number in near:
            if len(chosen) < EACH and scores.cases[number].sequence not in sequences:
                chosen.append(number)
                sequences.add(scores.cases[number].sequence)
        chosen += [number for number in near if number not in chosen][: EACH - len(chosen)]
        taken |= set(chosen)
        if chosen:
            sections.append((title, sorted(chosen, key=ranked.index)))
    return sections


def _show(report: Report, number: int) -> dict[str, Any]:
    """Return a case as the page shows it; its window is in hundredths of the image's height and width."""
    scores, methods = report.scores, judged(report.scores)
    case = scores.cases[number]
    frame = read_frame(case, report.settings.size)
    recording = case.sequence and f"recording {case.sequence}"
    drawn, window = pictures(frame, {method.name: method.generate(frame) for method in methods})
    first = len(drawn) - len(methods)
    drawn[first:] = [
        each._replace(numbers=_numbers(scores, method.name, number, len(methods)))
        for each, method in zip(drawn[first:], methods, strict=True)
    ]
    height, width = frame.nir.shape
    sides = (height, width, height, width)
    return {
        "key": case.key,
        "about": ", ".join(filter(None, (recording, case.category, shown(frame.nir)))),
        "pictures": drawn,
        "window": {name: 100 * window[i] / sides[i] for i, name in enumerate(Window._fields)},
    }


def _numbers(scores: Scores, method: str, number: int, methods: int) -> tuple[tuple[str, str, bool], ...]:
    """Return the measures of an image; the best ones of several methods are marked."""
    found = []
    for measure in (MEASURES[name] for name in NUMBERS if name in scores.measures):
        of_all = [round(scores.values[each.name][measure.name][number], measure.decimals) for each in judged(scores)]
        value = round(scores.values[method][measure.name][number], measure.decimals)
        best = max(of_all) if measure.better == "higher" else min(of_all)
        found.append((measure.title, f"{value:.{measure.decimals}f}", methods > 1 and value == best))
    return tuple(found)
