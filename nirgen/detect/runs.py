"""The runs of a comparison: each trains a detector on an arm with a seed, and evaluates it on real images."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import yaml

from nirgen.config import differences, read_yaml
from nirgen.detect import page, report
from nirgen.detect.arms import USUAL, ComparisonPlan, plan_comparison
from nirgen.detect.budget import first_round, halving, measure_pace, refuse_small
from nirgen.detect.comparison import Judged, sum_up
from nirgen.detect.config import PLAIN, CompareConfig, DetectConfig
from nirgen.detect.detector import load_detector
from nirgen.detect.evaluation import DETECTIONS, METRICS, detect, score, write
from nirgen.detect.ledger import Ledger
from nirgen.detect.loop import train
from nirgen.detect.power import forewarn
from nirgen.errors import ConfigError, OutputError
from nirgen.files import locked, make_folder, output_file, read_json, sha256_of, unseal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from nirgen.detect.arms import Extra, Ratio, Run
    from nirgen.detect.comparison import Comparison
    from nirgen.detect.data import Split
    from nirgen.progress import Progress


SCHEMA = 1
CONFIG = "comparison.yaml"  # what all runs of a folder share


def compare(
    dataset: Path | ComparisonPlan,
    out: Path,
    config: CompareConfig | None = None,
    *,
    ratios: Sequence[Ratio] | None = None,
    extras: Collection[Extra] = USUAL,
    budget: float | None = None,
    device: str | None = None,
    progress: Progress = lambda _stage, _done, _total: None,
    stopped: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda _line: None,
) -> Comparison:
    """Train detectors with and without generated images, and compare them on real ones; or resume a comparison.

    Args:
        dataset: Output of `nirgen build-dataset`, with real and generated images to train on, and real test images; or
            what `plan_comparison` made of it, `config`, `ratios` and `extras`.
        out: The folder to write, new or of the same comparison (docs/detect.md describes its files).
        config: Training, seeds, test split and bootstrap.
        ratios: Generated images for each real one, a training set each; see `nirgen.detect.plan_comparison`.
        extras: Further training sets, likewise.
        budget: Minutes in all; then the better half of the arms is trained with each further seed (`budget`), and no
            run is begun that would take longer. By default all arms are trained with all seeds.
        device: `cpu`, `cuda`...; the best available one by default.
        progress: Progress callback.
        stopped: Called now and then; True ends the comparison by KeyboardInterrupt.
        say: Called with lines on what the test images could show, and on each finished run.

    Raises:
        KeyboardInterrupt: It was stopped; finished runs are kept.
        OutputError: Another process compares here, or the folder holds something else.
        ConfigError: The budget isn't enough for a run of each arm.
        NirgenError: As for `plan_comparison`, `train` and `load_detector`.
    """
    plan = dataset
    if not isinstance(plan, ComparisonPlan):
        plan = plan_comparison(plan, config or CompareConfig(), ratios, extras)
    make_folder(out)
    with locked(out / ".lock", busy=f"{out}: another process compares here; wait for it, or name another folder"):
        before = forewarn(plan)
        for line in before:
            say(line)
        bench = Bench(plan, out, device, progress, stopped, say, budget)
        comparison = sum_up(bench.carry_out(), plan.test, plan.config, bench.watch("comparing"))
        report.write(comparison, out)
        page.write(comparison, out, before)
    return comparison


@dataclass(frozen=True)
class Bench:
    """The folder and the callbacks of a comparison (see `compare`)."""

    plan: ComparisonPlan
    out: Path  # it exists, and no other process writes to it
    device: str | None = None
    progress: Progress = lambda _stage, _done, _total: None
    stopped: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = lambda _line: None
    budget: float | None = None  # minutes

    def carry_out(self) -> list[Judged]:
        """Train and evaluate what hasn't been yet; return the runs, with their detections as files have them."""
        test, config, runs = self.plan.test, self.plan.config, self.plan.runs
        load = partial(load_detector, categories=test.names, device=self.device, size=config.train.size)
        base = load(config.train.model)
        _claim(self.out, test, config, base.id)
        judged: dict[Run, Judged] = {}
        ledger = Ledger(self.out, test.name, test.names)
        for number, run in enumerate(self._order(ledger), start=1):
            began = time.monotonic()
            name = run.name.removeprefix("runs/")
            where = f"{name} ({number} of {len(runs)})"
            folder = self.out / run.name / test.name
            model_id, already = _evaluated(folder, test), " already"
            if model_id is None:
                detector, already = base, ""
                if run.seed is not None:
                    self._train(run, run.seed, where)
                    detector = load(self.out / run.name)
                results = detect(detector, test, self.watch(f"judging {where}"))
                model_id = detector.id
                about: dict[str, str | int] = {"model": name, "model_id": model_id, "size": detector.size}
                write(score(test, results, config.bootstrap, about), folder)
            ledger.add(run, 0.0 if already else time.monotonic() - began)
            self.say(f"{where}: done{already}")
            judged[run] = Judged(run, model_id, folder / DETECTIONS)
        return [judged[run] for run in runs if run in judged]

    def _order(self, ledger: Ledger) -> Iterator[Run]:
        """Yield the runs; within a budget by successive halving, until the next one would take longer."""
        if self.budget is None:
            yield from self.plan.runs
            return
        pace = measure_pace(self.plan, self.device)
        refuse_small(self.plan, pace, self.budget)
        needed = set(first_round(self.plan))
        for run in halving(self.plan, ledger.found):
            known = _evaluated(self.out / run.name / self.plan.test.name, self.plan.test) is not None
            left = 60 * self.budget - ledger.seconds
            if not known and run not in needed and pace.of(run, self.plan) > left:
                self.say(f"the budget of {self.budget:g} minutes is used up: {ledger.seconds / 60:.3g} were taken")
                return
            yield run

    def watch(self, stage: str) -> Callable[[int, int], None]:
        """Return a callback that shows the progress of a stage, and raises KeyboardInterrupt once stopped."""

        def note(done: int, total: int) -> None:
            self.progress(stage, done, total)
            if self.stopped():
                raise KeyboardInterrupt

        return note

    def _train(self, run: Run, seed: int, where: str) -> None:
        train_config = self.plan.config.train
        every = train_config.validate_every or 0  # by default all arms are judged at their last step
        settings = train_config.model_copy(update={"seed": seed, "validate_every": every})
        outcome = train(
            self.plan.training_set(run.arm),
            self.out / run.name,
            settings,
            device=self.device,
            progress=lambda now: self.progress(f"training {where}", now.step, settings.steps),
            stopped=self.stopped,
            say=lambda line: self.say(f"warning: {line}"),
        )
        if not outcome.finished:
            raise KeyboardInterrupt


