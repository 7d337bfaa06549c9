"""Training sets of a comparison (arms) and its runs: each trains a detector on one arm with one seed and judges it."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import yaml

from nirgen.detect.config import CompareConfig, DetectConfig
from nirgen.detect.detector import load_detector
from nirgen.detect.evaluation import DETECTIONS, METRICS, detect, evaluate, read_results, write
from nirgen.detect.loop import train_detector
from nirgen.errors import ConfigError, NirgenError, OutputError
from nirgen.files import output_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nirgen.detect.coco_eval import Result
    from nirgen.detect.data import Examples, Truth
    from nirgen.detect.detector import Detector
    from nirgen.progress import Progress
    from nirgen.train.loop import StepReport


Ratio = float | Literal["all"]

PRETRAINED, REAL = "pretrained", "real"
"""The names of the arms that are always there."""
_USUAL: tuple[Ratio, ...] = (0.0, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of training.

    Attributes:
        name: `pretrained`, `real`, or such as `real+1x`: also that of its folder.
        title: What tables call it.
        images: Keys of the images that it is trained on, sorted; none of `pretrained`.
        real: How many of them are real.
        generated: How many were translated from RGB.
    """

    name: str
    title: str
    images: tuple[str, ...] = ()
    real: int = 0
    generated: int = 0

    @property
    def trained(self) -> bool:
        """Whether there is anything to train."""
        return bool(self.images)

    def epochs(self, steps: int, batch: int) -> float:
        """How often a training sees each image, on average."""
        return steps * batch / len(self.images) if self.images else 0.0


def parse_ratios(text: str) -> tuple[Ratio, ...]:
    """Read how many generated images arms have for each real one.

    Args:
        text: Numbers from 0 on, or `all`, with commas between.

    Raises:
        ConfigError: One is neither.

    Example:
        >>> parse_ratios("0, 0.5,2,all")
        (0.0, 0.5, 2.0, 'all')
    """
    found: list[Ratio] = []
    for part in (each.strip() for each in text.split(",")):
        if part == "all":
            found.append("all")
            continue
        try:
            ratio = float(part)
        except ValueError:
            ratio = math.nan
        if not 0 <= ratio < math.inf:
            raise ConfigError(f"ratio {part!r}: no number from 0 on, nor 'all'; give such as --ratios 0,1,2")
        found.append(ratio)
    return tuple(found)


def make_arms(examples: Examples, ratios: Sequence[Ratio] | None = None) -> tuple[Arm, ...]:
    """Choose the images of each arm: all real ones, and more and more generated ones, each arm holding the one before.

    Generated images are taken in the order of the sha256 of their keys, so that the same ones are chosen from the same
    dataset, and a larger dataset adds to them.

    Args:
        examples: The training images.
        ratios: Generated images for each real one; 0 is always there. By default 0, 1 and 2 as far as there are
            images, or all if there are fewer.

    Returns:
        `pretrained`, `real`, then the others by growing ratio.

    Raises:
        NirgenError: There are no real images, no generated ones, or fewer than a ratio needs; or no ratio needs one.
    """
    real = [example.key for example in examples.examples if not example.generated]
    generated = sorted((example.key for example in examples.examples if example.generated), key=_order)
    _check(examples.folder, examples.split, len(real), len(generated))
    available = len(generated) / len(real)
    if ratios is None:
        ratios = [ratio for ratio in _USUAL if isinstance(ratio, float) and ratio <= available]
        ratios = [*ratios, "all"] if available < 2 else ratios
    arms = {0: Arm(REAL, "+ real", tuple(sorted(real)), len(real))}
    for ratio in sorted(ratios, key=lambda each: available if each == "all" else float(each)):
        count = len(generated) if ratio == "all" else round(float(ratio) * len(real))
        if count > len(generated):
            raise NirgenError(
                f"{examples.folder}: ratio {ratio:g} needs {count} generated images for {len(real)} real ones, and "
                f"'{examples.split}' has {len(generated)}; give at most {available:.3g}, or 'all'"
            )
        short = "all" if ratio == "all" else f"{ratio:g}x"
        title = f"+ real + {'all' if ratio == 'all' else f'{ratio:g} x'} generated"
        images = tuple(sorted([*real, *generated[:count]]))
        arms.setdefault(count, Arm(f"{REAL}+{short}", title, images, len(real), count))
    if len(arms) < 2:
        raise NirgenError(
            f"ratios {', '.join(map(str, ratios))}: no arm has a generated image, so there is nothing to compare; give "
            "a larger one, or 'all'"
        )
    return (Arm(PRETRAINED, "as pretrained"), *arms.values())


