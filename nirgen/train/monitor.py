"""Monitoring of a run: validation scores, `log.jsonl`, TensorBoard events, `curves.png`."""

from __future__ import annotations

import io
import json
import math
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nirgen import images, metrics
from nirgen.config import flat
from nirgen.errors import ImageError
from nirgen.files import is_at, read_bytes, read_json, seal, unseal, write_whole
from nirgen.models.baselines import Linear, LinearFit
from nirgen.pairs import PairList, read_pair

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from nirgen.train.config import SaveConfig
    from nirgen.train.state import BaseState


_WIDTH = 320  # of an image in the picture, in pixels
_FITTED = 50  # training pairs that the linear baseline is fitted on
_BASELINES = {"grey": ("grey (luma of RGB)", "--"), "linear": ("linear map of RGB", ":")}  # label, style of the line


@dataclass(frozen=True)
class Validation:
    """Means over the validation images, NaN if none could be read."""

    psnr: float  # in dB, that of each image at most `metrics.PSNR_CEILING`
    ssim: float  # in [-1, 1]
    picture: NDArray[np.uint8] | None  # (H, W, 3): a row a pair, with RGB, generated and real NIR
    skipped: tuple[str, ...] = ()  # a line for each pair that could not be read
    baselines: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # PSNR and SSIM by name


def chosen_pairs(pairs: PairList, config: SaveConfig) -> PairList:
    """Return the pairs of the split `val` that validation uses, spread evenly."""
    found = [pair for pair in pairs.pairs if pair.split == "val"]
    return pairs.of(found[at] for at in _spread(len(found), config.validation_images))


def _spread(length: int, count: int) -> list[int]:
    """Return at most `count` positions, evenly spread over a sequence."""
    return [int(position) for position in np.linspace(0, length - 1, min(count, length)).round()]


@torch.inference_mode()
def validate(
    generator: nn.Module,
    pairs: PairList,
    config: SaveConfig,
    device: torch.device,
    *,
    skip: bool = False,
    linear: Linear | None = None,
) -> Validation:
    """Translate and score at least one pair, squashed with Pillow's bilinear filter, outputs rounded to 8 bits.

    The network is left in evaluation mode. With `skip`, pairs that can't be read are left out. The baselines are the
    photos' luma, and `linear` if it is given.
    """
    generator.eval()
    size = (config.validation_size, config.validation_size)
    drawn = set(_spread(len(pairs.pairs), config.samples))
    scores = list[tuple[float, float]]()
    floors: dict[str, list[tuple[float, float]]] = {"grey": [], **({} if linear is None else {"linear": []})}
    rows, skipped = list[images.SheetRow](), list[str]()
    for position, pair in enumerate(pairs.pairs):
        try:
            rgb, nir = (images.resize(image, size, resample="bilinear") for image in read_pair(pairs, pair))
        except ImageError as error:
            if not skip:
                raise
            skipped.append(str(error))
            continue
        batch = torch.from_numpy(rgb).permute(2, 0, 1)[None].to(device).float().div(127.5).sub(1)
        values = generator(batch)[0].add(1).div(2).clamp(0, 1).float().cpu().numpy()
        generated = images.to_pixels(images.to_channels(values, 1)).astype(np.uint8)
        scores.append(_score(generated, nir))
        floors["grey"].append(_score(images.to_grey(rgb), nir))
        if linear is not None:
            floors["linear"].append(_score(linear.predict(rgb), nir))
        if position in drawn:
            shown = f"PSNR {scores[-1][0]:.1f} dB, SSIM {scores[-1][1]:.3f}"
            rows.append(
                images.SheetRow((rgb, generated, nir), (pair.name, shown, f"grey: {floors['grey'][-1][0]:.1f} dB"))
            )
    headings = ("RGB", "generated NIR", "real NIR")
    picture = images.contact_sheet(rows, headings=headings, width=_WIDTH) if rows else None
    psnr, ssim = _mean(scores)
    return Validation(psnr, ssim, picture, tuple(skipped), {name: _mean(each) for name, each in floors.items()})


def linear_baseline(path: Path, pairs: PairList, size: int) -> Linear | None:
    """Return the linear map of least squared error over `_FITTED` training pairs, evenly spread, size x size.

    It is fitted once, and stored in a file; that of other pairs or of another size is replaced. None if no pair can be
    read.
    """
    chosen = pairs.of(pairs.pairs[at] for at in _spread(len(pairs.pairs), _FITTED))
    of = {"size": size, "pairs": [[pair.rgb_sha256, pair.nir_sha256] for pair in chosen.pairs]}
    try:
        values = unseal(read_json(path)) if path.is_file() else {}
        if all(values.get(name) == value for name, value in of.items()):
            return Linear(np.array(values["weights"], np.float64), float(values["offset"]))
    except (ValueError, TypeError, KeyError):
        pass  # damaged: it is fitted again
    fit, read = LinearFit(), 0
    for pair in chosen.pairs:
        try:
            rgb, nir = (images.resize(image, (size, size), resample="bilinear") for image in read_pair(chosen, pair))
        except ImageError:  # training tells, or skips it
            continue
        fit.add(rgb, nir)
        read += 1
    if not read:
        return None
    fitted = fit.solve()
    values = {"weights": fitted.weights.tolist(), "offset": fitted.offset, **of}
    write_whole(path, json.dumps(seal(values)).encode() + b"\n")
    return fitted