def _claim(out: Path, test: Split, config: CompareConfig, model_id: str) -> None:
    """Write what the runs of a folder share, or refuse a folder of another comparison."""
    mine = {
        "schema": SCHEMA,
        "dataset_sha256": test.sha256,
        "split": test.name,
        "model_id": model_id,
        "train": config.train.model_dump(mode="json", exclude={"seed"}),
    }
    called = {"schema": "schema", "dataset_sha256": "dataset", "split": "split", "model_id": "model under that name"}
    path = out / CONFIG
    if path.exists():
        try:
            old = read_yaml(path)
            train = DetectConfig.read(old["train"], where=f"{path} (train)")
            changes = differences(train, config.train, ignored={*PLAIN, "seed"})
            changes += [f"another {what}" for key, what in called.items() if old[key] != mine[key]]
        except (KeyError, TypeError, ConfigError):
            raise OutputError(f"{path}: damaged, or of another program; name another folder") from None
        if changes:
            raise OutputError(f"{out}: holds another comparison ({'; '.join(changes)}); name another folder")
        return
    strangers = sorted(entry.name for entry in out.iterdir() if not entry.name.startswith("."))
    if strangers:
        raise OutputError(f"{out}: holds no comparison, but '{strangers[0]}'; name a new folder")
    with output_file(path) as temporary:
        temporary.write_text(yaml.safe_dump(mine, sort_keys=False), encoding="utf-8")


def _evaluated(folder: Path, test: Split) -> str | None:
    """Return the id of the detector whose evaluation on these images a folder holds; None if it holds none."""
    try:
        values = unseal(read_json(folder / METRICS))
        found = sha256_of(folder / DETECTIONS)
        same = (values["dataset_sha256"], values["images"]["count"]) == (test.sha256, len(test.images))
        return str(values["judged"]["model_id"]) if same and values.get("detections_sha256", found) == found else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
