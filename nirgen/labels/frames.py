"""Label sources and the frames that their readers yield, before a policy chooses classes."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import unquote

from nirgen import images
from nirgen.config import SPLITS
from nirgen.errors import ImageError, NirgenError, nearest
from nirgen.files import path_fault, read_bytes, safe_path, sha256_of, unwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Box = tuple[float, float, float, float]
    """COCO xywh in pixels."""


LARGEST_SIDE = 2**31  # pixels of an image

# Keys of an annotation that nirgen writes; all others are the source's.
OWN_KEYS = frozenset({"id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation", "attributes"})
OWN_KEYS |= {"source_key", "source_category", "derived", "clipped"}


@dataclass(slots=True)
class Label:
    """One object on an image."""

    category: str  # class name of the source, which the policy maps
    bbox: Box | None  # None without a box; `lost` then gives the reason
    key: str | int | None = None  # id in the source
    segmentation: Any = None  # COCO polygons or RLE
    area: float | None = None  # as the source states it
    crowd: bool = False  # region of many objects, to be ignored
    attributes: Mapping[str, Any] = field(default_factory=dict)
    derived: str | None = None  # polygon, rle, mask or rotated box that the box was computed from
    swapped: bool = False  # corners of the box were exchanged in the source
    clipped: bool = False  # an earlier conversion has cut the box
    lost: str | None = None
    source_category: str | None = None  # class name before an earlier conversion
    extra: Mapping[str, Any] = field(default_factory=dict)  # all other keys of the source


@dataclass(slots=True)
class Frame:
    """One image."""

    file_name: str  # POSIX path relative to the folder of the images; without suffix where the source omits it
    width: int  # pixels, upright
    height: int
    labels: list[Label] | None  # in the order of the source; None if the image is unlabelled
    source_id: str | int | None = None
    sequence: str | None = None
    split: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)  # of the whole image, such as weather
    extra: Mapping[str, Any] = field(default_factory=dict)  # all other keys of the source


@dataclass(frozen=True)
class Reading:
    """Stream of the frames of a source."""

    frames: Iterator[Frame]
    total: int
    categories: Sequence[Mapping[str, Any]] = ()  # the source's list of classes, if it has one
    licenses: Sequence[Mapping[str, Any]] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)  # all other keys at the top of the source


@dataclass(frozen=True)
class ReadOptions:
    """Options of all readers."""

    bdd_inclusive: bool = False  # BDD100K boxes are x2 - x1 + 1 wide, as in the official converter
    images: Path | None = None  # folder to look up sizes and suffixes that labels omit
    size: tuple[int, int] | None = None  # (height, width) of images whose size is unknown
    boxes: Literal["xywh", "xyxy"] = "xywh"  # of COCO files
    outlines: Literal["refuse", "box"] = "refuse"  # YOLO's oriented boxes and segments: the upright boxes around them
    note: Callable[[str], None] = lambda _text: None  # receives assumptions


def missing(path: Path) -> NirgenError:
    """Return the error of labels that don't exist, with the nearest name in their folder."""
    known = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
    near = nearest(path.name, known)
    return NirgenError(f"{path}: doesn't exist{near or '; give a file or folder of labels (or SPLIT=PATH)'}")


@dataclass(frozen=True)
class Source:
    """File or folder of labels."""

    path: Path
    split: str | None = None  # of all its images, if the user gave it

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `PATH` or `SPLIT=PATH`; an existing path wins.

        Example:
            >>> Source.parse("train=.").split
            'train'
        """
        split, equals, path = text.partition("=")
        stated = equals and split in SPLITS and not Path(text).exists()
        source = cls(Path(path), split) if stated else cls(Path(text))
        if not source.path.exists():
            raise missing(source.path)
        return source

    def files(self, *suffixes: str) -> list[Path]:
        """Return the file, or the files below the folder that have one of the suffixes and aren't hidden."""
        if self.path.is_file():
            return [self.path]
        if not self.path.is_dir():
            raise NirgenError(f"{self.path}: not a regular file; give a file or folder of labels")
        found = (path for path in self.path.rglob("*") if path.name.lower().endswith(suffixes) and path.is_file())
        return sorted(path for path in found if not any(part.startswith(".") for part in self.name_of(path).split("/")))

    def name_of(self, path: Path) -> str:
        """Return the POSIX path of one of the files, relative to the folder."""
        return path.name if self.path.is_file() else path.relative_to(self.path).as_posix()

    def digest(self, files: list[Path]) -> str:
        """Return the sha256 of the file; of several given files, that of a line `SHA256  NAME` for each."""
        if files == [self.path]:
            return sha256_of(self.path)
        root = self.path if self.path.is_dir() else self.path.parent
        lines = "".join(f"{sha256_of(path)}  {path.relative_to(root).as_posix()}\n" for path in files)
        return hashlib.sha256(lines.encode()).hexdigest()