def _score(image: NDArray[np.uint8], nir: NDArray[np.uint8]) -> tuple[float, float]:
    return min(metrics.psnr(image, nir), metrics.PSNR_CEILING), metrics.ssim(image, nir)


def _mean(scores: list[tuple[float, float]]) -> tuple[float, float]:
    psnr, ssim = np.mean(scores or [(np.nan, np.nan)], axis=0)  # sums in the images' order
    return float(psnr), float(ssim)


_NO_TERMS = {"step", "minutes", "progress", "learning_rate"}


class Log(AbstractContextManager["Log"]):
    """Log of a run, continued from a checkpoint's step; lines of later steps, of a run that was killed, are dropped."""

    def __init__(self, out: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._out, self.path = out, out / "log.jsonl"
        kept = [line for line in read_log(out) if line["step"] <= step]
        write_whole(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._file = self.path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)

    def __exit__(self, *_: object) -> None:
        there = self.in_place()
        self._file.close()
        try:
            self._board.close()
        except OSError:
            if there:  # otherwise its file, which it opens for each line, went away too
                raise

    def in_place(self) -> bool:
        """Return True if the log's file was neither removed nor replaced."""
        return is_at(self._file, self.path)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Append a line; its numbers become TensorBoard scalars too, those of a nested mapping as `mapping/name`."""
        self._file.write(json.dumps({"step": step} | dict(values), allow_nan=False) + "\n")
        self._file.flush()
        for name, value in flat(dict(values)).items():
            if isinstance(value, int | float):
                self._board.add_scalar(name.replace(".", "/"), float(value), step)

    def write_step(self, state: BaseState, progress: float, learning_rate: float, terms: Mapping[str, float]) -> None:
        """Append the line of a step; a term that is not finite, as fp16 makes them at first, is null."""
        about = {
            "minutes": round(state.minutes, 2),
            "progress": round(progress, 5),
            "learning_rate": float(f"{learning_rate:.4g}"),
        }
        rounded = {name: float(f"{value:.5g}") if math.isfinite(value) else None for name, value in terms.items()}
        self.write(state.step, about | rounded)

    def picture(self, step: int, name: str, rgb: NDArray[np.uint8]) -> None:
        """Add a picture, (H, W, 3) uint8, to TensorBoard."""
        self._board.add_image(name, rgb, step, dataformats="HWC")

    def draw(self) -> None:
        """Draw the curves so far as `curves.png`, unless the log went away: another folder may be in its place."""
        picture = draw_curves(read_log(self._out))
        if self.in_place():
            write_whole(self._out / "curves.png", picture)


def read_log(out: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's log, without a torn one that a killed run left."""
    path = out / "log.jsonl"
    lines = []
    for text in read_bytes(path).split(b"\n") if path.is_file() else []:
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            lines.append(line)
    return lines


def draw_curves(lines: list[dict[str, Any]]) -> bytes:
    """Draw loss terms and validation scores of a log over the steps, as a PNG; baselines are level lines."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    steps = [line for line in lines if "progress" in line]
    judged = [line for line in lines if "validation" in line]
    terms = sorted({name for line in steps for name in line} - _NO_TERMS)
    figure = Figure(figsize=(10, 3.2 * (3 if judged else 1)), layout="constrained")
    losses, *scores = figure.subplots(3 if judged else 1, 1, sharex=True, squeeze=False)[:, 0]
    for name in terms:
        points = [(line["step"], line[name]) for line in steps if line.get(name) is not None]
        losses.plot(*np.transpose(points), marker="o" if len(points) == 1 else "", label=name, linewidth=1)
    negative = any((line.get(name) or 0) < 0 for line in steps for name in terms)
    losses.set(yscale="symlog" if negative else "log", ylabel="loss terms")
    if terms:
        losses.legend(loc="best", fontsize="small", ncols=min(len(terms), 4))
    for axes, (name, label) in zip(scores, (("psnr", "PSNR, dB"), ("ssim", "SSIM")), strict=False):
        points = [(line["step"], line["validation"][name]) for line in judged]
        axes.plot(*np.transpose(points), "o-", markersize=4, label="generated")
        floors: dict[str, dict[str, float]] = next(
            (line["baselines"] for line in reversed(judged) if "baselines" in line), {}
        )
        for floor, (title, style) in _BASELINES.items():
            if floor in floors:
                value = floors[floor][name]
                axes.axhline(value, color="0.4", linestyle=style, linewidth=1, label=f"{title}, {value:.4g}")
        axes.set_ylabel(f"validation {label}")
        axes.legend(loc="best", fontsize="small")
        axes.grid(axis="y", color="0.9")
    last = scores[-1] if scores else losses
    last.set_xlabel("step")
    last.xaxis.set_major_locator(MaxNLocator(integer=True))
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100, metadata={"Software": None})
    return picture.getvalue()
