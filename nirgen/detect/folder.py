"""Run folder of a detector's training: settings, model, checkpoints, and its evaluation on the validation images."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nirgen._version import __version__
from nirgen.config import differences, read_yaml
from nirgen.detect.config import PLAIN, BootstrapConfig, DetectConfig
from nirgen.detect.detector import ABOUT, MODEL_FOLDER, Detector
from nirgen.detect.evaluation import METRICS, detect, score, write
from nirgen.detect.monitor import draw_curves
from nirgen.detect.networks import KINDS, write_network
from nirgen.errors import ConfigError, OutputError
from nirgen.files import seal, sha256_of, write_whole
from nirgen.models.checkpoint import model_id
from nirgen.train.folder import BaseFolder
from nirgen.train.monitor import read_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn

    from nirgen.detect.data import Split
    from nirgen.detect.state import State
    from nirgen.train.checkpoints import Last
    from nirgen.train.monitor import Log


SCHEMA = 1  # of nirgen.json
_BUILDING, _OLD = ".model.nirgen-building", ".model.nirgen-old"
_KIND = "detector"
JUDGED_FOLDER = "validation"  # the evaluation of the model on the validation images


class RunFolder(BaseFolder):
    """Folder of a detector's training (docs/detect.md describes its files), in which no other process trains."""

    def __init__(
        self,
        out: Path,
        config: DetectConfig,
        dataset: Path,
        trained_on: dict[str, Any],
        held: Callable[[], bool] | None = None,
        *,
        validation: Split | None = None,
    ) -> None:
        super().__init__(out, config, config.keep, held)
        self.validation = validation  # images that the weights are chosen by
        self.judged = out / JUDGED_FOLDER
        self.config = config
        self.model = out / MODEL_FOLDER
        self.start: dict[str, Any] = {}  # the model that the run started from
        self._dataset = dataset
        self._trained_on = trained_on
        path = out / "config.yaml"
        strangers = sorted(entry.name for entry in out.iterdir() if not entry.name.startswith("."))
        if strangers and not path.is_file():
            raise OutputError(f"{out}: holds no run, but '{strangers[0]}'; name a new folder")
        try:
            if strangers:
                DetectConfig.read(read_yaml(path), where=str(path))
        except ConfigError:
            raise OutputError(f"{out}: holds a run of another kind (config.yaml); name a new folder") from None

    def last(self) -> Last | None:
        """Return the newest whole checkpoint, or None without any; a ConfigError if it is of another run."""
        last = self.checkpoints.last()
        if last is None:
            return None
        path, values = last.path, last.values
        if values.get("kind") != _KIND:
            raise ConfigError(f"{path}: not of a detector; name a new folder")
        old = DetectConfig.read(json.loads(values["config"]), where=f"{path} (config)")
        changes = differences(old, self.config, ignored=PLAIN)
        if values["dataset_sha256"] != self._trained_on["sha256"]:
            changes.append("another dataset")
        elif values["keys_sha256"] != self._trained_on["keys_sha256"]:
            changes.append("other images of the dataset")
        if changes:
            raise ConfigError(f"{self.out}: holds a run of other settings ({'; '.join(changes)}); name a new folder")
        self.start = values["start"]
        return last

    def begin(self, step: int) -> Log:
        """Clean up after a killed run, write `config.yaml`, and open the log at a step."""
        if (self.out / _OLD).exists() and not self.model.exists():
            (self.out / _OLD).rename(self.model)
        unfinished = () if (self.judged / METRICS).is_file() else (JUDGED_FOLDER,)
        for name in (_OLD, _BUILDING, *unfinished):
            shutil.rmtree(self.out / name, ignore_errors=True)
        return super().begin(step)

    def due(self, state: State) -> bool:
        """Return True if the weights of this step are to be validated, and weren't yet."""
        config, step = self.config, state.step
        if self.validation is None or step <= state.validated:
            return False
        return step % config.validation_steps == 0 or step >= config.steps

    def validate(self, state: State, log: Log, progress: Callable[[int, int], None] | None = None) -> None:
        """Compute the AP of the averaged weights on the validation images, and keep them if it is the highest."""
        split = self._validation_split()
        results = detect(self._detector(state, state.average.module), split, progress)
        found = score(split, results, BootstrapConfig(resamples=0), {})
        values = {name: number.value for name, number in found.numbers.items() if number.value is not None}
        log.write(state.step, {"validation": {name: round(value, 6) for name, value in values.items()}})
        state.note(values["ap"])

    def judge(self, state: State, progress: Callable[[int, int], None] | None = None) -> None:
        """Write an evaluation of the run's model on the validation images, with pictures."""
        if not self._held():
            self.save(state)
        split, detector = self._validation_split(), self._detector(state, state.chosen)
        judged: dict[str, str | int] = {"model": MODEL_FOLDER, "model_id": detector.id, "size": detector.size}
        write(score(split, detect(detector, split, progress), BootstrapConfig(), judged), self.judged)

    def _validation_split(self) -> Split:
        assert self.validation is not None
        return self.validation

    def _detector(self, state: State, model: nn.Module) -> Detector:
        labels = state.network.labels
        sources = tuple((position,) for position in range(len(labels)))
        return Detector(replace(state.network, model=model.eval()), labels, sources, self.config.size)

    def draw(self, log: Log) -> None:
        """Draw the curves so far as `curves.png`, unless the log went away: another folder may be in its place."""
        picture = draw_curves(read_log(self.out))
        if log.in_place():
            write_whole(self.out / "curves.png", picture)

    def save(self, state: State) -> None:
        """Write the model, then a checkpoint: a resumed run is never ahead of the model."""
        about = {
            "kind": _KIND,
            "best_step": state.step,
            "config": self.config.model_dump_json(),
            "dataset_sha256": self._trained_on["sha256"],
            "keys_sha256": self._trained_on["keys_sha256"],
            "start": self.start,
        }
        with self.saving(state.step):
            self._write_model(state)
            self.checkpoints.write(state.dump() | about)

    def write_run_json(self, state: State, *, ended: bool) -> None:
        """Write `run.json`: clock, host and versions."""
        import transformers

        about = {"dataset": str(self._dataset.resolve())}
        self.write_run(state, about, ended=ended, transformers=transformers.__version__)

    def _write_model(self, state: State) -> None:
        """Write the averaged model beside its place, then exchange the two folders; the same run, the same bytes."""
        building, old = self.out / _BUILDING, self.out / _OLD
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        model: Any = state.chosen
        kind = str(model.config.model_type)
        assert kind in KINDS
        write_network(building, model, state.network, self.config.size)
        about = {
            "schema": SCHEMA,
            "nirgen": __version__,
            "id": model_id(model.state_dict(), {"kind": kind}),
            "names": list(state.network.labels),
            "size": self.config.size,
            "steps": state.chosen_step,
            "of_steps": self.config.steps,
            "validation": self._about_validation(state),
            "ema": True,
            "seed": self.config.seed,
            "config": self.config.model_dump(mode="json", exclude={"model", "workers"}),
            "start": self.start,
            "dataset": self._trained_on,
        }
        about["files"] = {path.name: sha256_of(path) for path in sorted(building.iterdir())}
        write_whole(building / ABOUT, (json.dumps(seal(about), indent=2) + "\n").encode())
        if self.model.exists():
            self.model.rename(old)
        building.rename(self.model)
        shutil.rmtree(old, ignore_errors=True)

    def _about_validation(self, state: State) -> dict[str, Any] | None:
        """Return what the weights of the model were chosen by; None before a validation."""
        split = self.validation
        if split is None or not state.ap_step:
            return None
        real = not split.generated
        return {"split": split.name, "images": len(split.images), "real": real, "ap": round(state.best_ap, 6)}
