"""Label sources and what their readers yield: a stream of frames with labels, before any policy.

Images of unstated size, or whose names lack an ending, are looked up in a folder of images.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Self

import msgspec

from nirgen import images
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Box = tuple[float, float, float, float]
    """x, y, width, height in pixels, as in COCO."""


OWN_KEYS = frozenset(
    {
        *("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"),
        *("source_key", "source_category", "attributes", "derived", "clipped"),
    }
)
"""The keys of an annotation that nirgen writes; every other one is the source's."""


@dataclass(slots=True)
class Label:
    """One object on an image.

    Attributes:
        category: The class by the source's name, which the policy is asked for.
        bbox: COCO's x, y, width, height in pixels; None if there is none, `lost` then says why.
        key: What the source calls the object, if it does.
        segmentation: COCO's polygons or RLE.
        area: As the source states it.
        crowd: Whether it is a region of many, that only tells what to ignore.
        attributes: Such as `occluded`.
        derived: What the box was computed from, if the source has none: `polygon`, `rle` or `mask`.
        clipped: Whether the box was cut at the border before, if a labels file is converted again.
        lost: Why there is no box.
        source_category: The name by which the source's source had the class, if a labels file is converted again.
        extra: Every other key of the source.
    """

    category: str
    bbox: Box | None
    key: str | int | None = None
    segmentation: Any = None
    area: float | None = None
    crowd: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)
    derived: str | None = None
    clipped: bool = False
    lost: str | None = None
    source_category: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Frame:
    """One image.

    Attributes:
        file_name: POSIX path relative to the images' folder; maybe without ending, where the source leaves it out.
        width: In pixels, upright.
        height: The same.
        labels: In the order of the source; None if nobody has labelled the image.
        source_id: The id that the source gives it.
        sequence: The recording that it is a frame of.
        split: The split that the source puts it in.
        attributes: Of the whole image, such as `weather`.
        extra: Every other key of the source.
    """

    file_name: str
    width: int
    height: int
    labels: list[Label] | None
    source_id: str | int | None = None
    sequence: str | None = None
    split: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """A source as a stream.

    Attributes:
        frames: Read one at a time, once.
        total: How many there will be.
        categories: The source's own list of classes, if it has one.
        licenses: As in the source.
        extra: Every other key at the top of the source.
    """

    frames: Iterator[Frame]
    total: int
    categories: Sequence[Mapping[str, Any]] = ()
    licenses: Sequence[Mapping[str, Any]] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ReadOptions:
    """What the user says about all sources.

    Attributes:
        bdd_inclusive: Whether a BDD100K box is `x2 - x1 + 1` wide, as the official converter has it.
        images: The folder of the images, for sizes that the source doesn't state, and endings that names lack.
        size: (height, width) of images whose size nothing states.
        note: Is told, once for each kind, what was assumed.
    """

    bdd_inclusive: bool = False
    images: Path | None = None
    size: tuple[int, int] | None = None
    note: Callable[[str], None] = lambda _text: None


SPLITS = ("train", "val", "test")

Json = dict[str, msgspec.Raw] | list[msgspec.Raw]
"""A JSON document of which the top level alone is decoded."""


@dataclass(frozen=True)
class Source:
    """A file or folder of labels.

    Attributes:
        path: Where it lies.
        split: The split of all its images, if the user says it.
    """

    path: Path
    split: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `PATH` or `SPLIT=PATH`; what exists under the whole text is a path.

        Raises:
            NirgenError: Nothing lies there.

        Example:
            >>> Source.parse("train=.").split
            'train'
        """
        split, equals, path = text.partition("=")
        stated = equals and split in SPLITS and not Path(text).exists()
        source = cls(Path(path), split) if stated else cls(Path(text))
        if not source.path.exists():
            raise NirgenError(f"{source.path}: not there; name a file or folder of labels (or SPLIT=PATH)")
        return source

    def files(self, *suffixes: str) -> list[Path]:
        """The files of a folder and those below it that have one of some endings, in any case; or the one file.

        What begins with a dot is left aside.
        """
        if self.path.is_file():
            return [self.path]
        found = (path for path in self.path.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
        return sorted(path for path in found if not any(part.startswith(".") for part in self.name_of(path).split("/")))

    def name_of(self, path: Path) -> str:
        """The POSIX path of one of its files, relative to the folder."""
        return path.name if self.path.is_file() else path.relative_to(self.path).as_posix()

    def digest(self, files: list[Path]) -> str:
        """The sha256 of the file; of a folder, that of a line `SHA256  NAME` for each file that was read."""
        if self.path.is_file():
            return _sha256(self.path)
        lines = "".join(f"{_sha256(path)}  {self.name_of(path)}\n" for path in files)
        return hashlib.sha256(lines.encode()).hexdigest()


def read_json(path: Path) -> Json:
    """Read a JSON file, and decode its top level.

    Raises:
        NirgenError: It can't be read, isn't JSON, or is neither an object nor a list.
    """
    try:
        return _JSON.decode(read_bytes(path))
    except msgspec.ValidationError:
        raise NirgenError(f"{path}: neither a JSON object nor a list; name a file of labels") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NirgenError(f"{path}: damaged, or no JSON ({error}); copy it again") from None


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        NirgenError: It can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise NirgenError(f"{path}: can't be read ({error.strerror}); name a file or folder of labels") from None


_JSON: msgspec.json.Decoder[Json] = msgspec.json.Decoder(Json)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
