"""The sizes of images, and the endings of their names, where a label file leaves them out."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from nirgen import images
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nirgen.labels.frames import ReadOptions

MARKS = ("_leftImg8bit", "_rgb", "_nir")
"""What the stems of images may have behind the name that their labels have."""


class ImageFolder:
    """The images that labels are of.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise NirgenError(f"{root}: no folder; name that of the images with --images")
        self.root = root

    def find(self, name: str) -> str | None:
        """The image of a name: the very path; else the one that agrees in the most trailing parts of it.

        Args:
            name: As a label file has it, with or without an ending.

        Returns:
            The POSIX path relative to the folder, or None.

        Raises:
            NirgenError: Several images fit equally well.
        """
        if (self.root / name).is_file():
            return name
        path = PurePosixPath(name)
        stem = path.stem if path.suffix.lower() in images.SUFFIXES else path.name
        fitting = [other for other in self._by_stem[stem] if not path.suffix or path.suffix == other.suffix]
        fitting = fitting or self._by_stem[stem]
        if not fitting:
            return None
        shared = [_shared_folders(path, other) for other in fitting]
        best = [other.as_posix() for other, count in zip(fitting, shared, strict=True) if count == max(shared)]
        if len(best) > 1:
            raise NirgenError(
                f"{self.root}: '{name}' may be '{best[0]}' or '{best[1]}'; name the folder of one of them"
            )
        return best[0]

    def size(self, name: str) -> tuple[int, int]:
        """(height, width) of an image by its header, upright.

        Raises:
            ImageError: It is no image.
        """
        path = self.root / name
        return images.size_of(path.read_bytes(), str(path))

    @cached_property
    def _by_stem(self) -> dict[str, list[PurePosixPath]]:
        """The images by their stem, and by that without one of `MARKS`."""
        found: dict[str, list[PurePosixPath]] = defaultdict(list)
        for path in sorted(self.root.rglob("*")):
            if path.suffix.lower() in images.SUFFIXES:
                name = PurePosixPath(path.relative_to(self.root).as_posix())
                for stem in _stems(path.stem):
                    found[stem].append(name)
        return found


class Sizes:
    """Finds the size of an image that its label file may not state.

    Args:
        options: What the user says.
        assumed: (height, width) where nothing says it, or None to refuse such images.
    """

    def __init__(self, options: ReadOptions, assumed: tuple[int, int] | None = None) -> None:
        self._options = options
        self._assumed = assumed
        self._folder = ImageFolder(options.images) if options.images is not None else None

    def name(self, name: str) -> str:
        """A name with its ending, if it has one or the folder of images knows it."""
        if self._folder is None or PurePosixPath(name).suffix.lower() in images.SUFFIXES:
            return name
        return self._folder.find(name) or name

    def find(self, name: str, where: str, corners: Iterable[tuple[float, float]]) -> tuple[int, int]:
        """The size of an image of unstated size.

        Args:
            name: The image.
            where: What errors call it.
            corners: The lower right corners of its boxes; one that lies over 2 pixels outside disproves an assumption.

        Returns:
            (height, width) in pixels: that of the image in the folder; else that of `--size`; else the assumed one.

        Raises:
            NirgenError: Nothing says it, or a box disproves what was assumed.
        """
        if self._folder is not None:
            found = self._folder.find(name)
            if found is not None:
                return self._folder.size(found)
        if self._options.size is not None:
            return self._options.size
        if self._assumed is None:
            raise NirgenError(f"{where}: states no size; name the images with --images, or say --size HEIGHTxWIDTH")
        height, width = self._assumed
        for x, y in corners:
            if x > width + 2 or y > height + 2:
                raise NirgenError(
                    f"{where}: states no size, and a box reaches to ({x:g}, {y:g}), outside BDD100K's "
                    f"{width}x{height}; name the images with --images, or say --size HEIGHTxWIDTH"
                )
        self._options.note(f"images state no size: BDD100K's {width}x{height} is assumed")
        return self._assumed


def _stems(stem: str) -> list[str]:
    return [stem, *(stem.removesuffix(mark) for mark in MARKS if stem.endswith(mark))]


def _shared_folders(one: PurePosixPath, other: PurePosixPath) -> int:
    """In how many folders above the file, from the last on, two paths agree."""
    count = 0
    for left, right in zip(reversed(one.parts[:-1]), reversed(other.parts[:-1]), strict=False):
        if left != right:
            break
        count += 1
    return count
