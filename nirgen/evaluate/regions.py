"""Regions of real images - vegetation, sky, road, vehicle, person - from class masks or labels."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pycocotools import mask as rle_tools

from nirgen import images
from nirgen.errors import NirgenError
from nirgen.files import read_bytes
from nirgen.labels import Source, annotation, open_labels
from nirgen.labels.frames import MARKS
from nirgen.labels.masks import CLASSES, MASK_MARK, MASK_SUFFIXES, of_class, segmentation_of
from nirgen.labels.policy import normalise
from nirgen.labels.rle import check_rle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.evaluate.methods import Case
    from nirgen.labels.file import LabelFile, LabelledImage

    ClassMap = NDArray[np.int8]
    """(H, W): the number of each pixel's region in `REGIONS`, -1 for none."""


REGIONS = ("vegetation", "sky", "road", "vehicle", "person")
AREAS = ("vegetation", "sky", "road")  # regions of which a box without an outline says too little
# The region of a class name, in the form of `policy.normalise`.
NAMES = {
    **dict.fromkeys(("vegetation", "tree", "bush", "grass"), "vegetation"),
    "sky": "sky",
    **dict.fromkeys(("road", "drivable area", "area/drivable", "area/alternative", "direct", "alternative"), "road"),
    **dict.fromkeys(("vehicle", "car", "truck", "bus", "van", "caravan", "trailer", "autorickshaw"), "vehicle"),
    **dict.fromkeys(("person", "pedestrian", "human", "people", "rider", "person sitting", "other person"), "person"),
}
LEAST_KNOWN = 0.5  # share of a mask that must have colours of RANUS
ASPECT_TOLERANCE = 0.01  # relative difference in aspect ratio between an image and its regions


