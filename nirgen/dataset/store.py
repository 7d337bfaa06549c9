"""Files of a dataset while it is written: images placed or encoded, hashes kept, the folder swapped in at the end.

A reader sees the old dataset or the new one. A killed build leaves two hidden folders, which the next build removes:
`.NAME.nirgen-building` and, if it died during the swap, `.NAME.nirgen-old`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Literal

import numpy as np

from nirgen import images
from nirgen.dataset.folder import read_image
from nirgen.errors import NirgenError, OutputError
from nirgen.files import HeldFolder, locked, make_folder, safe_path, sha256_of
from nirgen.progress import in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from nirgen.dataset.config import DatasetConfig
    from nirgen.dataset.plan import PlannedImage
    from nirgen.progress import Progress


class Store:
    """Folder, empty at first, that becomes a dataset; all its files are made here, inside of it and hashed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hashes: dict[str, str] = {}  # sha256 by name
        self._folders = {root}
        self.sizes: dict[str, int] = {}  # bytes of images by name

    def claim(self, name: str) -> Path:
        """Reserve a name, a POSIX path in the dataset, make its folders and return the path."""
        path = self.root / safe_path(name, "the plan")
        if self.hashes.setdefault(name, "") or path.exists():
            raise OutputError(f"{name}: two files of the dataset would have this name; rename one of the sources")
        if path.parent not in self._folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(path.parent)
        return path

    def write(self, name: str, data: bytes) -> None:
        """Write a file."""
        self.claim(name).write_bytes(data)
        self.hashes[name] = hashlib.sha256(data).hexdigest()

    def link(self, name: str, to: str) -> None:
        """Hard-link a file of the dataset to a second name, or copy it if the file system has no links."""
        path = self.claim(name)
        try:
            os.link(self.root / to, path, follow_symlinks=False)
        except OSError:
            shutil.copyfile(self.root / to, path)
        self.hashes[name] = self.hashes[to]
        if to in self.sizes:
            self.sizes[name] = self.sizes[to]

    @contextmanager
    def stream(self, name: str) -> Generator[Stream]:
        """Write a file piece by piece; it is complete when the block ends."""
        with self.claim(name).open("wb", buffering=1 << 20) as file:
            stream = Stream(file)
            yield stream
        self.hashes[name] = stream.sha256.hexdigest()

    def altered(self) -> Iterator[str]:
        """Yield the names of files that are missing or changed: images go by their size, others by their hash."""
        for name, sha256 in sorted(self.hashes.items()):
            path, size = self.root / name, self.sizes.get(name)
            try:
                same = sha256_of(path) == sha256 if size is None else path.stat().st_size == size
            except OSError:
                same = False
            if not same:
                yield name


class Stream:
    """Binary file that is hashed as it is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    @property
    def closed(self) -> bool:
        """Return True if the file is closed; pyarrow asks."""
        return self._file.closed

    def write(self, data: bytes) -> int:
        """Append bytes."""
        self.sha256.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Flush the buffer."""
        self._file.flush()


FORMATS: Mapping[str, images.Format] = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".tif": "tif", ".tiff": "tif"}

_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EACCES}


@dataclass(frozen=True, slots=True)
class Placed:
    """An image file in the dataset."""

    sha256: str
    size_bytes: int
    how: Literal["hardlink", "symlink", "copy", "encoded"]
    encoded: str | None = None  # description of a re-encoding; None if the bytes are those of the source file


def place_all(
    planned: Sequence[PlannedImage], store: Store, config: DatasetConfig, report: Progress | None = None
) -> list[Placed]:
    """Place all images in the dataset, in threads, and return them in order."""
    return list(in_threads(partial(place, store=store, config=config), planned, "images", report))


