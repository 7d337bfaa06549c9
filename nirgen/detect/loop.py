"""Training of a detector: run folder, checkpoints and training loop."""

from __future__ import annotations

import json
import math
import platform
import shutil
import socket
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from nirgen._version import __version__
from nirgen.detect.config import DetectConfig
from nirgen.detect.data import read_examples
from nirgen.detect.detector import ABOUT, MODEL_FOLDER, find_sources, model_folder
from nirgen.detect.networks import FRESH, KINDS, Network, give_heads, read_network, write_network
from nirgen.detect.state import NotFiniteError, State
from nirgen.detect.views import Batches
from nirgen.devices import choose_device
from nirgen.errors import ConfigError, OutputError
from nirgen.files import is_temporary, make_folder, write_whole
from nirgen.models.checkpoint import model_id
from nirgen.train.folder import Checkpoints, alone, full_disk_is_one_line, last_good
from nirgen.train.loop import Outcome, StepReport
from nirgen.train.monitor import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from nirgen.detect.data import Examples


SCHEMA = 1
"""Of `nirgen.json`."""
_BUILDING, _OLD = ".model.nirgen-building", ".model.nirgen-old"
_KIND = "detector"


class RunFolder:
    """What a training writes (docs/detect.md says all of it).

    Args:
        out: The folder; it exists, and no other process trains in it.
        config: The run.
        examples: What it trains on.

    Attributes:
        model: The folder of the model.
        checkpoints: Those in the folder.

    Raises:
        OutputError: It holds something else than a training of a detector.
    """

    def __init__(self, out: Path, config: DetectConfig, examples: Examples) -> None:
        self.out = out
        self.config = config
        self.examples = examples
        self.model = out / MODEL_FOLDER
        self.checkpoints = Checkpoints(out / "checkpoints", config.keep)
        self.start: dict[str, Any] = {}
        self._started = datetime.now(UTC)
        _refuse_foreign(out)

    def last(self) -> dict[str, Any] | None:
        """What the newest checkpoint holds, if it is of this run; None without any.

        Raises:
            ConfigError: It is of a run with other settings, another dataset or other images.
            ModelError: It can't be read.
        """
        path = self.checkpoints.newest()
        if path is None:
            return None
        values = self.checkpoints.read(path)
        if values.get("kind") != _KIND:
            raise ConfigError(f"{path}: not of a detector; name a new folder")
        old = DetectConfig.read(json.loads(values["config"]), where=f"{path} (config)")
        changes = old.differences(self.config)
        if values["dataset_sha256"] != self.examples.dataset_sha256:
            changes.append("another dataset")
        elif values["keys_sha256"] != self.examples.keys_sha256:
            changes.append("other images of the dataset")
        if changes:
            raise ConfigError(f"{self.out}: holds a run of other settings ({'; '.join(changes)}); name a new folder")
        self.start = values["start"]
        return values

    def begin(self, step: int) -> Log:
        """Write what is known before the first step of a sitting."""
        for folder in (self.out, self.checkpoints.folder):
            for path in folder.iterdir() if folder.is_dir() else ():
                if is_temporary(path.name):
                    path.unlink(missing_ok=True)
        self._put_model_right()
        text = yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False)
        write_whole(self.out / "config.yaml", text.encode())
        return Log(self.out, step)

    def save(self, state: State) -> None:
        """Write the model so far, then a checkpoint: what is resumed is never newer than what can be used."""
        self._write_model(state)
        about = {
            "kind": _KIND,
            "best_step": state.step,
            "config": self.config.model_dump_json(),
            "dataset_sha256": self.examples.dataset_sha256,
            "keys_sha256": self.examples.keys_sha256,
            "start": self.start,
        }
        self.checkpoints.write(state.dump() | about)

    def write_run_json(self, state: State, *, ended: bool) -> None:
        """Clocks, host and versions: all that must not be in the other files."""
        import transformers

        device = state.device
        about = {
            "schema": 1,
            "state": "ended" if ended else "running",
            "dataset": str(self.examples.folder.resolve()),
            "started": self._started.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - self._started).total_seconds(), 1),
            "steps": state.step,
            "minutes": round(state.minutes, 2),
            "host": socket.gethostname(),
            "platform": platform.platform(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "nirgen": __version__,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        }
        write_whole(self.out / "run.json", (json.dumps(about, indent=2) + "\n").encode())

    def _write_model(self, state: State) -> None:
        """Write the average beside its place, then exchange the two."""
        building, old = self.out / _BUILDING, self.out / _OLD
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        model = state.average.module
        write_network(building, model, state.network, self.config.size)
        write_whole(building / ABOUT, (json.dumps(self._about(state), indent=2) + "\n").encode())
        if self.model.exists():
            self.model.rename(old)
        building.rename(self.model)
        shutil.rmtree(old, ignore_errors=True)

    def _put_model_right(self) -> None:
        """Take back the model that a run was exchanging when it was killed."""
        old = self.out / _OLD
        if old.exists() and not self.model.exists():
            old.rename(self.model)
        for path in (old, self.out / _BUILDING):
            shutil.rmtree(path, ignore_errors=True)

    def _about(self, state: State) -> dict[str, Any]:
        """What trained the model, as plain values that are the same for the same training."""
        model: Any = state.average.module
        kind = str(model.config.model_type)
        assert kind in KINDS
        return {
            "schema": SCHEMA,
            "nirgen": __version__,
            "id": model_id(model.state_dict(), {"kind": kind}),
            "names": list(state.network.labels),
            "size": self.config.size,
            "steps": state.step,
            "of_steps": self.config.steps,
            "ema": True,
            "seed": self.config.seed,
            "config": self.config.model_dump(mode="json", exclude={"model", "workers"}),
            "start": self.start,
            "dataset": {
                "digest": self.examples.dataset_digest,
                "sha256": self.examples.dataset_sha256,
                "keys_sha256": self.examples.keys_sha256,
                "split": self.examples.split,
                **self.examples.counts(),
            },
        }