@dataclass(frozen=True)
class Regions:
    """Regions of those cases that have some."""

    about: str  # one line
    _read: Mapping[str, Callable[[], ClassMap]]  # by the case's key

    @classmethod
    def find(cls, path: Path, cases: Sequence[Case]) -> Self:
        """Match a folder of RANUS masks, or labels in any format that `nirgen labels` reads, with the cases.

        Names are compared without suffix and marks such as `_nir`, `_rgb`, `_gt`: equal paths match; else one that is
        the end of the other; else a name that is unique. Never by position.

        Raises:
            NirgenError: Nothing is there, or nothing matches.
        """
        masks = _masks(path) if path.is_dir() else []
        there: dict[str, Callable[[], ClassMap]]
        if masks:
            there = {_bare(Source(path).name_of(mask)): partial(read_mask, mask) for mask in masks}
        else:
            labels = open_labels(path, "identity")
            there = {_bare(image.file_name): partial(draw, image, labels) for image in labels.images}
        matched = match([case.key for case in cases], there, str(path))
        if not matched:
            raise NirgenError(
                f"{path}: none of its {len(there)} names, such as '{min(there, default='')}', fits any of the "
                f"{len(cases)} images, such as '{min(case.key for case in cases)}'; name the regions of these images"
            )
        kind = "masks" if masks else "labels"
        about = f"{kind} of {len(matched)} of {len(cases)} images"
        return cls(about, {key: there[name] for key, name in matched.items()})

    def of(self, case: Case, shape: tuple[int, int]) -> dict[str, NDArray[np.bool_]]:
        """Return the regions of a case at the size of comparison, (height, width); none of a case without regions."""
        if case.key not in self._read:
            return {}
        found = self._read[case.key]()
        height, width = images.size_of(read_bytes(case.nir), str(case.nir))
        if abs(found.shape[1] * height - width * found.shape[0]) > ASPECT_TOLERANCE * width * found.shape[0]:
            sizes = f"{width}x{height}, but its regions are of {found.shape[1]}x{found.shape[0]}"
            raise NirgenError(f"{case.nir}: {sizes}; give regions of the same picture")
        rows, columns = (
            (np.arange(size) * there + there // 2) // size for size, there in zip(shape, found.shape, strict=True)
        )
        resized = found[rows[:, np.newaxis], columns]
        return {name: resized == number for number, name in enumerate(REGIONS)}


def _masks(folder: Path) -> list[Path]:
    """Return the masks under a folder: those of names with the mark `_gt`, else all if there are no files of labels."""
    found = Source(folder).files(*MASK_SUFFIXES)
    marked = [path for path in found if path.stem.endswith(MASK_MARK)]
    return marked or ([] if Source(folder).files(".json", ".xml") else found)


def match(keys: Sequence[str], names: Iterable[str], where: str) -> dict[str, str]:
    """Return the name that belongs to each key that has one; `where` names the source in errors.

    Example:
        >>> match(["day/a_nir", "b", "c"], ["train/day/a", "x/b"], "masks")
        {'day/a_nir': 'train/day/a', 'b': 'x/b'}
    """
    by_stem: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_stem[name.rsplit("/", 1)[-1]].append(name)
    stems = [_bare(key).rsplit("/", 1)[-1] for key in keys]
    counts = Counter(stems)
    found: dict[str, str] = {}
    taken: dict[str, str] = {}
    for key, stem in zip(keys, stems, strict=True):
        bare, candidates = f"/{_bare(key)}", by_stem[stem]
        fitting = [name for name in candidates if f"/{name}" == bare]
        fitting = fitting or [name for name in candidates if f"/{name}".endswith(bare) or bare.endswith(f"/{name}")]
        if not fitting and counts[stem] == 1:
            fitting = candidates
        if len(fitting) > 1:
            raise NirgenError(f"{where}: '{fitting[0]}' and '{fitting[1]}' may both belong to '{key}'; remove one")
        if fitting and (other := taken.setdefault(fitting[0], key)) != key:
            raise NirgenError(f"{where}: '{fitting[0]}' may belong to '{other}' or '{key}'; name it with its folder")
        if fitting:
            found[key] = fitting[0]
    return found


def _bare(name: str) -> str:
    """Return a path without the suffix of an image and the mark at the end of its stem."""
    path = PurePosixPath(name)
    path = path.with_suffix("") if path.suffix.lower() in images.SUFFIXES else path
    mark = next((mark for mark in (*MARKS, MASK_MARK) if path.name.endswith(mark) and path.name != mark), "")
    return path.with_name(path.name.removesuffix(mark)).as_posix()


def read_mask(path: Path) -> ClassMap:
    """Read a class mask in RANUS's colours.

    Raises:
        NirgenError: Most of it has none of these colours.
    """
    pixels = images.read(path)
    found = np.full(pixels.shape[:2], -1, np.int8)
    known = 0
    for name in CLASSES:
        there = of_class(pixels, name)
        known += int(there.sum())
        if (region := "person" if name == "human" else name) in REGIONS:
            found[there] = REGIONS.index(region)
    if known < LEAST_KNOWN * found.size:
        share = known / found.size
        raise NirgenError(
            f"{path}: {share:.0%} of it has colours of RANUS's classes; save masks in these colours (docs/formats.md), "
            "without smoothing"
        )
    return found


def draw(image: LabelledImage, labels: LabelFile) -> ClassMap:
    """Draw the labels of an image in the order of the file, the later over the earlier.

    Outlines are filled. Of a box without one, the middle half in width and height is taken, since its corners show the
    background; boxes of areas, and regions of crowds, are left out.
    """
    names = {category.id: NAMES.get(normalise(category.name)) for category in labels.categories}
    found = np.full((image.height, image.width), -1, np.int8)
    for entry in map(annotation, image.annotations):
        region = names[entry["category_id"]]
        if region is None or entry.get("iscrowd"):
            continue
        outline, fault = segmentation_of(entry.get("segmentation"), image.height, image.width)
        if fault is not None:
            raise NirgenError(f"{labels.path}: '{image.file_name}' has {fault}; mend it")
        there = _outline(outline, image.height, image.width)
        if there is None and region not in AREAS:
            x, y, width, height = entry["bbox"]
            rows = slice(max(0, round(y + height / 4)), max(0, round(y + 3 * height / 4)))
            there = np.zeros(found.shape, bool)
            there[rows, max(0, round(x + width / 4)) : max(0, round(x + 3 * width / 4))] = True
        if there is not None:
            found[there] = REGIONS.index(region)
    return found


def _outline(segmentation: Any, height: int, width: int) -> NDArray[np.bool_] | None:
    """Return the filled outline of `segmentation_of`, (H, W); None without one."""
    if segmentation is None:
        return None
    if isinstance(segmentation, dict):
        rle = check_rle(segmentation)
    else:
        rle = rle_tools.merge(rle_tools.frPyObjects(segmentation, height, width))
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # pycocotools' own, of numpy 2
        filled: NDArray[np.bool_] = rle_tools.decode(rle).astype(bool)
    return filled
