"""Run folder: its files and lock, resuming from it, and the check that nothing went away in mid-run."""

from __future__ import annotations

import errno
import hashlib
import json
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml

from nirgen import images
from nirgen.config import differences
from nirgen.errors import ConfigError, ModelError, OutputError
from nirgen.files import HeldFolder, is_temporary, locked, make_folder, write_whole
from nirgen.models.catalog import verify
from nirgen.runlog import environment, write_run
from nirgen.train.checkpoints import Checkpoints, last_good
from nirgen.train.config import TrainConfig
from nirgen.train.export import export_model, write_card
from nirgen.train.monitor import Log, linear_baseline, validate

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from nirgen.config import FrozenConfig
    from nirgen.pairs import PairList
    from nirgen.train.state import BaseState, State


_PLACES = {"data.pairs", "data.root", "data.rgb", "data.nir", "data.workers", "data.cache_gigabytes"}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}


class LostError(OutputError):
    """Files of a run went away while it was at work."""


class BaseFolder:
    """Existing folder of a training run: configuration, the last `keep` checkpoints, log and `run.json`.

    `held` is that of `alone`; a process that writes nothing needs none.
    """

    def __init__(self, out: Path, config: FrozenConfig, keep: int, held: Callable[[], bool] | None = None) -> None:
        self.out = out
        self.checkpoints = Checkpoints(out / "checkpoints", keep)
        self._config = config
        self._started = datetime.now(UTC)
        self._held = held or (lambda: True)
        self._folder = HeldFolder(out)
        self._lost: LostError | None = None  # what has been found out about a folder that went away

    def begin(self, step: int) -> Log:
        """Remove temporary files of a killed run, write `config.yaml`, and open the log at a step."""
        for folder in (self.out, self.checkpoints.folder, self.out / "samples"):
            for path in folder.iterdir() if folder.is_dir() else ():
                if is_temporary(path.name):
                    path.unlink(missing_ok=True)
        self._write_config()
        return Log(self.out, step)

    def _write_config(self) -> None:
        settings = yaml.safe_dump(self._config.model_dump(mode="json"), sort_keys=False)
        write_whole(self.out / "config.yaml", settings.encode())

    @contextmanager
    def saving(self, step: int) -> Generator[None]:
        """Write the state of a step in the block, also if the folder was removed in mid-run.

        Raises:
            LostError: It was removed, and the block wrote it anew; or it was replaced, and the block did not run.
        """
        if self._lost is not None:
            raise self._lost
        if self._held():
            yield
            return
        what = f"{self.out}: was removed or replaced while the run was at work"
        in_place = self._folder.in_place
        if self.out.exists() and not in_place and any(self.out.iterdir()):
            self._lost = LostError(f"{what}, and nothing was written to what is there now; name a new folder")
            raise self._lost
        if in_place:
            what = f"{self.out}: its lock was removed while the run was at work"
        else:
            what += ", and what it held is lost"
        make_folder(self.out)
        with alone(self.out):
            yield
            self._write_config()
        self._lost = LostError(f"{what}; step {step} was saved there anew: run the same command again to go on from it")
        raise self._lost

    def check(self, save: Callable[[], None], log: Log, *needed: Path, damage: str | None = None) -> None:
        """Check at the end of a run that all that it has written is there; else save it anew, and raise LostError.

        Args:
            save: Saves the last step.
            log: The log of the run.
            needed: Further files that the run promises.
            damage: A fault of the model that the run has written.
        """
        if not self._held():
            save()
        lost = [path for path in (*self.checkpoints.lost(), *needed) if not path.exists()]
        lost += [] if log.in_place() else [log.path]
        if lost or damage:
            save()
            names = ", ".join(sorted({path.relative_to(self.out).as_posix() for path in lost}))
            what = f"{names} went away" if lost else f"its model was changed ({damage})"
            raise LostError(
                f"{self.out}: {what} while the run was at work; its last step was saved anew: run the same command "
                "again"
            )

    @contextmanager
    def errors_in_one_line(self, save: Callable[[], None]) -> Generator[None]:
        """Raise OutputError for a folder that can't be written any more, or that went away; `save` saves the last step.

        The first error of a folder that went away may be that of a log, which opens its file for each line.
        """
        try:
            yield
        except LostError:
            raise
        except OSError as error:
            if error.errno in _GONE and not self._held():
                save()
            if error.errno not in _NO_ROOM:
                raise
            raise self._no_room(error) from error
        except OutputError as error:
            raise self._no_room(error) from error

    def _no_room(self, error: Exception) -> OutputError:
        return OutputError(
            f"{self.out}: can't be written any more ({error}); {last_good(self.checkpoints)}: make room and run the "
            "same command again"
        )

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

    def __init__(
        self,
        out: Path,
        state: State,
        pairs: PairList,
        judged_pairs: PairList,
        *,
        processes: int = 1,
        held: Callable[[], bool] | None = None,
    ) -> None:
        super().__init__(out, state.config, state.config.save.keep, held)
        self.state, self.pairs, self.judged_pairs, self.processes = state, pairs, judged_pairs, processes
        self.model = out / "model.safetensors"
        self._resumed = False
        self._origin = {
            "pairs_sha256": _pairs_sha256(pairs),
            "judged_sha256": _pairs_sha256(judged_pairs),
            "processes": processes,
        }

    def resume(self, *, allow_changes: bool) -> tuple[str, ...]:
        """Restore the state from the newest whole checkpoint, if there is one.

        Returns:
            A line for each damaged checkpoint that was passed over.

        Raises:
            ConfigError: It is of other networks; or of other settings, pairs or processes, without `allow_changes`.
            ModelError: None can be read.
        """
        last = self.checkpoints.last()
        if last is None:
            return ()
        path, values = last.path, last.values
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
        return last.damaged

    def begin(self, step: int) -> Log:
        """Write what is known before the first step."""
        self.pairs.write(self.out / "pairs.csv")
        self._write_run(ended=False)
        return super().begin(step)

    def validate(self, log: Log) -> None:
        """Score the averaged weights, draw samples, and keep the model if it is the best so far."""
        if not self._held():
            self.save()
        state, config = self.state, self.state.config
        skip = config.data.bad_images == "skip"
        size = config.save.validation_size
        linear = None if config.unpaired else linear_baseline(self.out / "linear.json", self.pairs, size)
        found = validate(state.average.module, self.judged_pairs, config.save, state.device, skip=skip, linear=linear)
        for line in found.skipped:
            log.write(state.step, {"skipped": line})
        if not np.isfinite(found.ssim):  # no pair could be read
            return
        scores = {"validation": (found.psnr, found.ssim), **found.baselines}
        rounded = {name: {"psnr": round(psnr, 4), "ssim": round(ssim, 4)} for name, (psnr, ssim) in scores.items()}
        log.write(state.step, {"validation": rounded.pop("validation"), "baselines": rounded})
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
        with self.saving(self.state.step):
            export_model(self.model, self.state, self.pairs)
            self.checkpoints.write(self.state.dump() | {"config": self.state.config.model_dump_json()} | self._origin)

    def end(self, log: Log, *, finished: bool) -> None:
        """Write what is known after the last step, and check that all is there."""
        if not self.model.exists() and not self.checkpoints.written:  # of no steps, or resumed at its end
            self.save()
        needed = self.model, self.out / "config.yaml", self.out / "pairs.csv"
        self.check(self.save, log, *needed, damage=_damage(self.model))
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


def _damage(model: Path) -> str | None:
    """Return what is wrong with a model file; None if nothing is."""
    try:
        verify(model)
    except ModelError as error:
        return str(error).partition(";")[0]  # its remedy is for models of others
    return None


def alone(out: Path) -> AbstractContextManager[Callable[[], bool]]:
    """Keep other runs out of a folder; the operating system releases the lock of a process that dies.

    Yields what `files.locked` does.
    """
    busy = f"{out}: another process trains here; wait for it, or name another folder"
    return locked(out / ".lock", busy=busy)