def _refuse_foreign(out: Path) -> None:
    """Refuse a folder that holds something, and no training of a detector."""
    path = out / "config.yaml"
    if not path.is_file():
        strangers = sorted(entry.name for entry in out.iterdir() if not entry.name.startswith("."))
        if strangers:
            raise OutputError(f"{out}: holds no run, but '{strangers[0]}'; name a new folder")
        return
    try:
        DetectConfig.read(yaml.safe_load(path.read_text(encoding="utf-8")), where=str(path))
    except (ConfigError, OSError, ValueError, TypeError, yaml.YAMLError):
        raise OutputError(f"{out}: holds a run of another kind (config.yaml); name a new folder") from None


def train_detector(
    dataset: Path,
    run: Path,
    config: DetectConfig,
    *,
    images: Collection[str] | None = None,
    device: str | None = None,
    progress: Callable[[StepReport], None] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Outcome:
    """Train a detector, or go on where a run stopped.

    Args:
        dataset: The folder that `nirgen build-dataset` wrote.
        run: The run folder, new or of the same run (docs/detect.md says what is in it).
        config: The run.
        images: Keys of the images to train on; by default all of the split.
        device: `cpu`, `cuda`, `cuda:1`, `mps`...; the best there is by default.
        progress: Called after each step.
        stopped: Asked after each step whether to save and leave.

    Returns:
        The folder of the model, and whether the run is at its end.

    Raises:
        ConfigError: Transformers isn't installed; there is no such device, or it has not enough memory; the loss became
            NaN or infinite; or the run in the folder has other settings or another dataset.
        ImageError: An image can't be read.
        ModelError: The model or a checkpoint can't be had or read.
        NirgenError: The dataset can't be read, or has nothing to learn from.
        OutputError: Another process trains here, or the folder can't be written, or holds something else.
    """
    where = choose_device(device)
    examples = read_examples(dataset, config.split, images)
    first = None if (run / "checkpoints").is_dir() else _first_network(config, examples)  # before there is a folder
    make_folder(run)
    with ExitStack() as stack:
        stack.enter_context(alone(run))
        stack.enter_context(torch.random.fork_rng([where] if where.type == "cuda" else []))
        folder = RunFolder(run, config, examples)
        last = folder.last()
        if last is None:
            network, folder.start = first or _first_network(config, examples)
            state = State(config, network, where)
        else:
            network = _own_network(folder, config, examples)
            state = State(config, network, where)
            state.restore(last, str(folder.checkpoints.newest()))
        stack.enter_context(full_disk_is_one_line(run, folder.checkpoints))
        log = stack.enter_context(folder.begin(state.step))
        folder.write_run_json(state, ended=False)
        try:
            made = _loop(state, folder, log, progress, stopped or (lambda: False))
        except NotFiniteError as error:
            raise ConfigError(
                f"step {state.step + 1}: {error}; {last_good(folder.checkpoints)}; lower learning_rate, or use "
                "precision=fp32"
            ) from None
        except torch.OutOfMemoryError:
            raise ConfigError(
                f"step {state.step + 1}: {where} has not enough memory for {config.batch} images of {config.size} "
                f"pixels; {last_good(folder.checkpoints)}; lower batch or size, in a new folder"
            ) from None
        finished = state.step >= config.steps
        if not folder.model.exists():  # a run that was at its end, and lost it
            folder.save(state)
        if made:
            log.draw()
        folder.write_run_json(state, ended=finished)
    return Outcome(folder.model, state.step, finished)


def _loop(
    state: State,
    folder: RunFolder,
    log: Log,
    progress: Callable[[StepReport], None] | None,
    stopped: Callable[[], bool],
) -> int:
    """Make steps until the end of the run, or until asked to stop; how many."""
    config = state.config
    began, before, first = time.monotonic(), state.minutes, state.step
    with Batches(folder.examples, config, state.step) as batches:
        asked = False
        while state.step < config.steps and not asked:
            factor = state.factor
            terms = state.update(*batches.next())
            seconds = time.monotonic() - began
            state.minutes = before + seconds / 60
            asked = stopped()
            over = state.step >= config.steps or asked

            # say so
            if state.step % config.log_steps == 0 or over or state.step == 1:
                log.write(state.step, _line(state, factor, terms))
            if progress is not None:
                rate = (state.step - first) / seconds
                left = (config.steps - state.step) / rate / 60
                progress(StepReport(state.step, state.step / config.steps, rate, left, terms))

            # save
            if state.step % config.checkpoint_steps == 0 or over:
                folder.save(state)
    return state.step - first


def _first_network(config: DetectConfig, examples: Examples) -> tuple[Network, dict[str, Any]]:
    """What a run starts from, with heads for the dataset's categories, and what is told of it."""
    name = config.model
    network = read_network(str(model_folder(name)), categories=examples.names, seed=config.seed)
    model: Any = network.model
    sources = find_sources(network.labels, examples.names)
    about = {
        "model": Path(name).name if Path(name).is_dir() else name,
        "kind": str(model.config.model_type),
        "id": model_id(network.model.state_dict(), {"kind": str(model.config.model_type)}),
        "rows": {
            category: network.labels[which[0]] if which else None
            for category, which in zip(examples.names, sources, strict=True)
        },
    }
    if name in FRESH:
        return network, about | {"rows": dict.fromkeys(examples.names)}
    return give_heads(network, examples.names, sources), about


def _own_network(folder: RunFolder, config: DetectConfig, examples: Examples) -> Network:
    """The network of a run that goes on: its own model, so that nothing is asked of a hub; its weights come after."""
    if (folder.model / "config.json").is_file():
        return read_network(str(folder.model), categories=examples.names)
    return _first_network(config, examples)[0]


def _line(state: State, factor: float, terms: dict[str, float]) -> dict[str, Any]:
    about = {
        "minutes": round(state.minutes, 2),
        "progress": round(state.step / state.config.steps, 5),
        "learning_rate": float(f"{state.config.learning_rate * factor:.4g}"),
    }
    return about | {name: float(f"{value:.5g}") if math.isfinite(value) else None for name, value in terms.items()}
