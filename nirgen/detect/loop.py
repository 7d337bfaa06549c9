"""Training of a detector: run folder and training loop."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nirgen._version import __version__
from nirgen.config import differences, read_yaml
from nirgen.detect.config import PLAIN, DetectConfig
from nirgen.detect.data import Split, read_split, refuse_without_boxes
from nirgen.detect.detector import ABOUT, MODEL_FOLDER, altered, find_sources, model_folder
from nirgen.detect.networks import FRESH, KINDS, Network, give_heads, read_network, write_network
from nirgen.detect.state import State
from nirgen.detect.views import Batches
from nirgen.devices import choose_device
from nirgen.errors import ConfigError, OutputError
from nirgen.files import make_folder, seal, sha256_of, write_whole
from nirgen.models.checkpoint import model_id
from nirgen.train.checkpoints import last_good
from nirgen.train.folder import BaseFolder, alone
from nirgen.train.loop import Clock, Outcome
from nirgen.train.state import NotFiniteError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from nirgen.train.checkpoints import Last
    from nirgen.train.loop import StepReport
    from nirgen.train.monitor import Log


SCHEMA = 1  # of nirgen.json
_BUILDING, _OLD = ".model.nirgen-building", ".model.nirgen-old"
_KIND = "detector"


class RunFolder(BaseFolder):
    """Folder of a detector's training (docs/detect.md describes its files), in which no other process trains."""

    def __init__(
        self,
        out: Path,
        config: DetectConfig,
        dataset: Path,
        trained_on: dict[str, Any],
        held: Callable[[], bool] | None = None,
    ) -> None:
        super().__init__(out, config, config.keep, held)
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
        for name in (_OLD, _BUILDING):
            shutil.rmtree(self.out / name, ignore_errors=True)
        return super().begin(step)

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
        model: Any = state.average.module
        kind = str(model.config.model_type)
        assert kind in KINDS
        write_network(building, model, state.network, self.config.size)
        about = {
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
            "dataset": self._trained_on,
        }
        about["files"] = {path.name: sha256_of(path) for path in sorted(building.iterdir())}
        write_whole(building / ABOUT, (json.dumps(seal(about), indent=2) + "\n").encode())
        if self.model.exists():
            self.model.rename(old)
        building.rename(self.model)
        shutil.rmtree(old, ignore_errors=True)


def train(
    dataset: Path | Split,
    run: Path,
    config: DetectConfig,
    *,
    images: Collection[str] | None = None,
    device: str | None = None,
    progress: Callable[[StepReport], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda _line: None,
) -> Outcome:
    """Train a detector, or resume a run.

    Args:
        dataset: Output of `nirgen build-dataset`, or the training set read from it.
        run: The run folder, new or of the same run (docs/detect.md describes its files).
        config: The run.
        images: Keys of the images to train on; all of the split by default.
        device: `cpu`, `cuda`, `cuda:1`, `mps`...; the best available one by default.
        progress: Called after each step.
        stopped: Called after each step; True saves and ends the sitting.
        say: Called with a line about each damaged file that was passed over.

    Returns:
        The folder of the model, and whether the run is finished.

    Raises:
        ConfigError: Transformers isn't installed; the device does not exist, or has too little memory; the loss became
            NaN or infinite; or the run in the folder has other settings or another dataset.
        NirgenError: The dataset, an image, the model or the run folder can't be used.
    """
    where = choose_device(device)
    split = dataset if isinstance(dataset, Split) else read_split(dataset, config.split)
    split = split if images is None else split.only(images)
    refuse_without_boxes(split)
    names = split.names
    first = None if (run / "checkpoints").is_dir() else _first_network(config, names)  # fails before RUN is made
    make_folder(run)
    with ExitStack() as stack:
        held = stack.enter_context(alone(run))
        stack.enter_context(torch.random.fork_rng([where] if where.type == "cuda" else []))
        folder = RunFolder(run, config, split.folder, split.about(), held)
        last = folder.last()
        if last is None:
            network, folder.start = first or _first_network(config, names)
            state = State(config, network, where)
        else:
            problem = altered(folder.model)
            for line in (*last.damaged, *([problem] if problem and folder.model.exists() else [])):
                say(line)
            # the run's own model, if it is whole: then a resumed run needs no hub
            network = _first_network(config, names)[0] if problem else read_network(str(folder.model), categories=names)
            state = State(config, network, where)
            state.restore(last.values, last.path)
        stack.enter_context(folder.errors_in_one_line(lambda: folder.save(state)))
        log = stack.enter_context(folder.begin(state.step))
        folder.write_run_json(state, ended=False)
        began = state.step
        try:
            with Batches(split, config, state.step) as batches:
                _loop(state, folder, batches, log, progress=progress, stopped=stopped)
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
        if altered(folder.model) and not folder.checkpoints.written:  # a finished run whose model was removed
            folder.save(state)
        needed = folder.model / ABOUT, run / "config.yaml"
        folder.check(lambda: folder.save(state), log, *needed, damage=altered(folder.model))
        if state.step > began:
            log.draw()
        finished = state.step >= config.steps
        folder.write_run_json(state, ended=finished)
    return Outcome(folder.model, state.step, finished)


def _loop(
    state: State,
    folder: RunFolder,
    batches: Batches,
    log: Log,
    *,
    progress: Callable[[StepReport], None] | None,
    stopped: Callable[[], bool],
) -> None:
    """Make steps until the end of the run, or until stopped."""
    config = state.config
    clock = Clock(state, state.step / config.steps)
    over = state.step >= config.steps
    while not over:
        factor = state.factor
        terms = state.update(*batches.next())
        state.minutes = clock.minutes()
        over = stopped() or state.step >= config.steps
        share = state.step / config.steps

        # log
        if state.step % config.log_steps == 0 or over or state.step == 1:
            log.write_step(state, share, config.learning_rate * factor, terms)
        if progress is not None:
            progress(clock.report(share, terms))

        # save
        if state.step % config.checkpoint_steps == 0 or over:
            folder.save(state)


def _first_network(config: DetectConfig, categories: tuple[str, ...]) -> tuple[Network, dict[str, Any]]:
    """Return the network that a run starts from, with heads for the categories, and a description of its start."""
    name = config.model
    network = read_network(str(model_folder(name)), categories=categories, seed=config.seed)
    model: Any = network.model
    kind = str(model.config.model_type)
    sources = find_sources(network.labels, categories)
    about = {
        "model": Path(name).name if Path(name).is_dir() else name,
        "kind": kind,
        "id": model_id(network.model.state_dict(), {"kind": kind}),
        "rows": {
            category: network.labels[which[0]] if which and name not in FRESH else None
            for category, which in zip(categories, sources, strict=True)
        },
    }
    return network if name in FRESH else give_heads(network, categories, sources), about
