"""Run folder: its files, lock and checkpoints, and resuming from it."""

from __future__ import annotations

import errno
import hashlib
import json
import re
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml

from nirgen import images
from nirgen.config import differences
from nirgen.errors import ConfigError, ModelError, OutputError, first_line
from nirgen.files import check_schema, is_temporary, locked, output_file, write_whole
from nirgen.models.weights import load_tensors
from nirgen.runlog import environment, write_run
from nirgen.train.config import TrainConfig
from nirgen.train.export import export_model, write_card
from nirgen.train.monitor import Log, validate

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from nirgen.config import FrozenConfig
    from nirgen.pairs import PairList
    from nirgen.train.state import BaseState, State


_PLACES = {"data.pairs", "data.root", "data.workers", "data.cache_gigabytes"}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}


class BaseFolder:
    """Existing folder of a training run: configuration, the last `keep` checkpoints, log and `run.json`."""

    def __init__(self, out: Path, config: FrozenConfig, keep: int) -> None:
        self.out = out
        self.checkpoints = Checkpoints(out / "checkpoints", keep)
        self._config = config
        self._started = datetime.now(UTC)

    def begin(self, step: int) -> Log:
        """Remove temporary files of a killed run, write `config.yaml`, and open the log at a step."""
        for folder in (self.out, self.checkpoints.folder, self.out / "samples"):
            for path in folder.iterdir() if folder.is_dir() else ():
                if is_temporary(path.name):
                    path.unlink(missing_ok=True)
        settings = yaml.safe_dump(self._config.model_dump(mode="json"), sort_keys=False)
        write_whole(self.out / "config.yaml", settings.encode())
        return Log(self.out, step)

    def write_run(self, state: BaseState, about: Mapping[str, Any], *, ended: bool, **versions: str) -> None:
        """Write `run.json`: `about`, clock, host, and versions of torch and further packages."""
        device = state.device
        values = {
            "schema": 1,
            "state": "ended" if ended else "running",
            **about,
            "started": self._started.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - self._started).total_seconds(), 1),
            "steps": state.step,
            "minutes": round(state.minutes, 2),
            **environment(torch=torch.__version__, **versions),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        }
        write_run(self.out, values)


class RunFolder(BaseFolder):
    """Folder of a generator's training (docs/formats.md); `judged_pairs`, perhaps none, are for validation."""

    def __init__(self, out: Path, state: State, pairs: PairList, judged_pairs: PairList, *, processes: int = 1) -> None:
        super().__init__(out, state.config, state.config.save.keep)
        self.state, self.pairs, self.judged_pairs, self.processes = state, pairs, judged_pairs, processes
        self.model = out / "model.safetensors"
        self._resumed = False
        self._origin = {
            "pairs_sha256": _pairs_sha256(pairs),
            "judged_sha256": _pairs_sha256(judged_pairs),
            "processes": processes,
        }

    def resume(self, *, allow_changes: bool) -> None:
        """Restore the state from the newest checkpoint, if there is one.

        Raises:
            ConfigError: It is of other networks; or of other settings, pairs or processes, without `allow_changes`.
            ModelError: It can't be read.
        """
        path = self.checkpoints.newest()
        if path is None:
            return
        values = self.checkpoints.read(path)
        old = TrainConfig.read(json.loads(values["config"]), where=f"{path} (config)")
        changes = differences(old, self.state.config, ignored=_PLACES)
        for split, name in (("train", "pairs_sha256"), ("val", "judged_sha256")):
            if values[name] != self._origin[name]:
                changes.append(f"the pairs of the split '{split}'")
        if values["processes"] != self.processes:
            changes.append(f"processes: {values['processes']} -> {self.processes}")
        if changes and not allow_changes:
            raise ConfigError(
                f"{self.out}: holds a run with other settings ({'; '.join(changes)}); name a new folder, or resume it "
                "nevertheless with --allow-changes"
            )
        self.state.restore(values, path)
        self._resumed = True

    def begin(self, step: int) -> Log:
        """Write what is known before the first step."""
        self.pairs.write(self.out / "pairs.csv")
        self._write_run(ended=False)
        return super().begin(step)

    def validate(self, log: Log) -> None:
        """Score the averaged weights, draw samples, and keep the model if it is the best so far."""
        state, config = self.state, self.state.config
        skip = config.data.bad_images == "skip"
        found = validate(state.average.module, self.judged_pairs, config.save, state.device, skip=skip)
        for line in found.skipped:
            log.write(state.step, {"skipped": line})
        if not np.isfinite(found.ssim):  # no pair could be read
            return
        log.write(state.step, {"validation": {"psnr": round(found.psnr, 4), "ssim": round(found.ssim, 4)}})
        if found.picture is not None:
            (self.out / "samples").mkdir(exist_ok=True)
            write_whole(self.out / "samples" / f"step_{state.step:06d}.png", images.encode(found.picture, "png"))
            log.picture(state.step, "samples", found.picture)
        if found.psnr > state.best:
            state.best, state.best_step = found.psnr, state.step
            export_model(self.out / "best.safetensors", state, self.pairs)
            self.save()

    def save(self) -> None:
        """Write the model, then a checkpoint: a resumed run is never ahead of the model."""
        export_model(self.model, self.state, self.pairs)
        self.checkpoints.write(self.state.dump() | {"config": self.state.config.model_dump_json()} | self._origin)

    def end(self, log: Log, *, finished: bool) -> None:
        """Write what is known after the last step."""
        if not self.model.exists():  # a run of no steps, or a resumed one that was at its end
            self.save()
        log.draw()
        write_card(self.model, self.out / "card.md")
        self._write_run(ended=finished)

    def _write_run(self, *, ended: bool) -> None:
        about = {
            "resumed": self._resumed,
            "root": str(self.pairs.root.resolve()),
            "precision": self.state.precision,
            "parameters": sum(parameter.numel() for parameter in self.state.generator.parameters()),
        }
        self.write_run(self.state, about, ended=ended)


