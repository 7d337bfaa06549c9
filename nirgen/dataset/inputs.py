"""All that a dataset is made from, read: translation folders, real images, and their labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from nirgen.dataset.generated import Translation, find_generated
from nirgen.dataset.plan import LabelInput
from nirgen.dataset.reading import hash_input
from nirgen.dataset.real import find_real
from nirgen.errors import NirgenError
from nirgen.labels import open_labels
from nirgen.labels.policy import BUILT_IN
from nirgen.translate.manifest import NAME

if TYPE_CHECKING:
    from nirgen.dataset.config import DatasetConfig, GeneratedInput, RealInput
    from nirgen.dataset.plan import Matched, PlannedImage, Report
    from nirgen.dataset.real import RealImage
    from nirgen.dataset.tally import Tally
    from nirgen.dataset.training import TrainingPair
    from nirgen.labels import Category, LabelFile


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
    def read(cls, config: DatasetConfig, tally: Tally, report: Report | None = None) -> Self:
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