def _order(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _check(folder: Path, split: str, real: int, generated: int) -> None:
    if not real:
        raise NirgenError(
            f"{folder}: '{split}' has no real images, and a comparison needs real and generated ones there; give "
            f"--real images of '{split}' to 'nirgen build-dataset'"
        )
    if not generated:
        raise NirgenError(
            f"{folder}: '{split}' has no generated images, and a comparison needs real and generated ones there; give "
            "--generated to 'nirgen build-dataset'"
        )


SCHEMA = 1
CONFIG = "comparison.yaml"
"""In the folder of a comparison: what all its runs share."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training, and how it is judged.

    Attributes:
        arm: With which images.
        seed: Of the training; None where nothing is trained.
    """

    arm: Arm
    seed: int | None

    @property
    def name(self) -> str:
        """Its folder, relative to that of the comparison, such as `runs/real+1x/seed0`."""
        return f"runs/{self.arm.name}" + ("" if self.seed is None else f"/seed{self.seed}")


@dataclass(frozen=True)
class Judged:
    """A run that has been carried out.

    Attributes:
        run: Which.
        model_id: Of the detector that came of it.
        results: What it found on the images.
    """

    run: Run
    model_id: str
    results: tuple[Result, ...]


def runs_of(arms: Sequence[Arm], seeds: Sequence[int]) -> tuple[Run, ...]:
    """All runs, arm by arm."""
    return tuple(Run(arm, seed) for arm in arms for seed in (seeds if arm.trained else (None,)))


@dataclass(frozen=True)
class Bench:
    """Where runs are carried out.

    Attributes:
        truth: The images to judge on, of the dataset to train on.
        out: The folder of the comparison; it exists, and no other process writes to it.
        config: What the runs share.
        device: `cpu`, `cuda`...; the best there is by default.
        report: Told the stage of a run, how much of it is done, and of how much.
        stopped: Asked now and then whether to stop.
        say: Told in a line what became of each run.
    """

    truth: Truth
    out: Path
    config: CompareConfig
    device: str | None = None
    report: Progress = lambda _what, _done, _total: None
    stopped: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = lambda _text: None

    def carry_out(self, runs: Sequence[Run]) -> list[Judged]:
        """Train and judge what hasn't been yet.

        Returns:
            The runs in their order, with what was found, as it is in files.

        Raises:
            KeyboardInterrupt: It was stopped; the same call goes on.
            OutputError: The folder holds another comparison.
            NirgenError: As for `train_detector`, `load_detector` and `detect`.
        """
        base = self._load(self.config.train.model)
        _claim(self.out, self.truth, self.config, base.id)
        judged = []
        for number, run in enumerate(runs, start=1):
            where = f"{run.name.removeprefix('runs/')} ({number} of {len(runs)})"
            folder = self.out / run.name / self.truth.split
            done = _is_judged(folder, self.truth)
            if not done:
                detector = base if run.seed is None else self._train(run, run.seed, where)
                self._judge(detector, run, where)
            self.say(f"{where}: done{' already' if done else ''}")
            judged.append(_read(run, folder, self.truth))
        return judged

    def _load(self, name: str | Path) -> Detector:
        return load_detector(name, categories=self.truth.names, device=self.device, size=self.config.train.size)

    def _train(self, run: Run, seed: int, where: str) -> Detector:
        settings = self.config.train.model_copy(update={"seed": seed})

        def progress(now: StepReport) -> None:
            self.report(f"training {where}", now.step, settings.steps)

        folder = self.out / run.name
        outcome = train_detector(
            self.truth.folder,
            folder,
            settings,
            images=run.arm.images,
            device=self.device,
            progress=progress,
            stopped=self.stopped,
        )
        if not outcome.finished:
            raise KeyboardInterrupt
        return self._load(folder)

    def _judge(self, detector: Detector, run: Run, where: str) -> None:
        def progress(done: int, total: int) -> None:
            self.report(f"judging {where}", done, total)
            if self.stopped():
                raise KeyboardInterrupt

        results = detect(detector, self.truth, progress)
        name = run.name.removeprefix("runs/")
        about: dict[str, str | int] = {"model": name, "model_id": detector.id, "size": detector.size}
        write(evaluate(self.truth, results, self.config.bootstrap, about), self.out / run.name / self.truth.split)


def _claim(out: Path, truth: Truth, config: CompareConfig, model_id: str) -> None:
    """Say what a folder's runs are of, or refuse one that has runs of something else."""
    mine = {
        "schema": SCHEMA,
        "dataset_sha256": truth.dataset_sha256,
        "split": truth.split,
        "model_id": model_id,
        "train": config.train.model_dump(mode="json", exclude={"seed"}),
    }
    path = out / CONFIG
    if path.exists():
        try:
            old = yaml.safe_load(path.read_text(encoding="utf-8"))
            changes = DetectConfig.read(old["train"], where=f"{path} (train)").differences(
                config.train.model_copy(update={"seed": DetectConfig().seed})
            )
            changes += [f"another {what}" for key, what in _SHARED.items() if old[key] != mine[key]]
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ConfigError):
            raise OutputError(f"{path}: damaged, or of another program; name another folder") from None
        if changes:
            raise OutputError(f"{out}: holds another comparison ({'; '.join(changes)}); name another folder")
        return
    strangers = sorted(entry.name for entry in out.iterdir() if not entry.name.startswith("."))
    if strangers:
        raise OutputError(f"{out}: holds no comparison, but '{strangers[0]}'; name a new folder")
    with output_file(path) as temporary:
        temporary.write_text(yaml.safe_dump(mine, sort_keys=False), encoding="utf-8")


_SHARED = {"schema": "schema", "dataset_sha256": "dataset", "split": "split", "model_id": "model under that name"}


def _is_judged(folder: Path, truth: Truth) -> bool:
    """Whether a run was judged on these images."""
    values = _metrics(folder)
    return (
        values.get("dataset_sha256") == truth.dataset_sha256
        and values.get("images", {}).get("count") == len(truth.entries)
        and (folder / DETECTIONS).is_file()
    )


def _metrics(folder: Path) -> dict[str, Any]:
    """What a run's evaluation says; nothing where there is none that can be read."""
    try:
        values = json.loads((folder / METRICS).read_bytes())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _read(run: Run, folder: Path, truth: Truth) -> Judged:
    results, _ = read_results(folder / DETECTIONS, truth)
    return Judged(run, str(_metrics(folder)["judged"]["model_id"]), tuple(results))
