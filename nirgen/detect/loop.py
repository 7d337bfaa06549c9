"""The training of a detector: from a dataset of nirgen's to a folder that transformers reads."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nirgen.detect.batches import Batches
from nirgen.detect.detector import model_folder
from nirgen.detect.examples import read_examples
from nirgen.detect.folder import RunFolder
from nirgen.detect.names import find_sources
from nirgen.detect.networks import FRESH, Network, give_heads, read_network
from nirgen.detect.state import NotFiniteError, State
from nirgen.errors import ConfigError
from nirgen.files import make_folder
from nirgen.model import choose_device
from nirgen.models.checkpoint import model_id
from nirgen.train.folder import alone, full_disk_is_one_line, last_good
from nirgen.train.loop import Outcome, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from nirgen.detect.config import DetectConfig
    from nirgen.detect.examples import Examples
    from nirgen.train.log import Log


def train_detector(
    dataset: Path,
    run: Path,
    config: DetectConfig,
    *,
    images: Collection[str] | None = None,
    device: str | None = None,
    progress: Callable[[Progress], None] | None = None,
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
                "precision=float32"
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
    progress: Callable[[Progress], None] | None,
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
                progress(Progress(state.step, state.step / config.steps, rate, left, terms))

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
