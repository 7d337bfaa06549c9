"""Inputs of a dataset: translation folders, real images, and their labels."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nirgen.dataset.entries import find_entries, misfit, name_targets
from nirgen.dataset.folder import hash_file, hash_input, read_all
from nirgen.dataset.plan import Generator, LabelInput, Matched, PlannedImage, TrainingPair
from nirgen.dataset.provenance import pairs_of
from nirgen.dataset.real import find_real
from nirgen.errors import ImageError, NirgenError
from nirgen.files import safe_path
from nirgen.labels import open_labels
from nirgen.labels.policy import BUILT_IN
from nirgen.translate.journal import journal_path
from nirgen.translate.manifest import NAME, read_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nirgen.dataset.config import DatasetConfig, GeneratedInput, RealInput
    from nirgen.dataset.plan import Tally
    from nirgen.dataset.real import RealImage
    from nirgen.labels import Category
    from nirgen.labels.file import LabelFile, LabelledImage
    from nirgen.progress import Progress
    from nirgen.translate.items import Row
    from nirgen.translate.manifest import Manifest


@dataclass(frozen=True)
class Translation:
    """A translation folder whose run has ended.

    Attributes:
        given: The input.
        manifest: What it holds.
        sources: The folder of the RGB sources; None if it isn't known, or gone.
    """

    given: GeneratedInput
    manifest: Manifest
    sources: Path | None

    @classmethod
    def read(cls, given: GeneratedInput) -> Self:
        """Read the manifest of a translation folder.

        Raises:
            NirgenError: It is none, its run hasn't ended, or a path in its manifest leads out of it.
        """
        folder = given.folder
        if journal_path(folder).exists():
            raise NirgenError(f"{folder}: its translation hasn't ended; finish it with the same 'nirgen translate'")
        manifest = read_manifest(folder)
        if manifest is None or not manifest.rows:
            raise NirgenError(f"{folder}: no translation folder (no {NAME} with rows); 'nirgen translate' writes one")
        for row in manifest.rows:
            for name in (row.source, row.output):
                if name is not None and safe_path(name, str(folder / NAME)) != name:
                    raise NirgenError(f"{folder / NAME}: the name {name!r} isn't in its shortest form; translate anew")
        return cls(given, manifest, _sources(given))

    @property
    def generator(self) -> Generator:
        """What made its images."""
        header, first = self.manifest.model, self.manifest.rows[0]
        training = header.get("training") or {}
        pairs = training.get("pairs")
        return Generator(
            origin=self.given.origin,
            model_id=first.model_id,
            options_id=first.options_id,
            options=self.manifest.options,
            licence=header.get("licence") or "unknown",
            architecture=header.get("architecture") or {},
            training={key: value for key, value in training.items() if key != "pairs"},
            training_pairs=None if pairs is None else len(pairs),
            nirgen_version=self.manifest.nirgen_version,
        )

    @property
    def training(self) -> tuple[TrainingPair, ...]:
        """The pairs that its generator was trained on; none if the model's header has no list."""
        return pairs_of(self.manifest.model, self.manifest.rows[0].model_id)


@dataclass(frozen=True)
class Inputs:
    """What was read.

    Attributes:
        config: What was asked for, with the folders of RGB sources that were found.
        translations: One for each of `config.generated`.
        labels: One for each input, generated ones first.
        generated: The images of all translation folders that can go into a dataset.
        reals: The same of all folders of real images, sorted by key.
        matched: How the images of each input found their labels.
    """

    config: DatasetConfig
    translations: tuple[Translation, ...]
    labels: tuple[LabelFile, ...]
    generated: tuple[PlannedImage, ...]
    reals: tuple[RealImage, ...]
    matched: tuple[Matched, ...]

    @classmethod
    def read(cls, config: DatasetConfig, tally: Tally, report: Progress | None = None) -> Self:
        """Read all inputs.

        Args:
            config: What is asked for.
            tally: Where what stays out is counted.
            report: Told as files are read.

        Raises:
            NirgenError: One can't be used, or their labels have different classes.
        """
        translations = tuple(Translation.read(given) for given in config.generated)
        labels = [open_labels(each.given.labels, config.policy, images=each.sources) for each in translations] + [
            open_labels(given.labels, config.policy, images=given.folder) for given in config.real
        ]
        _refuse_other_classes(config, labels)
        generated: list[PlannedImage] = []
        reals: list[RealImage] = []
        matched: list[Matched] = []
        for number, translation in enumerate(translations):
            images, how = find_generated(translation, labels[number], number, config=config, tally=tally, report=report)
            generated += images
            matched.append(how)
        for number, given in enumerate(config.real, start=len(translations)):
            files, how = find_real(given, labels[number], number, config=config, tally=tally, report=report)
            reals += files
            matched.append(how)
        reals.sort(key=lambda image: image.key)
        found = tuple(each.given.model_copy(update={"sources": each.sources}) for each in translations)
        config = config.model_copy(update={"generated": found})
        return cls(config, translations, tuple(labels), tuple(generated), tuple(reals), tuple(matched))

    @property
    def categories(self) -> tuple[Category, ...]:
        """The classes, which all labels have in common."""
        return self.labels[0].categories

    @property
    def training(self) -> tuple[TrainingPair, ...]:
        """The pairs that trained the generators."""
        return tuple(pair for translation in self.translations for pair in translation.training)

    def label_inputs(self) -> tuple[LabelInput, ...]:
        """What a plan says of the files of labels."""
        return tuple(
            LabelInput(given.origin, file.path.name, file.sha256, file.policy, file.counts, file.licenses)
            for given, file in zip(_all(self.config), self.labels, strict=True)
        )

    def digests(self) -> dict[str, str]:
        """The sha256 of each thing that was read, by the input and what it is."""
        digests = {}
        for given, file in zip(_all(self.config), self.labels, strict=True):
            digests[f"{given.origin}: labels"] = file.sha256
            digests[f"{given.origin}: images"] = self._images_digest(given.origin)
        for generated in self.config.generated:
            digests[f"{generated.origin}: {NAME}"] = hash_input(generated.folder / NAME)
        for real in self.config.real:
            if real.pairs is not None:
                digests[f"{real.origin}: pairs"] = hash_input(real.pairs)
        if self.config.policy not in BUILT_IN:
            digests["policy"] = hash_input(Path(self.config.policy))
        return digests

    def _images_digest(self, origin: str) -> str:
        """Of a line for each image: its sha256 and key."""
        files = [(image.key, image.sha256) for image in self.generated if image.origin == origin]
        files += [(image.key, image.file.sha256) for image in self.reals if image.origin == origin]
        listing = "".join(f"{sha256}  {key}\n" for key, sha256 in sorted(files))
        return hashlib.sha256(listing.encode()).hexdigest()


