"""Run folder: its files, lock and checkpoints, and resuming from it.

Checkpoints hold tensors and plain values alone and are loaded with `weights_only`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import platform
import re
import socket
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml

from nirgen import images
from nirgen._version import __version__
from nirgen.errors import ConfigError, ModelError, OutputError
from nirgen.files import is_temporary, locked, output_file, write_whole
from nirgen.models.weights import load_tensors
from nirgen.train.config import TrainConfig, differences
from nirgen.train.export import export_model, write_card
from nirgen.train.monitor import Log, validate

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from nirgen.pairs import PairList
    from nirgen.train.state import State


_PLACES = {"data.pairs", "data.root", "data.workers", "data.cache_gigabytes"}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}


class RunFolder:
    """What a run writes (docs/formats.md says all of it).

    Args:
        out: The folder; it exists.
        state: The run.
        pairs: Those trained on.
        judged_pairs: Those judged on; perhaps none.
        checkpoints: Those in the folder.
        processes: How many train.

    Attributes:
        model: The model file.
    """

    def __init__(
        self,
        out: Path,
        state: State,
        pairs: PairList,
        judged_pairs: PairList,
        checkpoints: Checkpoints,
        *,
        processes: int = 1,
    ) -> None:
        self.out = out
        self.state = state
        self.pairs = pairs
        self.judged_pairs = judged_pairs
        self.checkpoints = checkpoints
        self.processes = processes
        self.model = out / "model.safetensors"
        self._started = datetime.now(UTC)
        self._resumed = False

    def begin(self, resumed: bool) -> Log:
        """Write what is known before the first step."""
        config = yaml.safe_dump(self.state.config.model_dump(mode="json"), sort_keys=False)
        write_whole(self.out / "config.yaml", config.encode())
        self.pairs.write(self.out / "pairs.csv")
        self._resumed = resumed
        self._clear_temporary_files()
        self._write_run_json(ended=False)
        return Log(self.out, self.state.step)

    def judge(self, log: Log) -> None:
        """Score the average, draw its samples, and keep the best."""
        config = self.state.config
        found = validate(
            self.state.average.module,
            self.judged_pairs,
            config.save,
            self.state.device,
            skip=config.data.bad_images == "skip",
        )
        for line in found.skipped:
            log.write(self.state.step, {"skipped": line})
        if not np.isfinite(found.ssim):  # none could be read
            return
        log.write(self.state.step, {"validation": {"psnr": round(found.psnr, 4), "ssim": round(found.ssim, 4)}})
        if found.picture is not None:
            (self.out / "samples").mkdir(exist_ok=True)
            path = self.out / "samples" / f"step_{self.state.step:06d}.png"
            write_whole(path, images.encode(found.picture, "png"))
            log.picture(self.state.step, "samples", found.picture)
        if found.psnr > self.state.best:
            self.state.best, self.state.best_step = found.psnr, self.state.step
            export_model(self.out / "best.safetensors", self.state, self.pairs)
            self.save()

    def save(self) -> None:
        """Write the model so far, then a checkpoint: what is resumed is never newer than what is shipped."""
        export_model(self.model, self.state, self.pairs)
        about = {
            "config": self.state.config.model_dump_json(),
            "pairs_sha256": pairs_sha256(self.pairs),
            "judged_sha256": pairs_sha256(self.judged_pairs),
            "processes": self.processes,
        }
        self.checkpoints.write(self.state.dump() | about)

    def end(self, log: Log, *, finished: bool) -> None:
        """Write what is known after the last step."""
        if not self.model.exists():  # a run of no steps, or a resumed one that was at its end
            self.save()
        log.draw()
        write_card(self.model, self.out / "card.md")
        self._write_run_json(ended=finished)

    def _clear_temporary_files(self) -> None:
        """Remove what a killed run was writing; the caller holds the folder's lock."""
        for folder in (self.out, self.checkpoints.folder, self.out / "samples"):
            for path in folder.iterdir() if folder.is_dir() else ():
                if is_temporary(path.name):
                    path.unlink(missing_ok=True)

    def _write_run_json(self, *, ended: bool) -> None:
        """Clocks, host and versions: all that must not be in the other files."""
        state = self.state
        about = {
            "schema": 1,
            "state": "ended" if ended else "running",
            "resumed": self._resumed,
            "started": self._started.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - self._started).total_seconds(), 1),
            "root": str(self.pairs.root.resolve()),
            "steps": state.step,
            "minutes": round(state.minutes, 2),
            "host": socket.gethostname(),
            "platform": platform.platform(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "nirgen": __version__,
            "device": torch.cuda.get_device_name(state.device) if state.device.type == "cuda" else state.device.type,
            "precision": str(state.precision).removeprefix("torch."),
            "parameters": sum(parameter.numel() for parameter in state.generator.parameters()),
        }
        write_whole(self.out / "run.json", (json.dumps(about, indent=2) + "\n").encode())


