"""Inputs of a dataset: translation folders and folders of real NIR images, with their labels."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nirgen.config import SPLITS
from nirgen.dataset.encoding import choose_encoding, name_encoded
from nirgen.dataset.entries import find_entries, misfit, name_targets
from nirgen.dataset.folder import Looked, look_at
from nirgen.dataset.plan import REASONS, Generator, LabelInput, Matched, PlannedImage, TrainingPair
from nirgen.dataset.provenance import pairs_of
from nirgen.dataset.read import translated_from
from nirgen.errors import ImageError, NirgenError, one_line
from nirgen.escapes import printable
from nirgen.files import find_below, is_safe_path, sha256_of
from nirgen.labels import open_labels
from nirgen.labels.policy import BUILT_IN
from nirgen.pairs.listing import file_of, list_images, read_rows
from nirgen.progress import in_threads, or_error
from nirgen.translate.journal import FOLDER, journal_path
from nirgen.translate.manifest import NAME, is_manifest, is_named, read_manifest, read_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nirgen.dataset.config import DatasetConfig, GeneratedInput, RealInput
    from nirgen.dataset.plan import Tally
    from nirgen.images import Reading
    from nirgen.labels import Category
    from nirgen.labels.file import LabelFile, LabelledImage
    from nirgen.pairs.listing import Pair
    from nirgen.progress import Progress
    from nirgen.translate.items import Row
    from nirgen.translate.manifest import Manifest


_SPLIT_NAMES = {**{split: split for split in SPLITS}, "training": "train", "valid": "val", "validation": "val"}


@dataclass(frozen=True)
class Translation:
    """A finished translation folder."""

    given: GeneratedInput
    manifest: Manifest
    sources: Path | None  # folder of the RGB sources; None if unknown or missing
    pairs: Sequence[Mapping[str, Any]] | None  # that trained its generator; None without a list

    @classmethod
    def read(cls, given: GeneratedInput) -> Self:
        """Read the manifest of a translation folder.

        Raises:
            NirgenError: It is none or unfinished.
        """
        folder = given.folder
        if journal_path(folder).exists():
            raise NirgenError(f"{folder}: its translation hasn't ended; finish it with the same 'nirgen translate'")
        manifest = read_manifest(folder)
        if manifest is None or not manifest.rows:
            raise NirgenError(f"{folder}: no translation folder (no {NAME} with rows); 'nirgen translate' writes one")
        if given.sources is not None and not given.sources.is_dir():
            raise NirgenError(f"{given.sources}: no folder; name that of the RGB sources of '{given.origin}'")
        sources = given.sources or translated_from(folder)
        found = sources if sources is not None and sources.is_dir() else None
        read = cls(given, manifest, found, read_pairs(folder, manifest))
        try:
            _ = read.generator, read.training
        except (AttributeError, TypeError):
            raise NirgenError(f"{folder / NAME}: the model's header in it is damaged; translate anew") from None
        return read

    @property
    def generator(self) -> Generator:
        """Return the translator of its images."""
        header, first = self.manifest.model, self.manifest.rows[0]
        training = header.get("training") or {}
        return Generator(
            origin=self.given.origin,
            model_id=first.model_id,
            options_id=first.options_id,
            options=self.manifest.options,
            licence=header.get("licence") or "unknown",
            architecture=header.get("architecture") or {},
            training={key: value for key, value in training.items() if key != "pairs_sha256"},
            training_pairs=None if self.pairs is None else len(self.pairs),
            nirgen_version=self.manifest.nirgen_version,
        )

    @property
    def training(self) -> tuple[TrainingPair, ...]:
        """Return the pairs that its generator was trained on; empty if the model's header has no list."""
        return pairs_of({"training": {"pairs": self.pairs}}, self.manifest.rows[0].model_id)


