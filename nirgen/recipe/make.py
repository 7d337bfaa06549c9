"""Steps of `nirgen make`: command lines from photos to a dataset, and which of them have to run again."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nirgen.dataset.entries import image_names, labelled_images, match_names
from nirgen.dataset.folder import ADDED, CURATION, DATASET_JSON, is_dataset
from nirgen.errors import NirgenError, OutputError, nearest
from nirgen.labels import open_labels
from nirgen.recipe.plan import State, Status, code_hash, listing
from nirgen.translate.manifest import NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SHARES = "train=0.6,val=0.2,test=0.2"
"""Splits of real images whose labels state none."""
NEW = "not done yet"
"""Reason to run a step that has never run."""
RECORDS = ".make"
"""Folder in OUT with the lock and the states of the steps."""


_ENDINGS: dict[int, Status] = {0: "done", 3: "partial", 130: "interrupted"}


@dataclass(frozen=True)
class Step:
    """A command of the short path."""

    name: str
    words: tuple[str, ...]  # command line after `nirgen`
    reads: Mapping[str, str]  # digest of names, sizes and times of each input
    writes: tuple[Path, ...]
    answers: tuple[str, ...] = ()  # further words that don't change the result, such as `--yes`

    @property
    def parts(self) -> dict[str, Any]:
        """Return what its result depends on."""
        return {"words": list(self.words), "reads": dict(self.reads), "code": code_hash()}

    def listed(self) -> dict[str, list[int]]:
        """Return size and time of change of each file that it writes, but for those added later."""
        found = listing({str(path): path for path in self.writes})
        return {name: facts for name, facts in found.items() if name.rpartition(":")[2] not in ADDED}

    def why(self, records: Path) -> str:
        """Return the reason to run it, by its state in `records`; empty if it is up to date."""
        before = State.read(records, self.name)
        if before is None:
            return NEW
        if before.status != "done":
            return {"partial": "failed in part", "failed": "failed"}.get(before.status, "was interrupted")
        if before.parts.get("words") != list(self.words):
            return "its options changed"
        seen = before.parts.get("reads") or {}
        changed = next((name for name, digest in self.reads.items() if seen.get(name) != digest), None)
        if changed is not None:
            return f"{changed} changed"
        if before.parts.get("code") != self.parts["code"]:
            return "nirgen changed"
        there = self.listed()
        lost = next((name for name, facts in before.files.items() if there.get(name) != facts), None)
        return f"{lost.replace(':', '/').rstrip('/')} changed or is gone" if lost else ""


@dataclass(frozen=True)
class ShortPath:
    """Everything that `nirgen make` is asked for."""

    photos: Path
    labels: Path | None  # None: translate only
    out: Path
    real: tuple[Path, Path] | None = None  # images and labels
    model: str | None = None
    policy: str | None = None
    shares: str = SHARES
    device: str | None = None

    @property
    def records(self) -> Path:
        """Return the folder of the states."""
        return self.out / RECORDS

    @property
    def dataset(self) -> Path:
        """Return the dataset's folder."""
        return self.out / "dataset"

    @property
    def report(self) -> Path:
        """Return the page about the dataset."""
        return self.out / "report.html"

    def check(self) -> None:
        """Refuse inputs that aren't there, and an OUT that holds anything else.

        Raises:
            NirgenError: The message has the remedy.
        """
        folders = [self.photos, *(self.real or ())[:1]]
        for path in filter(None, (self.photos, self.labels, *(self.real or ()))):
            if not path.exists():
                names = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
                raise NirgenError(f"{path}: does not exist{nearest(path.name, names)}")
            if path in folders and not path.is_dir():
                raise NirgenError(f"{path}: not a folder; give the folder of the images")
            inside, around = (
                one.resolve().is_relative_to(other.resolve()) for one, other in ((self.out, path), (path, self.out))
            )
            if around or (inside and path.is_dir()):
                raise OutputError(f"{self.out}: OUT and {path} lie in each other; name a folder of its own")
        if self.out.exists() and not self.records.is_dir() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise OutputError(f"{self.out}: exists, and 'nirgen make' did not write it; name a new folder")

    def labelled(self) -> tuple[int, int]:
        """Return the numbers of photos to translate, and of all.

        Raises:
            NirgenError: The labels can't be read, or fit none of the photos.
        """
        photos = image_names(self.photos)
        if self.labels is None:
            return len(photos), len(photos)
        labels = open_labels(self.labels, self.policy or "default", images=self.photos)
        entries = [entry.file_name for entry in labels.images]
        return len(labelled_images(self.photos, entries, self.labels)), len(photos)

    def steps(self) -> Iterator[Step]:
        """Yield the steps in their order; each is made when the earlier ones have run, and depends on their results."""
        photos = {str(self.photos): _digest_of_images(self.photos)}
        listed = self.out / "photos.txt"
        if self.labels is not None:
            yield self._labels(self.labels, self.photos, self.out / "labels.json", listed)
        if self.real is not None:
            yield self._labels(self.real[1], self.real[0], self.out / "real.json")
        yield self._translate(photos, listed if self.labels is not None else None)
        if self.labels is None:
            return
        yield self._build()
        described = {str(self.dataset): _digest(self.dataset / DATASET_JSON)}
        yield Step("validate", ("validate", str(self.dataset)), described, ())
        words = ("report", str(self.dataset), "-o", str(self.report))
        yield Step("report", words, described, (self.report,))

    def _labels(self, labels: Path, images: Path, out: Path, listed: Path | None = None) -> Step:
        words = ["labels", str(labels), "-o", str(out), "--images", str(images)]
        words += ["--list", str(listed)] if listed else []
        words += ["--policy", self.policy] if self.policy else []
        reads = {str(labels): _digest(labels), str(images): _digest_of_images(images)}
        if self.policy and Path(self.policy).is_file():
            reads[self.policy] = _digest(Path(self.policy))
        return Step(out.stem, tuple(words), reads, tuple(filter(None, (out, listed))))

    def _translate(self, photos: Mapping[str, str], listed: Path | None) -> Step:
        nir, preview = self.out / "nir", self.out / "preview.png"
        words = ["translate", str(self.photos), str(nir), "--preview", str(preview)]
        words += ["--list", str(listed)] if listed else []
        words += ["--model", self.model] if self.model else []
        reads = {**photos, **({str(listed): _digest(listed)} if listed else {})}
        answers = ("--device", self.device) if self.device else ()
        return Step("translate", tuple(words), reads, (nir, preview), answers)

    def _build(self) -> Step:
        nir, labels = self.out / "nir", self.out / "labels.json"
        words = ["build-dataset", str(nir), str(labels), str(self.dataset)]
        reads = {str(path): _digest(path) for path in (nir / NAME, labels)}
        if self.real is not None:
            images, real = self.real[0], self.out / "real.json"
            words += ["--real", f"real={images}:{real}", "--split", self.shares]
            words += ["--split-by", "frame"] if self.unit() == "frame" else []
            reads |= {str(images): _digest_of_images(images), str(real): _digest(real)}
        decisions = self.dataset / CURATION
        if decisions.is_file():
            words += ["--curation", str(decisions)]
        answers = ("--replace",) if is_dataset(self.dataset) else ()
        return Step("dataset", tuple(words), reads, (self.dataset,), answers)

    def unit(self) -> Literal["sequence", "frame"]:
        """Return the unit of the splits of real images: recordings if all are known and fill the splits, else frames.

        A recording is what the labels call a sequence, or a folder of images.
        """
        assert self.real is not None
        images, source = self.real
        converted = self.out / "real.json"
        labels = open_labels(converted if converted.is_file() else source, self.policy or "default", images=images)
        entries = {entry.file_name: entry for entry in labels.images}
        matches = match_names(image_names(images), sorted(entries), str(labels.path))
        lone = {image: entries[entry] for image, (entry, _) in matches.items() if not entries[entry].split}
        recordings = {entry.sequence or image.rpartition("/")[0] for image, entry in lone.items()}
        return "sequence" if not lone or ("" not in recordings and len(recordings) >= 3) else "frame"


def carry_out(step: Step, records: Path, call: Callable[[], int]) -> int:
    """Run a step by `call`, which returns its exit code, and record how it ended."""
    file, began, code = State.file(records, step.name), time.monotonic(), 1
    try:
        State("started", step.parts).write(file)
    except OSError as error:
        raise OutputError(f"{file}: can't be written ({error.strerror}); make room or name another folder") from error
    try:
        code = call()
    finally:
        status = _ENDINGS.get(code, "failed")
        files = step.listed() if status in {"done", "partial"} else {}
        with suppress(OSError):  # the step will run again
            State(status, step.parts, time.monotonic() - began, files).write(file)
    return code


def _digest(path: Path) -> str:
    """Return a digest of names, sizes and times of a file, or of the files in a folder."""
    return _hashed(listing({"": path}))


def _digest_of_images(folder: Path) -> str:
    """Return a digest as `_digest` of the images in a folder, through links to folders."""
    found = {}
    for name in image_names(folder):
        try:
            status = (folder / name).stat()
        except OSError:  # a broken link
            continue
        found[name] = [status.st_size, status.st_mtime_ns]
    return _hashed(found)


def _hashed(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
