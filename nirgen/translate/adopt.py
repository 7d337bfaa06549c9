"""Translation folders of images that another program generated."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nirgen import images
from nirgen.errors import ImageError, NirgenError
from nirgen.evaluate.folders import GENERATED, images_by_key, read_generated, scene_of
from nirgen.files import sha256_of
from nirgen.progress import in_threads
from nirgen.translate.items import ELSEWHERE, Item, Row
from nirgen.translate.job import Description
from nirgen.translate.options import RunOptions, TranslateOptions
from nirgen.translate.run import Request, execute

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nirgen.progress import Progress
    from nirgen.translate.job import Job
    from nirgen.translate.summary import Stopwatch, Summary


IN_COLOUR = "generated in colour: mean of its channels"


@dataclass(frozen=True)
class Adopted:
    """The result of an adoption."""

    summary: Summary  # of the sources that have a generated image
    without: tuple[str, ...]  # sources that have none, sorted
    unused: tuple[str, ...]  # generated images that belong to no source, sorted


@dataclass(frozen=True)
class _Adoption:
    """An engine that takes outputs from elsewhere in the place of translating.

    Attributes:
        generated: Generated images by the name of their source.
        resize: Resize generated images of another size; else they fail.
        description: Names the other program.
    """

    generated: Mapping[str, Path]
    resize: bool
    description: Description

    def describe(self) -> Description:
        return self.description

    def __call__(
        self, items: Iterable[Item], job: Job, stopwatch: Stopwatch, stopped: Callable[[], bool]
    ) -> Generator[Row]:
        stopwatch.restart()
        for row in in_threads(lambda item: None if stopped() else self._adopt(item, job, stopwatch), list(items), ""):
            if row is not None:
                yield row

    def _adopt(self, item: Item, job: Job, stopwatch: Stopwatch) -> Row:
        row = Row(item.source, job.translator.id, job.options.id, "done")
        try:
            if item.problem:
                raise ImageError(item.problem)
            with stopwatch.timing("read"):
                data = job.source.read(item)
                row = replace(row, source_sha256=hashlib.sha256(data).hexdigest())
            with stopwatch.timing("decode", sources=(item.source,)):
                height, width = images.header_of(data, item.source).size
                row = replace(row, source_height=height, source_width=width)
                made, in_colour = read_generated(self.generated[item.source], job.reading)
                made = self._fitted(made, (height, width), self.generated[item.source])
            with stopwatch.timing("encode", sources=(item.source,)):
                pixels = made if job.options.channels == 1 else made[..., None].repeat(3, axis=2)
                data = images.encode(pixels, job.options.format)
            with stopwatch.timing("write"):
                job.sink.write(item, data)
        except ImageError as error:
            return replace(row, status="failed", error=str(error))
        digest = hashlib.sha256(data).hexdigest()
        note = IN_COLOUR if in_colour else None
        return replace(row, output=item.output, output_sha256=digest, width=width, height=height, note=note)

    def _fitted(self, made: NDArray[np.uint8], size: tuple[int, int], path: Path) -> NDArray[np.uint8]:
        """Return a generated image, (H, W) uint8, in the size of its source."""
        if made.shape == size:
            return made
        if not self.resize:
            raise ImageError(
                f"{path}: {made.shape[1]}x{made.shape[0]} pixels, but its source has {size[1]}x{size[0]}; if it shows "
                "the whole source, resize it with --resize"
            )
        return images.resize(made, size)


def adopt(
    source: Path,
    generated: Path,
    out: Path,
    *,
    name: str,
    licence: str = "unknown",
    endings: Sequence[str] = (),
    resize: bool = False,
    options: TranslateOptions | None = None,
    run: RunOptions | None = None,
    progress: Progress | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Adopted:
    """Make a translation folder of images that another program generated from a folder of RGB images.

    An image belongs to the source with the same relative path, apart from its ending and from what other systems add to
    names (`nirgen.evaluate.folders`). Generated images of another size than their source fail, as damaged ones do, and
    become rows of the manifest; they are written anew in the format of `options`. Run again, it takes what is new.

    Args:
        source: The folder of the RGB images.
        generated: The folder of the generated images.
        out: The translation folder.
        name: Name of what generated them, for provenance.
        licence: Licence of the generated images.
        endings: Further endings of the generated images' names before the suffix, such as `_nir`.
        resize: Resize generated images to the size of their source.
        options: Format and channels of the outputs; a NirgenError for 16 bits, a size or tiles.
        run: As for a translation.
        progress: As for a translation.
        stopped: As for a translation.

    Raises:
        NirgenError: No image belongs to a source, two belong to one, or `out` holds something else.
    """
    options = options or TranslateOptions()
    partners, without, unused = _matched(source, generated, endings)
    about = {"made": "elsewhere", "name": name, "licence": licence}
    hashes = in_threads(sha256_of, list(partners.values()), "hash", progress)
    digest = hashlib.sha256(json.dumps([about, [*zip(partners, hashes, strict=True)]]).encode()).hexdigest()
    header = {
        "model_id": digest,
        "licence": licence,
        "provenance": f"made elsewhere by {name}",
        "architecture": {"kind": ELSEWHERE, "name": name},
        "training": {},
    }
    engine = _Adoption(partners, resize, Description(digest, 1, header, None, ELSEWHERE))
    with tempfile.TemporaryDirectory(prefix="nirgen-") as folder:
        listing = Path(folder) / "sources.txt"
        listing.write_text("".join(f"{each}\n" for each in partners), "utf-8", "surrogateescape")
        request = Request(source, out, engine, options=options, run=run or RunOptions(), listing=listing)
        summary = execute(request, progress=progress, stopped=stopped)
    return Adopted(summary, without, unused)


def _matched(
    source: Path, generated: Path, endings: Sequence[str]
) -> tuple[dict[str, Path], tuple[str, ...], tuple[str, ...]]:
    """Return the generated image of each source; the sources without one, and the images without a source."""
    sources, there = images_by_key(source), images_by_key(generated)
    found: dict[str, Path] = {}
    without: list[str] = []
    used: set[str] = set()
    for key, path in sources.items():
        present = [each for each in (key, *(f"{key}{ending}" for ending in (*endings, *GENERATED))) if each in there]
        name = path.relative_to(source).as_posix()
        if len(present) > 1:
            raise NirgenError(
                f"{there[present[0]]}: {there[present[1]].name} could belong to {name} too; keep one of them"
            )
        if not present:
            without.append(name)
            continue
        found[name] = there[present[0]]
        used.add(present[0])
    if not found:
        raise NirgenError(
            f"{generated}: no image has the name of one in {source} (such as {next(iter(sources))}); name the folders "
            "that correspond, or what is added to the names with --ending"
        )
    unused = tuple(
        path.relative_to(generated).as_posix()
        for key, path in there.items()
        if key not in used and scene_of(key) not in sources
    )
    return dict(sorted(found.items())), tuple(without), unused