def pairs_sha256(pairs: PairList) -> str:
    """One hash of all pairs: of their own, in their order, with the categories that decide how often one is drawn."""
    text = "".join(f"{pair.rgb_sha256} {pair.nir_sha256} {pair.category}\n" for pair in pairs.pairs)
    return hashlib.sha256(text.encode()).hexdigest()


def resume(run: RunFolder, path: Path, *, allow_changes: bool) -> None:
    """Take over a checkpoint, if it is of the same run.

    Args:
        run: The run; its state changes.
        path: The checkpoint.
        allow_changes: Take it over although settings, pairs or the number of processes changed.

    Raises:
        ConfigError: It is of another run, and that is not allowed; or its networks are others.
        ModelError: It can't be read.
    """
    values = run.checkpoints.read(path)
    old = TrainConfig.read(json.loads(values["config"]), where=f"{path} (config)")
    changes = [line for line in differences(old, run.state.config) if line.partition(":")[0] not in _PLACES]
    if values["pairs_sha256"] != pairs_sha256(run.pairs):
        changes.append("the pairs of the split 'train'")
    if values["judged_sha256"] != pairs_sha256(run.judged_pairs):
        changes.append("the pairs of the split 'val'")
    if values["processes"] != run.processes:
        changes.append(f"processes: {values['processes']} -> {run.processes}")
    if changes and not allow_changes:
        raise ConfigError(
            f"{run.out}: holds a run with other settings ({'; '.join(changes)}); name a new folder, or resume it "
            "nevertheless with --allow-changes"
        )
    try:
        run.state.restore(values)
    except (KeyError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path}: of other networks than configured ({reason}); name a new folder") from None


@contextmanager
def alone(out: Path) -> Generator[None]:
    """Keep a second run out of a folder; the system lets go of it when the process dies.

    Raises:
        OutputError: Another process trains here, or the folder can't be written.
    """
    with locked(out / ".lock", busy=f"{out}: another process trains here; wait for it, or name another folder"):
        yield


class Checkpoints:
    """The folder of a run's checkpoints.

    Args:
        folder: It need not exist.
        keep: How many of the last stay; the best one stays besides.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self.keep = keep

    def paths(self) -> list[Path]:
        """Those that there are, oldest first."""
        found = [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)] if self.folder.is_dir() else []
        return sorted(found, key=_step)

    def newest(self) -> Path | None:
        """The last one, if there is any."""
        return next(reversed(self.paths()), None)

    def write(self, values: dict[str, Any]) -> Path:
        """Write a checkpoint, whole or not at all, then remove those that need not stay.

        Args:
            values: What `State.dump` gave, and what belongs to it.

        Raises:
            OutputError: It can't be written; those that were there still are.
        """
        path = self.folder / f"step_{values['step']:06d}.pt"
        with output_file(path) as temporary:
            try:
                torch.save({"schema": SCHEMA, **values}, temporary)
            except RuntimeError as error:  # what torch makes of a full disk
                raise OSError(str(error).partition("\n")[0]) from error
        best = self.folder / f"step_{values['best_step']:06d}.pt"
        for old in self.paths()[: -self.keep]:
            if old != best:
                old.unlink()
        return path

    def read(self, path: Path) -> dict[str, Any]:
        """What `write` was given.

        Raises:
            ModelError: The file is damaged, or of another schema.
        """
        values = load_tensors(path)
        if not isinstance(values, dict) or values.get("schema") != SCHEMA:
            found = values.get("schema") if isinstance(values, dict) else None
            raise ModelError(
                f"{path}: checkpoint schema {found!r}, but this nirgen reads schema {SCHEMA}; update nirgen"
            )
        return values


@contextmanager
def full_disk_is_one_line(out: Path, checkpoints: Checkpoints) -> Generator[None]:
    """Turn a disk that can't be written any more into one line that says what is left.

    Raises:
        OutputError: The disk is full, over its quota, read-only or broken.
    """
    try:
        yield
    except (OSError, OutputError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_ROOM:
            raise
        raise OutputError(
            f"{out}: can't be written any more ({error}); {last_good(checkpoints)}: make room and run the same command "
            "again"
        ) from error


def last_good(checkpoints: Checkpoints) -> str:
    """What a run that broke off can be taken up from, as a clause."""
    newest = checkpoints.newest()
    return f"the last good checkpoint is {newest}" if newest else "there is no checkpoint yet"


SCHEMA = 1
_NAME = re.compile(r"step_(\d{6,})\.pt")


def _step(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])