@dataclass(frozen=True, slots=True)
class RealImage:
    """A real NIR image that has no split yet."""

    origin: str
    name: str  # POSIX path in the input's folder
    path: Path
    file: Looked
    target: str  # path in the dataset
    labels: LabelledImage | None
    label_file: int  # index in the plan
    pair: Pair | None  # whose NIR image it is
    rgb: Path | None  # RGB partner; None if unknown or missing

    @property
    def key(self) -> str:
        """Return the stable key."""
        return f"{self.origin}/{self.name}"

    @property
    def sequences(self) -> tuple[str, ...]:
        """Return the names of its recording: by its labels, then by its pair."""
        known = (self.labels.sequence if self.labels else None, self.pair.sequence if self.pair else None)
        return tuple(dict.fromkeys(name for name in known if name))

    @property
    def split(self) -> str | None:
        """Return the split by its labels, or else by its pair."""
        return _SPLIT_NAMES.get(_own_split(self.labels, self.pair))

    def planned(self, split: str) -> PlannedImage:
        """Return the image as a part of the dataset."""
        height, width = self.file.size or (0, 0)
        return PlannedImage(
            key=self.key,
            origin=self.origin,
            kind="real",
            split=split,
            path=self.path.absolute(),
            sha256=self.file.sha256,
            size_bytes=self.file.size_bytes,
            width=width,
            height=height,
            target=self.target,
            labels=self.labels,
            label_file=self.label_file,
            in_colour=self.file.in_colour,
            source=self.pair.rgb if self.pair else None,
            source_sha256=self.pair.rgb_sha256 if self.pair else None,
            sequence=next(iter(self.sequences), None),
        )


@dataclass(frozen=True)
class Inputs:
    """All inputs of a dataset."""

    config: DatasetConfig  # with the RGB source folders that were found, and the encoding that was chosen
    translations: tuple[Translation, ...]  # one for each of `config.generated`
    labels: tuple[LabelFile, ...]  # one for each input, generated ones first
    generated: tuple[PlannedImage, ...]  # usable images of all translation folders
    reals: tuple[RealImage, ...]  # usable real images, sorted by key
    matched: tuple[Matched, ...]  # one for each input
    note: str | None  # on the encoding, if it was chosen

    @classmethod
    def read(cls, config: DatasetConfig, tally: Tally, report: Progress | None = None) -> Self:
        """Read all inputs; what is left out goes to `tally`.

        Raises:
            NirgenError: One can't be used or has no usable image, or their labels have different classes.
        """
        translations = tuple(Translation.read(given) for given in config.generated)
        folders = [*(each.sources for each in translations), *(given.folder for given in config.real)]
        labels = tuple(
            open_labels(given.labels, config.policy, images=folder)
            for given, folder in zip(config.inputs, folders, strict=True)
        )
        for given, file in zip(config.inputs, labels, strict=True):
            if file.categories != labels[0].categories:
                ours, others = (", ".join(each.name for each in one.categories) for one in (labels[0], file))
                raise NirgenError(
                    f"{file.path}: the labels of '{given.origin}' have the classes {others}, and {labels[0].path.name} "
                    f"has {ours}; convert both with one policy: nirgen labels FILE -o OUT.json --policy NAME"
                )
        reader = _Reader(config.reading, config.include_unlabelled, tally, report)
        generated = [reader.generated(each, labels[number], number) for number, each in enumerate(translations)]
        numbered = enumerate(config.real, start=len(translations))
        reals = [reader.real(each, labels[number], number) for number, each in numbered]
        for given, folder, (images, _) in zip(config.inputs, folders, [*generated, *reals], strict=True):
            if not images:
                raise NirgenError(_nothing_usable(given.origin, folder, tally))
        found = tuple(each.given.model_copy(update={"sources": each.sources}) for each in translations)
        config, note = choose_encoding(config.model_copy(update={"generated": found}), reader.forms)
        codec, _ = config.encoding
        return cls(
            config=config,
            translations=translations,
            labels=labels,
            generated=tuple(image for images, _ in generated for image in name_encoded(images, codec)),
            reals=tuple(
                sorted(
                    (image for images, _ in reals for image in name_encoded(images, codec)),
                    key=lambda image: image.key,
                )
            ),
            matched=tuple(matched for _, matched in (*generated, *reals)),
            note=note,
        )

    @property
    def categories(self) -> tuple[Category, ...]:
        """Return the classes, which all labels have in common."""
        return self.labels[0].categories

    @property
    def training(self) -> tuple[TrainingPair, ...]:
        """Return the pairs that trained the generators."""
        return tuple(pair for translation in self.translations for pair in translation.training)

    def label_inputs(self) -> tuple[LabelInput, ...]:
        """Return the records of the label files."""
        return tuple(
            LabelInput(given.origin, file.path.name, file.sha256, file.policy, file.counts, file.licenses)
            for given, file in zip(self.config.inputs, self.labels, strict=True)
        )

    def digests(self) -> dict[str, str]:
        """Return the sha256 of everything that was read, by name; of images, that of a line of sha256 and key each."""
        digests = {}
        for given, file in zip(self.config.inputs, self.labels, strict=True):
            files = [(image.key, image.sha256) for image in self.generated if image.origin == given.origin]
            files += [(image.key, image.file.sha256) for image in self.reals if image.origin == given.origin]
            listing = "".join(f"{sha256}  {key}\n" for key, sha256 in sorted(files))
            digests[f"{given.origin}: labels"] = file.sha256
            digests[f"{given.origin}: images"] = hashlib.sha256(listing.encode()).hexdigest()
        for generated in self.config.generated:
            digests[f"{generated.origin}: {NAME}"] = sha256_of(generated.folder / NAME)
        for real in self.config.real:
            if real.pairs is not None:
                digests[f"{real.origin}: pairs"] = sha256_of(real.pairs)
        if self.config.policy not in BUILT_IN:
            try:
                digests["policy"] = sha256_of(Path(self.config.policy))
            except (OSError, ValueError) as error:
                raise NirgenError(f"policy {self.config.policy!r}: can't be read ({one_line(error, 200)})") from None
        return digests


