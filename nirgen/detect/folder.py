"""The folder of a detector's training: what it holds, and whether a run may go on in it."""

from __future__ import annotations

import json
import platform
import shutil
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch
import yaml

from nirgen import __version__
from nirgen.detect.config import DetectConfig
from nirgen.detect.detector import ABOUT, MODEL_FOLDER
from nirgen.detect.networks import KINDS, write_network
from nirgen.errors import ConfigError, OutputError
from nirgen.files import is_temporary, write_whole
from nirgen.models.checkpoint import model_id
from nirgen.train.checkpoints import Checkpoints
from nirgen.train.log import Log

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.detect.examples import Examples
    from nirgen.detect.state import State

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
