"""Images in validation or test that training has seen: the file, the recording, or what is the same to the eye."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from nirgen import images
from nirgen.dataset.plan import Leak
from nirgen.dataset.reading import read_all, read_bytes
from nirgen.errors import ImageError, NirgenError
from nirgen.pairs.duplicates import Fingerprint, find_near_copies, fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from nirgen.dataset.lineage import Lineage
    from nirgen.dataset.plan import Plan, PlannedImage, Report
    from nirgen.dataset.real import RealImage

K = TypeVar("K")

SMALL_SIDE = 64
"""Pixels that an image has each way, if it has as many, when its fingerprint is taken."""


def find_leaks(planned: Sequence[PlannedImage], reals: Iterable[RealImage], lineage: Lineage) -> list[Leak]:
    """Find images in validation and test whose file or recording is in training, the generators' included.

    Args:
        planned: The images of the dataset, sorted by key.
        reals: The real ones, with what is known of their partners.
        lineage: What trained the generators.

    Returns:
        The leaks in the order of the images, at most one for each: by file rather than by recording.
    """
    known = {image.key: image for image in reals}
    train = [image for image in planned if image.split == "train"]
    files = _first((image.sha256, image.key) for image in train)
    sources = _first((image.source_sha256, image.key) for image in train if image.source_sha256)
    recordings = _first(
        ((image.origin, sequence), image.key)
        for image in train
        if image.kind == "real"
        for sequence in known[image.key].sequences
    )
    leaks = []
    for image in planned:
        if image.split == "train":
            continue
        real = known[image.key]
        copy, partner = files.get(image.sha256), sources.get(image.source_sha256 or "")
        names = ((image.origin, name) for name in real.sequences)
        fellow = next((recordings[name] for name in names if name in recordings), None)
        file = (
            lineage.file(real)
            or (copy and f"'{copy}', the same file")
            or (partner and f"'{partner}', whose RGB partner is the same file")
        )
        sequence = lineage.sequence(real) or (fellow and f"'{fellow}' of the same recording")
        if file:
            leaks.append(Leak("file", image.key, image.split, file))
        elif sequence:
            leaks.append(Leak("sequence", image.key, image.split, sequence))
    return leaks


def find_near_duplicates(
    planned: Sequence[PlannedImage], rgb: Mapping[str, Path], *, report: Report | None = None
) -> list[Leak]:
    """Find images in validation and test that show what an image in training shows.

    RGB files are compared with RGB files, real NIR files with real NIR files.

    Args:
        planned: The images of the dataset, sorted by key.
        rgb: The RGB files of images by their keys, as far as there are any.
        report: Told as images are read.

    Returns:
        The leaks, at most one for each image.
    """
    train = [image for image in planned if image.split == "train"]
    judging = [image for image in planned if image.split != "train"]
    nir = {image.key: image.path for image in (*judging, *train) if image.kind == "real"}
    by_rgb = _near(judging, train, rgb, "compare RGB", report)
    by_nir = _near(judging, train, nir, "compare NIR", report)
    found = ((image, by_rgb.get(image.key) or by_nir.get(image.key)) for image in judging)
    return [Leak("near-duplicate", image.key, image.split, other) for image, other in found if other]


def refuse_leaks(plan: Plan) -> None:
    """Make sure that nothing in validation and test was seen in training, or that the user allows it.

    Raises:
        NirgenError: Something was seen; the first leak is named.
    """
    if not plan.leaks or plan.config.allow_leak:
        return
    count = len({leak.key for leak in plan.leaks})
    first = plan.leaks[0]
    raise NirgenError(
        f"{count} image(s) in validation or test were seen in training, such as '{first.key}' ({first.kind}: "
        f"{first.other}); take them out or put them into train, or say --allow-leak, which the dataset's card tells"
    )


def _near(
    judging: Sequence[PlannedImage],
    train: Sequence[PlannedImage],
    files: Mapping[str, Path],
    what: str,
    report: Report | None,
) -> dict[str, str]:
    """The nearest copy in training of each image that has one, in words, going by some files of both."""
    sought, others = ([image.key for image in group if image.key in files] for group in (judging, train))
    if not sought or not others:
        return {}
    read = read_all(_fingerprint, [files[key] for key in (*sought, *others)], what=what, report=report)
    prints = [None if isinstance(each, ImageError) else each for each in read]
    copies = find_near_copies(prints[: len(sought)], prints[len(sought) :])
    return {
        sought[position]: f"'{others[other]}', of whose 64 bits {distance} differ"
        for position, (other, distance) in copies.items()
    }


def _fingerprint(path: Path) -> Fingerprint:
    return fingerprint(images.decode_small(read_bytes(path), str(path), SMALL_SIDE))


def _first(pairs: Iterable[tuple[K, str]]) -> dict[K, str]:
    """The first of the values of each key."""
    found: dict[K, str] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found
