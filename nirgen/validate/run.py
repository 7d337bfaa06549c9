"""Validate a dataset: nirgen's own, or any COCO annotation files with their images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nirgen.dataset.folder import annotations_name, read_dataset
from nirgen.errors import NirgenError
from nirgen.labels.frames import SPLITS
from nirgen.labels.policy import BUILT_IN, Policy
from nirgen.validate import images as image_files
from nirgen.validate import images as splits
from nirgen.validate.annotations import check_boxes, check_category_ids, check_classes, check_structure
from nirgen.validate.checks import GROUPS
from nirgen.validate.coco import read_coco
from nirgen.validate.findings import Extent, Findings, Report
from nirgen.validate.formats import check_formats
from nirgen.validate.lineage import agreed_leaks, check_lineage, check_provenance, read_provenance
from nirgen.validate.loaders import load_all

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from nirgen.dataset.folder import DatasetInfo
    from nirgen.progress import Progress
    from nirgen.validate.coco import CocoFile


_OWN = ("lineage", "provenance", "formats")


@dataclass(frozen=True)
class Options:
    """How to validate.

    Attributes:
        decode: Whether to decode images, and not to read their headers only.
        train_ready: Whether to load all with pycocotools, torchvision and transformers.
        models: Files of generators that may have translated images of the dataset, for their training lists.
    """

    decode: bool = True
    train_ready: bool = False
    models: tuple[str, ...] = ()


def validate_dataset(folder: Path, options: Options | None = None, *, progress: Progress | None = None) -> Report:
    """Validate a dataset that `nirgen build-dataset` wrote.

    Args:
        folder: The dataset.
        options: How.
        progress: Told what is being done, how many are done, of how many.

    Raises:
        NirgenError: It is no dataset of nirgen's, or an annotation file can't be read.
    """
    info = read_dataset(folder)
    job = _Job(options or Options(), Findings(), progress)
    names = [split for split in SPLITS if split in info.splits]
    files = [read_coco(folder / annotations_name(split), split, folder, job.findings) for split in names]
    _check_annotations(job, files)
    check_classes(files, info.categories, _policy_classes(info), job.findings)
    agreed = agreed_leaks(info, job.findings)
    _check_images(job, files, info=info, agreed=agreed)
    splits.check_kinds(files, job.findings)
    rows = read_provenance(info, job.findings)
    if rows is None:
        job.findings.skip("lineage", "there is no provenance to go by")
    else:
        check_provenance(files, rows, info.files, job.findings)
        check_lineage(info, files, rows, job.findings, models=job.options.models, agreed=agreed)
    check_formats(info, files, job.findings)
    return _report(job, str(folder), files)


def validate_coco(
    annotations: Sequence[Path],
    images: Sequence[Path] = (),
    options: Options | None = None,
    *,
    progress: Progress | None = None,
) -> Report:
    """Validate COCO annotation files of any origin; several are the splits of one dataset.

    Args:
        annotations: The files.
        images: The folder that the names in each are relative to, or one for all; by default the files' own.
        options: How.
        progress: Told what is being done, how many are done, of how many.

    Raises:
        NirgenError: A file can't be read or is no COCO annotation file, or there are folders for some files only.
    """
    roots = _roots(annotations, images)
    job = _Job(options or Options(), Findings(), progress)
    files = [
        read_coco(path, _split_of(path), root, job.findings) for path, root in zip(annotations, roots, strict=True)
    ]
    _check_annotations(job, files)
    _check_images(job, files, guessed=not images)
    for group in _OWN:
        job.findings.skip(group, "only for datasets of 'nirgen build-dataset'")
    return _report(job, ", ".join(map(str, annotations)), files)


@dataclass(frozen=True)
class _Job:
    """A validation on its way."""

    options: Options
    findings: Findings
    progress: Progress | None


def _roots(annotations: Sequence[Path], images: Sequence[Path]) -> list[Path]:
    """The folder of the images of each annotation file."""
    if len(images) not in {0, 1, len(annotations)}:
        raise NirgenError(f"{len(images)} folders of images for {len(annotations)} files; name one, or one for each")
    roots = list(images) or [path.parent for path in annotations]
    for root in roots:
        if not root.is_dir():
            raise NirgenError(f"{root}: no folder; name the folder of the images with --images")
    return roots if len(roots) == len(annotations) else roots * len(annotations)


def _check_annotations(job: _Job, files: Sequence[CocoFile]) -> None:
    check_structure(files, job.findings)
    check_category_ids(files, job.findings)
    check_boxes(files, job.findings)


def _check_images(
    job: _Job,
    files: Sequence[CocoFile],
    *,
    info: DatasetInfo | None = None,
    agreed: Collection[str] = (),
    guessed: bool = False,
) -> None:
    """Check image files, and what the splits share of them.

    Args:
        job: The validation.
        files: The annotation files.
        info: What a dataset of nirgen's says of itself.
        agreed: Keys of its images that were accepted as leaks.
        guessed: Whether nobody has said where the images are.
    """
    findings, decode, several = job.findings, job.options.decode, len(files) > 1
    paths = image_files.check_names(files, findings)
    inspected = image_files.inspect(paths, decode=decode, fingerprints=several, report=job.progress)
    if guessed and not inspected:
        folders = ", ".join(sorted({str(file.root) for file in files}))
        findings.skip("files", f"none of the images is in {folders}; name their folder with --images")
        findings.skip("splits", "there are no images to compare")
        return
    image_files.check_images(files, paths, inspected, findings)
    if info is not None:
        image_files.check_recorded(info, inspected, findings, job.progress)
        image_files.check_alike(files, paths, inspected, findings)
    if not decode:
        findings.skip("files", "images were not decoded (--no-decode)", partly=True)
    if not several:
        findings.skip("splits", "there is one annotation file only")
        return
    splits.check_files(files, paths, findings)
    splits.check_copies(files, paths, inspected, agreed, findings)
    splits.check_sequences(files, agreed, findings)
    if not decode:
        findings.skip("splits", "near copies were not sought (--no-decode)", partly=True)


def _policy_classes(info: DatasetInfo) -> list[str] | None:
    """The classes of the policy of a dataset's labels, if it is one of nirgen's that has classes of its own."""
    policies = {labels["policy"] for labels in info.values["labels"]}
    if len(policies) != 1 or not policies <= {*BUILT_IN}:
        return None
    policy = Policy.load(policies.pop())
    return None if policy.keep else [rule.name for rule in policy.classes]


def _split_of(path: Path) -> str:
    """What to call a COCO file: `val` of `instances_val2017.json`, else its stem."""
    named = [split for split in SPLITS if split in path.stem.casefold()]
    return named[0] if len(named) == 1 else path.stem


def _report(job: _Job, subject: str, files: Sequence[CocoFile]) -> Report:
    """The end of a validation: the loaders, if asked for, and the sum of it all."""
    findings = job.findings
    loaded = load_all(files, findings, job.progress) if job.options.train_ready else []
    if not job.options.train_ready:
        findings.skip("train-ready", "not asked for (--train-ready)")
    return Report(
        subject=subject,
        extents=tuple(_extent(file) for file in files),
        checked=tuple(group for group in GROUPS if group not in findings.skipped),
        skipped=findings.skipped,
        partial=findings.partial,
        findings=findings.sorted(),
        loaded=tuple(loaded),
    )


def _extent(file: CocoFile) -> Extent:
    ignored = int(file.annotations.crowd.sum())
    return Extent(file.split, len(file.images), len(file.annotations) - ignored, ignored)