@dataclass(frozen=True)
class _Reader:
    """Reader of the images of one input after the other.

    Its methods return the usable images, and how all were matched with labels. `number` is the position of the input,
    also of its labels and its generator in the plan.
    """

    reading: Reading
    include_unlabelled: bool
    tally: Tally  # takes what is left out
    report: Progress | None
    forms: Mapping[str, Counter[tuple[str, int]]] = field(
        default_factory=lambda: {"generated": Counter(), "real": Counter()}
    )  # codecs and channels of images, by kind

    def generated(self, translation: Translation, labels: LabelFile, number: int) -> tuple[list[PlannedImage], Matched]:
        origin = translation.given.origin
        rows = {row.source: row for row in translation.manifest.rows if is_named(row)}
        for row in translation.manifest.rows:
            if row.source not in rows:
                self.tally.add(origin, "name" if row.status == "done" else "failed", [printable(row.source)])
        entries, matched = find_entries(origin, list(rows), labels, self.tally)
        usable = [row for row in rows.values() if self._is_usable(origin, row, entries.get(row.source))]
        paths = [translation.given.folder / str(row.output) for row in usable]
        looked = in_threads(
            or_error(partial(look_at, with_size=False), ImageError), paths, f"hash {origin}", self.report
        )
        targets = name_targets(origin, [str(row.output) for row in usable], None)
        found = []
        for row, path, file, target in zip(usable, paths, looked, targets, strict=True):
            if isinstance(file, ImageError):
                self.tally.add(origin, "missing", [row.source])
                continue
            if file.sha256 != row.output_sha256:
                self.tally.add(origin, "changed", [row.source])
                continue
            self.forms["generated"].update(filter(None, (file.form,)))
            entry = entries.get(row.source)
            image = PlannedImage(
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
            found.append(image)
        return found, matched

    def _is_usable(self, origin: str, row: Row, entry: LabelledImage | None) -> bool:
        """Return True if an image fits its labels, by the sizes in the manifest; else it is left out."""
        remark = misfit(entry, row.source_width or 1, row.source_height or 1) if entry else None
        if row.status != "done":
            self.tally.add(origin, "failed", [row.source])
        elif entry is None and not self.include_unlabelled:
            self.tally.add(origin, "unlabelled", [row.source])
        elif remark is not None:
            self.tally.add(origin, "size", [f"{row.source} {remark}"])
        else:
            return True
        return False

    def real(self, given: RealInput, labels: LabelFile, number: int) -> tuple[list[RealImage], Matched]:
        files, partners = _list(given), Partners(given)
        named = {name: path for name, path in files.items() if is_safe_path(name)}
        self.tally.add(given.origin, "name", map(printable, files.keys() - named.keys()))
        files = named
        entries, matched = find_entries(given.origin, list(files), labels, self.tally)
        names = [name for name in files if name in entries or self.include_unlabelled]
        self.tally.add(given.origin, "unlabelled", files.keys() - names)
        paths = [files[name] for name in names]
        looked = in_threads(
            or_error(partial(look_at, reading=self.reading), ImageError), paths, f"hash {given.origin}", self.report
        )
        found = []
        for name, file, target in zip(names, looked, name_targets(given.origin, names, None), strict=True):
            if isinstance(file, ImageError):
                self.tally.add(given.origin, "damaged", [name])
                continue
            entry, pair = entries.get(name), partners.of(files[name], file.sha256)
            split, (height, width) = _own_split(entry, pair), file.size or (0, 0)
            remark = misfit(entry, width, height) if entry else None
            if split and split not in _SPLIT_NAMES:
                self.tally.add(given.origin, "other-split", [f"{name} is of '{split}'"])
            elif remark is not None:
                self.tally.add(given.origin, "size", [f"{name} {remark}"])
            else:
                self.forms["real"].update(filter(None, (file.form,)))
                rgb = partners.rgb(pair) if pair else None
                found.append(RealImage(given.origin, name, files[name], file, target, entry, number, pair, rgb))
        return found, matched


def _nothing_usable(origin: str, folder: Path | None, tally: Tally) -> str:
    """Return the error of an input whose images are all left out."""
    reasons = [each for each in tally.left_out() if each.origin == origin and each.what != "without-image"]
    told = "; ".join(f"{each.count} {REASONS[each.what]}, such as {each.examples[0]}" for each in reasons)
    if any(each.what == "size" for each in reasons):
        remedy = f"take the images' sizes into the labels: nirgen labels FILE -o OUT.json --images {folder or 'FOLDER'}"
    else:
        remedy = "mend it, or leave this input out"
    return f"'{origin}' has no image that can be used ({told}); {remedy}"


class Partners:
    """Pairs of an input's list by their NIR images, which must be files of their own."""

    def __init__(self, given: RealInput) -> None:
        rows = read_rows(given.pairs) if given.pairs is not None else ()
        if any(file_of(pair.nir) != pair.nir for pair in rows):
            raise NirgenError(
                f"{given.pairs}: its NIR images are halves of files; list them cut into files of their own"
            )
        self._roots = (given.pairs.parent, given.folder) if given.pairs is not None else ()
        self._by_path = {(root / pair.nir).resolve(): pair for pair in rows for root in self._roots}
        self._by_hash = {pair.nir_sha256: pair for pair in reversed(rows)}

    def of(self, path: Path, sha256: str) -> Pair | None:
        """Return the pair of a NIR image: by its path in the list, or by its bytes."""
        return self._by_path.get(path.resolve()) or self._by_hash.get(sha256)

    def rgb(self, pair: Pair) -> Path | None:
        """Return the RGB file of a pair, if it exists."""
        return find_below(self._roots, pair.rgb)


def _list(given: RealInput) -> dict[str, Path]:
    """Return the images of the folder by name."""
    if (given.folder / FOLDER).is_dir() or is_manifest(given.folder / NAME):
        raise NirgenError(f"{given.folder}: a translation folder, whose images are not real; give it with --generated")
    files = {path.relative_to(given.folder).as_posix(): path for path in list_images(given.folder)}
    if not files:
        raise NirgenError(f"{given.folder}: no folder with images; name that of the real NIR images")
    return files


def _own_split(entry: LabelledImage | None, pair: Pair | None) -> str:
    return (entry.split if entry else None) or (pair.split if pair else "")
