"""Folder of an adaptation: the model with its record, the verdict, the card."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nirgen.adapt.verdict import SCHEMA
from nirgen.errors import ConfigError, ModelError, OutputError
from nirgen.files import (
    check_schema,
    check_written,
    is_temporary,
    locked,
    make_folder,
    read_json,
    seal,
    unseal,
    write_output,
)
from nirgen.models.catalog import HEADER_KEY, RUN_FILE, verify
from nirgen.models.checkpoint import load_state, save
from nirgen.models.weights import write_tensors
from nirgen.runlog import environment, write_run
from nirgen.templates import render

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from nirgen.adapt.config import AdaptConfig
    from nirgen.adapt.verdict import ToneVerdict, Verdict
    from nirgen.files import WrittenFile
    from nirgen.models.generator import Pix2Next
    from nirgen.pairs import Pair


_CHANGED = "was removed or changed while the command was at work; run the same command again"


class Folder:
    """Folder OUT: model.safetensors, card.md, adapt.json (written last), run.json; `work` while they are made."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.model, self.verdict, self.work = out / RUN_FILE, out / "adapt.json", out / "work"
        self._written: list[WrittenFile] = []

    def refuse_others(self, fingerprint: str) -> None:
        """Raise an error if the folder holds another adaptation, or anything else."""
        known = self.verdict if self.verdict.exists() else self.work / "run.json"
        if known.exists():
            found = _fingerprint_in(known)
            if found not in {None, fingerprint}:
                raise ConfigError(
                    f"{self.out}: holds an adaptation of another model, to other images or with other settings; name a "
                    "new folder"
                )
            return
        names = [path.name for path in sorted(self.out.iterdir()) if not is_temporary(path.name)]
        others = [name for name in names if name not in {".lock", "work"}]
        if others:
            raise OutputError(f"{self.out}: holds other files, such as {others[0]}; name a new folder")

    def finished(self) -> dict[str, Any] | None:
        """Return the plain verdict of a finished adaptation, whose model is whole; OutputError if it is damaged."""
        if not self.verdict.exists() or not self._has_model():
            return None
        try:
            values = unseal(read_json(self.verdict))
        except (OSError, ValueError) as error:
            raise OutputError(f"{self.verdict}: damaged ({error}); remove {self.out} and adapt again") from None
        check_schema(self.verdict, values.get("schema"), SCHEMA, "update nirgen", error=OutputError)
        return values

    def write_model(
        self,
        start: Path,
        about: Mapping[str, Any],
        fitted: Pix2Next | None,
        config: AdaptConfig,
        *,
        learned: Sequence[Pair] = (),
        metrics: Sequence[Mapping[str, Any]] = (),
    ) -> dict[str, Any]:
        """Write the fitted generator, or the start's file with a record for None; return the header.

        Args:
            start: File of the model that was adapted; tensors keep the types that they have there.
            about: Record of the adaptation, `training.adaptation` in the header.
            fitted: Generator in its plain architecture.
            config: Settings.
            learned: Pairs that the fitted generator learned from.
            metrics: Scores of the fitted generator.
        """
        state, header = load_state(start)
        before: dict[str, Any] = header["training"]
        about = {"start_model_id": header["model_id"], **about}
        if fitted is None:
            header |= {"training": before | {"adaptation": about}}
            write_tensors(self.model, state, {HEADER_KEY: json.dumps(seal(header), sort_keys=True)})
            return header
        listed = [{k: getattr(p, k) for k in ("name", "rgb_sha256", "nir_sha256", "sequence")} for p in learned]
        seen = {(pair.get("name"), pair["nir_sha256"]): pair for pair in [*before.get("pairs", []), *listed]}
        earlier = [{name: value for name, value in before.items() if name not in {"pairs", "before"}}] if before else []
        training = {
            "config": {"adapt": config.model_dump(mode="json")},
            "pairs": list(seen.values()),
            "start_model_id": header["model_id"],
            "before": earlier + before.get("before", []),
            "steps": about["steps"],
            "adaptation": about,
        }
        tensors = {name: tensor.detach().cpu().to(state[name].dtype) for name, tensor in fitted.state_dict().items()}
        kept = {"licence": header["licence"], "provenance": header["provenance"]}
        return save(self.model, tensors, fitted.config, training=training, metrics=list(map(dict, metrics)), **kept)

    def finish(self, verdict: Verdict | ToneVerdict, template: str, texts: Mapping[str, str], **values: Any) -> None:
        """Write the card and further texts by file name, then the verdict, and remove `work`."""
        card = render("nirgen.adapt", template, verdict=verdict, **values)
        texts = {"card.md": card, **texts, self.verdict.name: json.dumps(seal(verdict.plain()), indent=2) + "\n"}
        write_run(self.out, {"schema": 1, **environment()})
        self._written = [write_output(self.out / name, [text.encode()]) for name, text in texts.items()]
        for path in self.out.iterdir():
            if is_temporary(path.name):
                path.unlink(missing_ok=True)
        shutil.rmtree(self.work, ignore_errors=True)

    def check(self) -> None:
        """Raise OutputError unless the files of `finish` and a whole model are there."""
        check_written(self._written)
        if not self._has_model():
            raise OutputError(f"{self.model}: {_CHANGED}")

    def _has_model(self) -> bool:
        try:
            verify(self.model)
        except ModelError:
            return False
        return True


def _fingerprint_in(path: Path) -> object:
    try:
        values = read_json(path)
    except (OSError, ValueError):
        return None
    return values.get("fingerprint") if isinstance(values, dict) else None


@contextmanager
def opened(out: Path, fingerprint: str) -> Generator[Folder]:
    """Open the folder of an adaptation, new or with this fingerprint, and keep other processes out.

    At the end, what was written must be there, else it is an OutputError.
    """
    make_folder(out)
    busy = f"{out}: another process adapts here; wait for it, or name another folder"
    with locked(out / ".lock", busy=busy) as held:
        folder = Folder(out)
        folder.refuse_others(fingerprint)
        yield folder
        if not held():
            raise OutputError(f"{out}: {_CHANGED}")
        folder.check()


def fingerprint_of(model_id: str, config: AdaptConfig, images: Sequence[Sequence[str]]) -> str:
    """Return a hash of what decides the result of an adaptation."""
    text = json.dumps([model_id, images, config.model_dump(mode="json")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
