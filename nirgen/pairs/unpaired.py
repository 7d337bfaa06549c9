"""A list for training without pairs: the images of two folders, and pairs of another list to judge by."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nirgen.errors import NirgenError
from nirgen.files import sha256_of
from nirgen.pairs.listing import Pair, PairList, list_images

if TYPE_CHECKING:
    from nirgen import images

CATEGORY = "unpaired"  # of rows whose images don't belong together


def list_unpaired(
    rgb: Path, nir: Path, judged: PairList | None = None, readings: images.Readings | None = None
) -> PairList:
    """List the photos and the NIR images of two folders as the split `train`, beside the other splits of a list.

    A row names one image of each, in the order of their paths; the images of the smaller folder come again.

    Args:
        rgb: Folder of photos.
        nir: Folder of NIR images.
        judged: The list whose pairs of other splits than `train` are taken too.
        readings: Choices of how the images are read.

    Raises:
        NirgenError: There is no image in one of the folders, or they are the same.
    """
    folders = rgb.resolve(), nir.resolve()
    if folders[0] == folders[1]:
        raise NirgenError(f"{rgb}: the folder of the photos and of the NIR images; name two")
    listed = [list_images(folder) for folder in folders]
    for given, found in zip((rgb, nir), listed, strict=True):
        if not found:
            raise NirgenError(f"{given}: no images there; name a folder of them")
    others = [pair for pair in judged.pairs if pair.split != "train"] if judged is not None else []
    roots = [*folders, judged.root.resolve()] if judged is not None and others else folders
    root = Path(os.path.commonpath(roots))
    hashes = [[sha256_of(path) for path in found] for found in listed]
    rows = []
    for number in range(max(len(found) for found in listed)):
        places = [number % len(found) for found in listed]
        photo, image = (found[place] for found, place in zip(listed, places, strict=True))
        name = "+".join(
            path.relative_to(folder).with_suffix("").as_posix()
            for path, folder in zip((photo, image), folders, strict=True)
        )
        photo_path, image_path = (path.relative_to(root).as_posix() for path in (photo, image))
        photo_sum, image_sum = (each[place] for each, place in zip(hashes, places, strict=True))
        rows.append(Pair(name, photo_path, image_path, name, "train", CATEGORY, photo_sum, image_sum))
    for pair in others:
        assert judged is not None
        start = judged.root.resolve().relative_to(root)
        rows.append(replace(pair, rgb=(start / pair.rgb).as_posix(), nir=(start / pair.nir).as_posix()))
    made = PairList(root, tuple(rows))
    return made if readings is None else replace(made, readings=readings)
