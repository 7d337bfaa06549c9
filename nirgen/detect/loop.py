"""The training loop of a detector."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nirgen.detect.data import Split, read_split, read_validation, refuse_without_boxes
from nirgen.detect.detector import ABOUT, altered, find_sources, model_folder
from nirgen.detect.evaluation import METRICS
from nirgen.detect.folder import RunFolder
from nirgen.detect.networks import FRESH, Network, give_heads, read_network
from nirgen.detect.state import State
from nirgen.detect.views import Batches
from nirgen.devices import choose_device
from nirgen.errors import ConfigError
from nirgen.files import make_folder
from nirgen.models.checkpoint import model_id
from nirgen.train.checkpoints import last_good
from nirgen.train.folder import alone
from nirgen.train.loop import Clock, Outcome
from nirgen.train.state import NotFiniteError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from nirgen.detect.config import DetectConfig
    from nirgen.train.loop import StepReport
    from nirgen.train.monitor import Log


@dataclass(frozen=True)
class DetectorOutcome(Outcome):
    """Result of a sitting, with the score of the run's model."""

    judged: Path | None  # folder of the model's evaluation on the validation images; None without one
    ap: float | None  # of the model on the validation images; None before a validation
    model_step: int  # step of the model's weights


def train(
    dataset: Path | Split,
    run: Path,
    config: DetectConfig,
    *,
    images: Collection[str] | None = None,
    validation: Split | None = None,
    device: str | None = None,
    progress: Callable[[StepReport], None] | None = None,
    validating: Callable[[int, int], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda _line: None,
) -> DetectorOutcome:
    """Train a detector, or resume a run.

    Args:
        dataset: Output of `nirgen build-dataset`, or the training set read from it.
        run: The run folder, new or of the same run (docs/detect.md describes its files).
        config: The run.
        images: Keys of the images to train on; all of the split by default.
        validation: Images to choose the best weights by; those of `read_validation` by default.
        device: `cpu`, `cuda`, `cuda:1`, `mps`...; the best available one by default.
        progress: Called after each step.
        validating: Called with images done and all images of a validation.
        stopped: Called after each step; True saves and ends the sitting.
        say: Called with a line about each damaged file that was passed over.

    Returns:
        The folder of the model and its AP, and whether the run is finished.

    Raises:
        ConfigError: Transformers isn't installed; the device does not exist, or has too little memory; the loss became
            NaN or infinite; or the run in the folder has other settings or another dataset.
        NirgenError: The dataset, an image, the model or the run folder can't be used.
    """
    where = choose_device(device)
    split = dataset if isinstance(dataset, Split) else read_split(dataset, config.split)
    split = split if images is None else split.only(images)
    refuse_without_boxes(split)
    validation = validation or read_validation(split, config)
    names = split.names
    first = None if (run / "checkpoints").is_dir() else first_network(config, names)  # fails before RUN is made
    make_folder(run)
    with ExitStack() as stack:
        held = stack.enter_context(alone(run))
        stack.enter_context(torch.random.fork_rng([where] if where.type == "cuda" else []))
        folder = RunFolder(run, config, split.folder, split.about(), held, validation=validation)
        last = folder.last()
        if last is None:
            network, folder.start = first or first_network(config, names)
            state = State(config, network, where)
        else:
            problem = altered(folder.model)
            for line in (*last.damaged, *([problem] if problem and folder.model.exists() else [])):
                say(line)
            # the run's own model, if it is whole: then a resumed run needs no hub
            network = first_network(config, names)[0] if problem else read_network(str(folder.model), categories=names)
            state = State(config, network, where)
            state.restore(last.values, last.path)
        stack.enter_context(folder.errors_in_one_line(lambda: folder.save(state)))
        log = stack.enter_context(folder.begin(state.step))
        folder.write_run_json(state, ended=False)
        began = state.step
        try:
            with Batches(split, config, state.step) as batches:
                _loop(state, folder, batches, log, progress=progress, validating=validating, stopped=stopped)
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
        if state.over and state.ap_step and not (state.step == began and (folder.judged / METRICS).is_file()):
            folder.judge(state, validating)
        folder.check(lambda: folder.save(state), log, *needed, damage=altered(folder.model))
        if state.step > began:
            folder.draw(log)
        folder.write_run_json(state, ended=state.over)
    judged = folder.judged if (folder.judged / METRICS).is_file() else None
    ap = state.best_ap if state.ap_step else None
    return DetectorOutcome(folder.model, state.step, state.over, judged, ap, state.chosen_step)


def _loop(
    state: State,
    folder: RunFolder,
    batches: Batches,
    log: Log,
    *,
    progress: Callable[[StepReport], None] | None,
    validating: Callable[[int, int], None] | None,
    stopped: Callable[[], bool],
) -> None:
    """Make steps until the end of the run, or until stopped."""
    if folder.due(state):  # the run was stopped right before
        folder.validate(state, log, validating)
        folder.save(state)
    config = state.config
    clock = Clock(state, state.step / config.steps)
    asked = False
    while not (state.over or asked):
        factor = state.factor
        terms = state.update(*batches.next())
        state.minutes = clock.minutes()
        asked = stopped()
        share = state.step / config.steps

        # log
        if state.step % config.log_steps == 0 or state.over or asked or state.step == 1:
            log.write_step(state, share, config.learning_rate * factor, terms)
        if progress is not None:
            progress(clock.report(share, terms | ({"best AP": state.best_ap} if state.ap_step else {})))

        # validate and save
        if folder.due(state) and not asked:
            folder.validate(state, log, validating)
            folder.draw(log)
        if state.step % config.checkpoint_steps == 0 or state.over or asked:
            folder.save(state)


def first_network(config: DetectConfig, categories: tuple[str, ...]) -> tuple[Network, dict[str, Any]]:
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