def place(image: PlannedImage, store: Store, config: DatasetConfig) -> Placed:
    """Place an image in the dataset.

    It is re-encoded if `config` asks for a codec or a number of channels, or states the white level of its samples; if
    its data are corrupt and kept; or if it isn't stored upright: some readers ignore EXIF, and boxes refer to the
    upright image. A JPEG that is to be one isn't compressed a second time.
    """
    path = store.claim(image.target)
    data = read_image(image.path)
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != image.sha256:
        raise NirgenError(f"{image.path}: changed since the plan was made; make the plan again")
    header = images.header_of(data, str(image.path))
    encoded = None
    how: Literal["hardlink", "symlink", "copy", "encoded"] = "copy"
    # Images of a translation folder are nirgen's own, whose white is known.
    reading = config.reading if image.kind == "real" else images.Reading()
    anew = reading.white_level is not None and header.bits > 8
    if reading.damaged == "keep":  # readers of the dataset get a sound file
        anew = anew or images.decode_noted(data, str(image.path), reading).damage is not None
    codec, channels = config.encoding
    twice = header.codec == "JPEG" and codec == "jpg" and header.channels == (channels or header.channels)
    if ((codec or channels) and not twice) or anew or not header.upright:
        data, encoded = _encode(data, header, image, channels, reading)
        sha256, how = hashlib.sha256(data).hexdigest(), "encoded"
        path.write_bytes(data)
    elif config.files == "symlink":
        path.symlink_to(image.path.resolve())
        how = "symlink"
    elif config.files == "hardlink" and _link(image.path, path):
        how = "hardlink"
    else:
        path.write_bytes(data)
    store.hashes[image.target], store.sizes[image.target] = sha256, len(data)
    return Placed(sha256, len(data), how, encoded)


def _link(source: Path, path: Path) -> bool:
    """Make a hard link; return False if the file system can't."""
    try:
        os.link(source.resolve(), path)
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    return True


def _encode(
    data: bytes, header: images.Header, image: PlannedImage, channels: int | None, reading: images.Reading
) -> tuple[bytes, str]:
    """Return an image in the format of its target's extension, and a description."""
    suffix = PurePosixPath(image.target).suffix.lower()
    if suffix not in FORMATS:
        raise NirgenError(f"{image.path}: no image is encoded as {suffix or 'a file without ending'}; say --codec png")
    pixels = images.decode(data, str(image.path), reading)
    if channels is not None or header.grey:
        pixels = images.to_grey(pixels)
    if channels == 3:
        pixels = np.repeat(pixels[..., np.newaxis], 3, axis=2)
    turned = "" if header.upright else "turned upright, "
    layout = "1 channel" if pixels.ndim == 2 else "3 channels"
    return images.encode(pixels, FORMATS[suffix]), f"{turned}encoded anew as {FORMATS[suffix]}, {layout}"


@dataclass(frozen=True)
class Site:
    """Folders of a build."""

    out: Path  # the dataset
    new: Path  # to write; replaces `out`
    old: Path  # the replaced dataset until its removal
    held: Callable[[], bool]  # False once the lock was removed, so that another process may build here

    def change_places(self, check: Callable[[], None] = lambda: None) -> None:
        """Replace `out` by the new folder, and remove the old one.

        Args:
            check: Called last; what it raises leaves `out` as it was.

        Raises:
            OutputError: Another process may be building here, or has put something else in the place of `out`.
        """
        # one sync for all files: fsync for each would take longer than the whole build
        os.sync()
        check()
        new = HeldFolder(self.new)
        if not self.held():
            raise OutputError(f"{self.out}: its lock was removed while it was built; run the same command again")
        try:
            if self.out.exists():
                self.out.rename(self.old)
            self.new.rename(self.out)
        except BaseException:
            if self.old.exists() and not self.out.exists():
                self.old.rename(self.out)
            raise
        handle = os.open(self.out.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        shutil.rmtree(self.old, ignore_errors=True)
        if not new.is_at(self.out):
            raise OutputError(f"{self.out}: was removed or replaced while it was built; run the same command again")


@contextmanager
def site_for(out: Path) -> Generator[Site]:
    """Lock and clear the folders of a build of `out`; `new` is removed when the block ends."""
    out = out.resolve()
    make_folder(out.parent)
    new, old, lock = (out.with_name(f".{out.name}.nirgen-{what}") for what in ("building", "old", "lock"))
    busy = f"{out}: another process builds this dataset; wait for it, or name another folder"
    try:
        with locked(lock, busy=busy) as held:
            site = Site(out, new, old, held)
            try:
                if site.old.exists() and not site.out.exists():  # a killed build has moved it away
                    site.old.rename(site.out)
                for leftover in (site.old, site.new):
                    if leftover.exists():
                        shutil.rmtree(leftover)
                yield site
            finally:
                if held():  # or they may be another process's
                    shutil.rmtree(site.new, ignore_errors=True)
                    lock.unlink(missing_ok=True)
    except OSError as error:
        kept = "the dataset that was there is as it was" if out.exists() else "nothing was left behind"
        raise OutputError(
            f"{out}: can't be written ({error.strerror or error}); {kept}; make room or name another folder, and run "
            "the same command again"
        ) from error
