"""The runs of a comparison: each trains a detector on the images of an arm with a seed, and judges it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import yaml
from pydantic import Field, field_validator, model_validator

from nirgen.config import FrozenConfig
from nirgen.detect.bootstrap import BootstrapConfig
from nirgen.detect.config import DetectConfig
from nirgen.detect.detector import load_detector
from nirgen.detect.evaluation import DETECTIONS, METRICS, detect, evaluate, write
from nirgen.detect.loop import train_detector
from nirgen.detect.results import read_results
from nirgen.errors import ConfigError, OutputError
from nirgen.files import output_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nirgen.detect.arms import Arm
    from nirgen.detect.detector import Detector
    from nirgen.detect.results import Result
    from nirgen.detect.truth import Truth
    from nirgen.train.loop import Progress

    Report = Callable[[str, int, int | None], None]

SCHEMA = 1
CONFIG = "comparison.yaml"
"""In the folder of a comparison: what all its runs share."""


class CompareConfig(FrozenConfig):
    """A comparison."""

    train: DetectConfig = DetectConfig()
    """How each run is trained, but for the seed; every arm makes the same number of steps."""
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    """Each arm is trained once with each."""
    split: Literal["test", "val"] = "test"
    """On whose real images runs are judged."""
    bootstrap: BootstrapConfig = BootstrapConfig()

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or min(seeds, default=0) < 0:
            raise ValueError(f"{','.join(map(str, seeds))}: seeds are whole numbers from 0 on, each once")
        return seeds

    @model_validator(mode="after")
    def _judged_on_others(self) -> Self:
        if self.train.split == self.split:
            raise ValueError(f"trained and judged on the split '{self.split}'; judge on another one")
        return self


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
    report: Report = lambda _what, _done, _total: None
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

        def progress(now: Progress) -> None:
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
