"""What a run says of itself as it goes: `log.jsonl`, TensorBoard events, `curves.png`."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from nirgen.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_NO_TERMS = {"step", "minutes", "progress", "learning_rate"}


class Log:
    """The log of a run, taken up where a checkpoint stands.

    Args:
        out: The run folder.
        step: The step that the run stands at; what the log says of later ones, made by a run that was killed, is
            dropped.

    Raises:
        OSError: The log can't be written.
    """

    def __init__(self, out: Path, step: int) -> None:
        self._out = out
        kept = [line for line in read_log(out) if line["step"] <= step]
        write_whole(out / "log.jsonl", "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._file = (out / "log.jsonl").open("a", encoding="utf-8")
        self._board = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)

    def __enter__(self) -> Log:
        """The log itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its files."""
        self._file.close()
        self._board.close()

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Append a line, whose numbers become TensorBoard's too."""
        self._file.write(json.dumps({"step": step} | dict(values), allow_nan=False) + "\n")
        self._file.flush()
        for name, value in _numbers(values):
            self._board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, rgb: NDArray[np.uint8]) -> None:
        """Add a picture, (H, W, 3) uint8, to TensorBoard's."""
        self._board.add_image(name, rgb, step, dataformats="HWC")

    def draw(self) -> None:
        """Draw the curves so far as `curves.png`."""
        write_whole(self._out / "curves.png", draw_curves(read_log(self._out)))


def read_log(out: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; one that a killed run left torn is left out."""
    path = out / "log.jsonl"
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            lines.append(line)
    return lines


def draw_curves(lines: list[dict[str, Any]]) -> bytes:
    """Loss terms, learning rate and validation over the steps, as a PNG.

    Args:
        lines: Of the log.
    """
    steps = [line for line in lines if "progress" in line]
    judged = [line for line in lines if "validation" in line]
    terms = sorted({name for line in steps for name in line} - _NO_TERMS)
    figure = Figure(figsize=(10, 3.2 * (3 if judged else 2)), layout="constrained")
    losses, rate, *rest = figure.subplots(3 if judged else 2, 1, sharex=True)
    for name in terms:
        points = [(line["step"], line[name]) for line in steps if line.get(name) is not None]
        losses.plot(*np.transpose(points), label=name, linewidth=1)
    losses.set(
        yscale="symlog" if any((line.get(t) or 0) < 0 for line in steps for t in terms) else "log", ylabel="loss terms"
    )
    if terms:
        losses.legend(fontsize="small", ncols=min(len(terms), 4))
    rate.plot([line["step"] for line in steps], [line["learning_rate"] for line in steps])
    rate.set(ylabel="learning rate", xlabel="" if judged else "step")
    if judged:
        x = [line["step"] for line in judged]
        rest[0].plot(x, [line["validation"]["psnr"] for line in judged], "o-", markersize=3, color="C0")
        rest[0].set_ylabel("validation PSNR, dB", color="C0")
        rest[0].set_xlabel("step")
        right = rest[0].twinx()
        right.plot(x, [line["validation"]["ssim"] for line in judged], "s-", markersize=3, color="C1")
        right.set_ylabel("validation SSIM", color="C1")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100, metadata={"Software": None})
    return picture.getvalue()


def _numbers(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    """Numbers by their name, those of a mapping as `mapping/name`."""
    found = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            found.append((prefix + name, float(value)))
    return found
