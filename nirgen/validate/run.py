"""Validate a dataset: nirgen's own, or any COCO annotation files with their images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nirgen.config import SPLITS
from nirgen.dataset.folder import annotations_name, read_dataset
from nirgen.errors import NirgenError
from nirgen.labels.policy import BUILT_IN, Policy
from nirgen.validate import images as image_files
from nirgen.validate.annotations import check_annotations, check_classes
from nirgen.validate.checks import GROUPS
from nirgen.validate.coco import read_coco
from nirgen.validate.findings import Extent, Findings, Report
from nirgen.validate.lineage import agreed_leaks, check_lineage, read_provenance
from nirgen.validate.loaders import load_all

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from nirgen.dataset.folder import DatasetInfo
    from nirgen.progress import Progress
    from nirgen.validate.coco import CocoFile


@dataclass(frozen=True)
class Options:
    """Options of a validation."""

    decode: bool = True  # decode images, not only their headers
    train_ready: bool = False  # load all with pycocotools, torchvision and transformers
    damaged: Literal["fail", "keep"] = "fail"  # images with corrupt data: a finding, or taken as they are
    models: tuple[str, ...] = ()  # generators' files, for training pairs that the dataset lacks


def validate(
    paths: Sequence[Path],
    images: Sequence[Path] = (),
    options: Options | None = None,
    *,
    progress: Progress | None = None,
) -> Report:
    """Validate the folder of a dataset of nirgen's, or COCO annotation files.

    Args:
        paths: One folder, or files that are the splits of one dataset.
        images: For files, the folder that the names in each are relative to, or one for all; by default the files' own.
        options: Defaults if None.
        progress: Progress callback.

    Raises:
        NirgenError: The folder is no dataset, a file can't be read or is no COCO annotation file, or there are folders
            for some files only.
    """
    if len(paths) == 1 and paths[0].is_dir():
        return validate_dataset(paths[0], options, progress=progress)
    return validate_coco(paths, images, options, progress=progress)


def validate_dataset(folder: Path, options: Options | None = None, *, progress: Progress | None = None) -> Report:
    """Validate a dataset of `nirgen build-dataset`; see `validate`."""
    info = read_dataset(folder)
    options, findings = options or Options(), Findings()
    names = [split for split in SPLITS if split in info.splits]
    files = [read_coco(folder / annotations_name(split), split, folder, findings) for split in names]
    check_annotations(files, findings)
    check_classes(files, info.categories, _policy_classes(info), findings)
    agreed = agreed_leaks(info, findings)
    _check_images(files, findings, options=options, progress=progress, info=info, agreed=agreed)
    image_files.check_kinds(files, findings)
    rows = read_provenance(info, findings)
    if rows is not None:
        check_lineage(info, files, rows, findings, models=options.models, agreed=agreed)
    return _report(str(folder), files, findings, options, progress)


def validate_coco(
    paths: Sequence[Path],
    images: Sequence[Path] = (),
    options: Options | None = None,
    *,
    progress: Progress | None = None,
) -> Report:
    """Validate COCO annotation files of any origin; see `validate`."""
    if len(images) not in {0, 1, len(paths)}:
        raise NirgenError(f"{len(images)} folders of images for {len(paths)} files; name one, or one for each")
    roots = list(images) * (len(paths) if len(images) == 1 else 1) or [path.parent for path in paths]
    for root in roots:
        if not root.is_dir():
            raise NirgenError(f"{root}: no folder; name the folder of the images with --images")
    options, findings = options or Options(), Findings()
    files = [read_coco(path, _split_of(path), root, findings) for path, root in zip(paths, roots, strict=True)]
    check_annotations(files, findings)
    _check_images(files, findings, options=options, progress=progress, guessed=not images)
    findings.skip("lineage", "only for datasets of 'nirgen build-dataset'")
    return _report(", ".join(map(str, paths)), files, findings, options, progress)


def _check_images(
    files: Sequence[CocoFile],
    findings: Findings,
    *,
    options: Options,
    progress: Progress | None,
    info: DatasetInfo | None = None,
    agreed: Collection[str] = (),
    guessed: bool = False,
) -> None:
    """Check image files, and those that splits share; `guessed` if the user did not name the images' folders."""
    several = len(files) > 1
    listed = image_files.list_images(files, findings)
    inspected = image_files.inspect(
        listed, decode=options.decode, damaged=options.damaged, fingerprints=several, report=progress
    )
    if guessed and not inspected:
        folders = ", ".join(sorted({str(file.root) for file in files}))
        findings.skip("files", f"none of the images is in {folders}; name their folder with --images")
        findings.skip("splits", "there are no images to compare")
        return
    image_files.check_images(listed, inspected, findings)
    if info is not None:
        image_files.check_recorded(info, inspected, findings, progress)
        image_files.check_alike(listed, inspected, findings)
    if not options.decode:
        findings.skip("files", "images were not decoded (--no-decode)", partly=True)
    if not several:
        findings.skip("splits", "there is one annotation file only")
        return
    image_files.check_splits(listed, inspected, agreed, findings)
    image_files.check_sequences(files, agreed, findings)
    if not options.decode:
        findings.skip("splits", "near copies were not sought (--no-decode)", partly=True)


def _policy_classes(info: DatasetInfo) -> list[str] | None:
    """Return the classes of the labels' policy, if it is a single built-in one that names its classes."""
    policies = {labels["policy"] for labels in info.values["labels"]}
    if len(policies) != 1 or not policies <= {*BUILT_IN}:
        return None
    policy = Policy.load(policies.pop())
    return None if policy.keep else [rule.name for rule in policy.classes]


def _split_of(path: Path) -> str:
    """Return `val` for `instances_val2017.json`; the stem of a name that holds no split, or several."""
    named = [split for split in SPLITS if split in path.stem.casefold()]
    return named[0] if len(named) == 1 else path.stem


def _report(
    subject: str, files: Sequence[CocoFile], findings: Findings, options: Options, progress: Progress | None
) -> Report:
    """Run the loaders if asked for, and return the report of all checks."""
    loaded = load_all(files, findings, progress) if options.train_ready else []
    if not options.train_ready:
        findings.skip("train-ready", "not asked for (--train-ready)")
    crowds = [file.annotations.crowd for file in files]
    return Report(
        subject=subject,
        extents=tuple(
            Extent(file.split, len(file.images), int((~crowd).sum()), int(crowd.sum()))
            for file, crowd in zip(files, crowds, strict=True)
        ),
        checked=tuple(group for group in GROUPS if group not in findings.skipped()),
        skipped=findings.skipped(),
        partial=findings.skipped(partly=True),
        findings=findings.sorted(),
        loaded=tuple(loaded),
    )