def _all(config: DatasetConfig) -> list[GeneratedInput | RealInput]:
    return [*config.generated, *config.real]


def _refuse_other_classes(config: DatasetConfig, labels: list[LabelFile]) -> None:
    for given, file in zip(_all(config), labels, strict=True):
        if file.categories != labels[0].categories:
            ours, others = (", ".join(each.name for each in one.categories) for one in (labels[0], file))
            raise NirgenError(
                f"{file.path}: the labels of '{given.origin}' have the classes {others}, and {labels[0].path.name} has "
                f"{ours}; convert both with one policy: nirgen labels FILE -o OUT.json --policy NAME"
            )


def find_generated(
    translation: Translation,
    labels: LabelFile,
    number: int,
    *,
    config: DatasetConfig,
    tally: Tally,
    report: Progress | None = None,
) -> tuple[list[PlannedImage], Matched]:
    """The images of a translation folder that can go into a dataset.

    Args:
        translation: The folder.
        labels: Of its RGB sources.
        number: The position of the input, which is that of its labels and of its generator in the plan.
        config: What was asked for.
        tally: Where what stays out is counted.
        report: Told as outputs are hashed.

    Returns:
        The images, and how they found their labels.

    Raises:
        NirgenError: Labels and sources don't fit each other, or not in one way only.
    """
    origin = translation.given.origin
    rows = {row.source: row for row in translation.manifest.rows}
    entries = find_entries(origin, list(rows), labels, tally)
    usable = _usable(origin, rows, entries.of, config.include_unlabelled, tally)
    paths = [translation.given.folder / str(row.output) for row in usable]
    looked = read_all(hash_file, paths, what=f"hash {origin}", report=report)
    targets = name_targets(origin, [str(row.output) for row in usable], config.codec)
    found = []
    for row, path, file, target in zip(usable, paths, looked, targets, strict=True):
        if isinstance(file, ImageError):
            tally.add(origin, "missing", [row.source])
        elif file.sha256 != row.output_sha256:
            tally.add(origin, "changed", [row.source])
        else:
            entry = entries.of.get(row.source)
            found.append(
                PlannedImage(
                    key=f"{origin}/{row.source}",
                    origin=origin,
                    kind="generated",
                    split="train",
                    path=path.absolute(),
                    sha256=file.sha256,
                    size_bytes=file.size_bytes,
                    width=row.width or 0,
                    height=row.height or 0,
                    target=target,
                    labels=entry,
                    label_file=number,
                    generator=number,
                    source=row.source,
                    source_sha256=row.source_sha256,
                    model_id=row.model_id,
                    options_id=row.options_id,
                    sequence=entry.sequence if entry else None,
                )
            )
    return found, entries.matched


def _usable(
    origin: str,
    rows: Mapping[str, Row],
    entries: Mapping[str, LabelledImage],
    include_unlabelled: bool,
    tally: Tally,
) -> list[Row]:
    """The rows whose images the labels fit, going by the manifest."""
    usable = []
    for row in rows.values():
        entry = entries.get(row.source)
        remark = misfit(entry, row.source_width or 1, row.source_height or 1) if entry else None
        if row.status != "done":
            tally.add(origin, "failed", [row.source])
        elif entry is None and not include_unlabelled:
            tally.add(origin, "unlabelled", [row.source])
        elif remark is not None:
            tally.add(origin, "size", [f"{row.source} {remark}"])
        else:
            usable.append(row)
    return usable


def _sources(given: GeneratedInput) -> Path | None:
    """The folder of the RGB sources, as given or as `run.json` names it; None if it isn't there."""
    folder = given.sources or _recorded_sources(given.folder / "run.json")
    if given.sources is not None and not given.sources.is_dir():
        raise NirgenError(f"{given.sources}: no folder; name that of the RGB sources of '{given.origin}'")
    return folder if folder is not None and folder.is_dir() else None


def _recorded_sources(path: Path) -> Path | None:
    try:
        run: Any = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    source = run.get("source") if isinstance(run, dict) else None
    return Path(source) if isinstance(source, str) else None