def _pairs_sha256(pairs: PairList) -> str:
    """Hash the pairs in their order, with the categories, which decide how often a pair is drawn."""
    text = "".join(f"{pair.rgb_sha256} {pair.nir_sha256} {pair.category}\n" for pair in pairs.pairs)
    return hashlib.sha256(text.encode()).hexdigest()


def alone(out: Path) -> AbstractContextManager[None]:
    """Keep other runs out of a folder; the operating system releases the lock of a process that dies."""
    busy = f"{out}: another process trains here; wait for it, or name another folder"
    return locked(out / ".lock", busy=busy)


class Checkpoints:
    """Folder, perhaps missing, of a run's checkpoints: of the last `keep` ones and the best one.

    They hold tensors and plain values alone and are loaded with `weights_only`.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep

    def paths(self) -> list[Path]:
        """Return the checkpoints, oldest first."""
        found = [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)] if self.folder.is_dir() else []
        return sorted(found, key=lambda path: int(path.stem.removeprefix("step_")))

    def newest(self) -> Path | None:
        """Return the last checkpoint, if there is one."""
        return next(reversed(self.paths()), None)

    def write(self, values: dict[str, Any]) -> Path:
        """Write the values of `State.dump` and further ones, whole or not at all; then remove old checkpoints.

        Raises:
            OutputError: The file can't be written; older checkpoints are kept.
        """
        path = self.folder / f"step_{values['step']:06d}.pt"
        with output_file(path) as temporary:
            try:
                torch.save({"schema": SCHEMA, **values}, temporary)
            except RuntimeError as error:  # torch's error on a full disk
                raise OSError(first_line(error)) from error
        best = self.folder / f"step_{values['best_step']:06d}.pt"
        for old in self.paths()[: -self.keep]:
            if old != best:
                old.unlink()
        return path

    def read(self, path: Path) -> dict[str, Any]:
        """Return the values of a checkpoint; a damaged file, or one of another schema, raises ModelError."""
        values = load_tensors(path)
        found = values.get("schema") if isinstance(values, dict) else None
        check_schema(path, found, SCHEMA, "update nirgen", error=ModelError)
        return values  # type: ignore[no-any-return]


@contextmanager
def full_disk_is_one_line(out: Path, checkpoints: Checkpoints) -> Generator[None]:
    """Raise OutputError, naming the last checkpoint, for a disk that is full, over its quota, read-only or broken."""
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
    """Return a clause of an error that names the checkpoint to resume from."""
    newest = checkpoints.newest()
    return f"the last good checkpoint is {newest}" if newest else "there is no checkpoint yet"


SCHEMA = 1
_NAME = re.compile(r"step_\d{6,}\.pt")