def read_labels(path: Path) -> bytes:
    """Read a file of labels."""
    try:
        return read_bytes(path)
    except OSError as error:
        raise NirgenError(f"{path}: can't be read ({error.strerror}); give a file or folder of labels") from None


def image_name(name: str, where: str) -> str:
    """Check and normalise an image's name; as `safe_path`, but `unwritable` ones pass: `convert` omits them."""
    return name if unwritable(name) and not path_fault(name) else safe_path(name, where)


def other_keys(keys: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return the keys that aren't known, without null ones."""
    if keys.keys() <= known:
        return {}
    return {key: value for key, value in keys.items() if key not in known and value is not None}


def box_of(x1: float, y1: float, x2: float, y2: float) -> tuple[Box, bool]:
    """Return the box of two opposite corners; the result is True if they had to be exchanged.

    Example:
        >>> box_of(50, 40, 10, 20)
        ((10, 20, 40, 20), True)
    """
    left, right, top, bottom = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
    return (left, top, right - left, bottom - top), x2 < x1 or y2 < y1


TURNED = "rotated box"  # `derived` of a box around a rotated one


def turned_box(box: Box, degrees: float) -> Box:
    """Return the upright box around a box that is turned about its centre.

    Example:
        >>> [round(value, 3) for value in turned_box((270, 230, 100, 20), 90)]
        [310.0, 190.0, 20.0, 100.0]
    """
    x, y, width, height = box
    across, along = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    wide, high = width * across + height * along, width * along + height * across
    return x + (width - wide) / 2, y + (height - high) / 2, wide, high


_IGNORED = frozenset({"crowd", "iscrowd", "ignore", "ignored", "isignored", "isignore", "isgroupof", "groupof"})
_TRUE = frozenset({"1", "1.0", "true", "yes"})


def is_true(value: Any) -> bool:
    """Return True for a flag that is set, as any format writes it.

    Example:
        >>> [is_true(value) for value in (1, True, "True", 0, "0", None, -1)]
        [True, True, True, False, False, False, False]
    """
    return str(value).strip().casefold() in _TRUE


def to_ignore(keys: Mapping[str, Any]) -> bool:
    """Return True if one of the keys marks a crowd or a region to ignore, in any spelling.

    Example:
        >>> to_ignore({"is_crowd": 1}), to_ignore({"Ignored": "true"}), to_ignore({"crowd": False})
        (True, True, False)
    """
    return any(_marks(key) and is_true(value) for key, value in keys.items())


@lru_cache(maxsize=1000)
def _marks(key: str) -> bool:
    return key.replace("_", "").casefold() in _IGNORED


def rotation_of(attributes: Mapping[str, Any]) -> float:
    """Return the attribute `rotation` in degrees; 0 if there is none, or it is no number."""
    try:
        degrees = float(attributes.get("rotation") or 0)
    except (TypeError, ValueError):
        return 0
    return degrees if math.isfinite(degrees) else 0


def plain_name(path: str) -> str:
    """Return a path in the form in which names that differ by their spelling or their ending are equal.

    Example:
        >>> plain_name("a/my%20image.JPG") == plain_name("a/my image.png")
        True
    """
    plain = PurePosixPath(unicodedata.normalize("NFC", unquote(path)))
    return str(plain.with_suffix("") if plain.suffix.lower() in images.SUFFIXES else plain)


_SLACK = 2  # pixels by which boxes may reach beyond their image
MARKS = ("_leftImg8bit", "_rgb", "_nir")  # suffixes of image stems that label files omit


class ImageLookup:
    """Lookup of image names and sizes that label files omit; `assumed` is a (height, width) to fall back on."""

    def __init__(self, options: ReadOptions, assumed: tuple[int, int] | None = None) -> None:
        self._root, self._options, self._assumed = options.images, options, assumed
        self.reach = (0.0, 0.0)  # largest y and x of all boxes of the source, as far as they are known
        if self._root is not None and not self._root.is_dir():
            raise NirgenError(f"{self._root}: no folder; give the folder of the images with --images")

    def complete(self, name: str) -> str:
        """Return the name with its suffix, if it has one or the folder has the image."""
        return name if PurePosixPath(name).suffix.lower() in images.SUFFIXES else self.find(name) or name

    def exact(self, name: str) -> str | None:
        """Return a name if the folder has that image."""
        return name if self._root is not None and (self._root / name).is_file() else None

    def names(self) -> set[str]:
        """Return the names of all images in the folder."""
        return {name.as_posix() for names in self._by_stem.values() for name in names}

    def find(self, name: str) -> str | None:
        """Find an image in the folder: the exact path, else the image that shares most trailing folders."""
        if self._root is None:
            return None
        if self.exact(name) is not None:
            return name
        path = PurePosixPath(name)
        stem = path.stem if path.suffix.lower() in images.SUFFIXES else path.name
        fitting = [other for other in self._by_stem[stem] if not path.suffix or path.suffix == other.suffix]
        fitting = fitting or self._by_stem[stem]
        shared = [_shared_folders(path, other) for other in fitting]
        best = [other.as_posix() for other, count in zip(fitting, shared, strict=True) if count == max(shared)]
        if len(best) > 1:
            raise NirgenError(f"{self._root}: '{name}' may be '{best[0]}' or '{best[1]}'; give the folder of one")
        return best[0] if best else None

    def size(self, name: str, where: str, corners: Iterable[tuple[float, float]] = ()) -> tuple[int, int]:
        """Return the (height, width) of an image: from its file, else from the options, else the assumed one.

        A lower right corner of a box in `corners` that lies over 2 pixels outside refutes the assumed size.
        """
        size = self._stored_size(name)
        if size is not None:
            if self._assumed is None or not self._is_reduced(size, self._assumed):
                return size
            height, width = self._assumed
            self._options.note(
                f"images state no size, and boxes reach beyond those in the folder: BDD100K's {width}x{height} is "
                "assumed"
            )
            return self._assumed
        if self._options.size is not None:
            return self._options.size
        remedy = "give the folder of the images with --images, or --size HEIGHTxWIDTH"
        if self._assumed is None:
            raise NirgenError(f"{where}: states no size; {remedy}")
        height, width = self._assumed
        for x, y in corners:
            if x > width + _SLACK or y > height + _SLACK:
                raise NirgenError(
                    f"{where}: states no size, and a box reaches to ({x:g}, {y:g}), outside BDD100K's "
                    f"{width}x{height}; {remedy}"
                )
        self._options.note(f"images state no size: BDD100K's {width}x{height} is assumed")
        return self._assumed

    def _stored_size(self, name: str) -> tuple[int, int] | None:
        """Return the (height, width) of an image in the folder; None if it has none, or a damaged one may be guessed.

        A translation of a damaged image fails by itself, and must not keep the labels of all others from being read.
        """
        found = self.find(name)
        if self._root is None or found is None:
            return None
        path = self._root / found
        try:
            return images.size_of(read_labels(path), str(path))
        except ImageError:
            if self._options.size is None and self._assumed is None:
                raise
            return None

    def _is_reduced(self, size: tuple[int, int], whole: tuple[int, int]) -> bool:
        """Return True if an image of that (height, width) is a smaller copy of a whole one that boxes were drawn on."""
        beyond = self.reach[0] > size[0] + _SLACK or self.reach[1] > size[1] + _SLACK
        inside = self.reach[0] <= whole[0] + _SLACK and self.reach[1] <= whole[1] + _SLACK
        return beyond and inside and abs(size[0] * whole[1] - size[1] * whole[0]) <= 0.01 * size[0] * whole[1]

    @cached_property
    def _by_stem(self) -> dict[str, list[PurePosixPath]]:
        found: dict[str, list[PurePosixPath]] = defaultdict(list)
        for path in sorted(self._root.rglob("*")) if self._root is not None else ():
            if path.suffix.lower() in images.SUFFIXES:
                name = PurePosixPath(path.relative_to(self._root or path).as_posix())
                for stem in (path.stem, *(path.stem.removesuffix(mark) for mark in MARKS if path.stem.endswith(mark))):
                    found[stem].append(name)
        return found


def _shared_folders(one: PurePosixPath, other: PurePosixPath) -> int:
    """Count the folders that agree from the last one on."""
    folders = zip(one.parts[-2::-1], other.parts[-2::-1], strict=False)
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], folders))
