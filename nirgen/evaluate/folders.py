"""Images in folders, matched by name: nirgen's own names, and those that other systems write.

| system | generated | real NIR | photo |
| --- | --- | --- | --- |
| nirgen, most others | `NAME` | `NAME` | `NAME` |
| pix2pix, CycleGAN | `NAME_fake_B` | `NAME_real_B` | `NAME_real_A` |
| pix2pixHD | `NAME_synthesized_image` | | `NAME_input_label` |
| BBDM, several samples | `NAME/output_0` | | |
| some | `NAME_fake` | | |
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from nirgen import images
from nirgen.errors import ImageError, NirgenError
from nirgen.pairs.listing import GREY_TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


GENERATED = ("_fake_B", "_fake", "_synthesized_image", "/output_0")  # endings of keys
PHOTO = ("_real_A", "_input_label")
REAL = "_real_B"
_OF_RESULTS = re.compile(r"(_(fake|real|rec|idt)_[AB]|_fake|_synthesized_image|_input_label|/output_\d+)$")


def images_by_key(folder: Path) -> dict[str, Path]:
    """Return the images under a folder by relative path without suffix, sorted; hidden files are skipped."""
    if not folder.is_dir():
        raise NirgenError(f"{folder}: no such folder; name one of images")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if not images.is_listed(relative) or not path.is_file() or images.is_preview(path):
            continue
        key = relative.with_suffix("").as_posix()
        if key in found:
            raise NirgenError(f"{path}: {found[key].name} differs in its ending alone; keep one of the two")
        found[key] = path
    if not found:
        raise NirgenError(f"{folder}: no images ({' '.join(sorted(images.SUFFIXES))}); name a folder that has some")
    return dict(sorted(found.items()))


def is_results(keys: Iterable[str]) -> bool:
    """Return True for the keys of a results folder of pix2pix, where each scene's images lie side by side."""
    keys = list(keys)
    return any(key.endswith(REAL) for key in keys) and all(key.endswith(("_A", "_B")) for key in keys)


def reals_of(folder: Path) -> dict[str, Path]:
    """Return the real NIR images of a folder by key; of a results folder of pix2pix, its `NAME_real_B` by `NAME`."""
    found = images_by_key(folder)
    if not is_results(found):
        return found
    return {key.removesuffix(REAL): path for key, path in found.items() if key.endswith(REAL)}


def has_photos(folder: Path) -> bool:
    """Return True if a folder is one of pix2pix's results, with the photo of each of its real images."""
    if not folder.is_dir():
        return False
    there = images_by_key(folder)
    return is_results(there) and all(f"{key}{PHOTO[0]}" in there for key in reals_of(folder))


def partners(folder: Path, reals: Mapping[str, Path], endings: Sequence[str] = ()) -> dict[str, str]:
    """Return the key of the image in a folder that belongs to each real NIR image, by the real one's key.

    It is the same key, or the key with one of the endings. A NirgenError tells of an image that is missing, or of two
    that could be meant.
    """
    there = images_by_key(folder)
    found = {}
    for key, path in reals.items():
        wanted = [key, *(each for ending in endings if (each := f"{key}{ending}") not in reals)]
        present = [each for each in wanted if each in there]
        if len(present) > 1:
            both = f"{there[present[1]].relative_to(folder)} could belong to {path.name} as well"
            raise NirgenError(f"{there[present[0]]}: {both}; keep one of the two in {folder}")
        if not present:
            raise NirgenError(f"{path}: no '{key}.*' in {folder}{_instead(folder, there, wanted)}")
        found[key] = present[0]
    return found


def _instead(folder: Path, there: Mapping[str, Path], wanted: Sequence[str]) -> str:
    """Return how to mend a missing image: by the subfolder that has it, by another name, or by adding it."""
    deeper = [other.removesuffix(f"/{each}") for each in wanted for other in there if other.endswith(f"/{each}")]
    if deeper:
        return f", but '{deeper[0]}' in it has one; name {folder / deeper[0]}"
    others = f" (nor {', '.join(wanted[1:])})" if len(wanted) > 1 else ""
    return f"{others}; add it there, or remove this one"


def unclaimed(folder: Path, taken: Mapping[str, str]) -> int:
    """Return the number of images in a folder that belong to no real one, neither themselves nor by their ending."""
    used = set(taken.values())
    return sum(key not in used and scene_of(key) not in taken for key in images_by_key(folder))


def scene_of(key: str) -> str:
    """Return a key without what other systems add to it."""
    return _OF_RESULTS.sub("", key)


def read_grey(
    path: Path,
    reading: images.Reading = images.Reading(),  # noqa: B008 - frozen
    remarks: images.Remarks | None = None,
) -> NDArray[np.uint8]:
    """Decode a NIR image: (H, W) uint8; 16 bits are scaled to 8, and the first of equal channels is taken."""
    decoded = images.read_noted(path, reading)
    if remarks is not None:
        remarks.add(str(path), decoded)
    pixels = decoded.rgb
    difference = _colour(pixels)
    if difference > GREY_TOLERANCE:
        raise ImageError(
            f"{path}: in colour, where NIR is expected (its channels differ by {difference} levels of 255); save its "
            "intensity as a grey image, and make sure that folders aren't swapped"
        )
    return pixels[..., 0]


def read_generated(
    path: Path,
    reading: images.Reading = images.Reading(),  # noqa: B008 - frozen
) -> tuple[NDArray[np.uint8], bool]:
    """Decode a generated image: (H, W) uint8; and True if its channels were unequal, so that their mean was taken."""
    pixels = images.read(path, reading)
    if _colour(pixels) <= GREY_TOLERANCE:
        return pixels[..., 0], False
    return np.rint(pixels.mean(axis=2)).astype(np.uint8), True


def _colour(pixels: NDArray[np.uint8]) -> int:
    """Return the largest difference between the channels of (H, W, 3)."""
    return int((pixels.max(axis=2) - pixels.min(axis=2)).max())
