"""Adaptation to NIR images of a camera without partners: their tones are matched, and nothing else.

The start model translates photos; a monotone curve makes the histogram of its outputs that of the NIR images (histogram
specification; Gonzalez and Woods, Digital Image Processing, Section 3.3), for each class of the masks if there are any.
The last layers are then fitted to the outputs after the curve, so that the model file stays a plain generator.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from nirgen import images
from nirgen.adapt.export import fingerprint_of, opened
from nirgen.adapt.fit import fit, merge
from nirgen.adapt.scores import translating
from nirgen.adapt.validation import Record
from nirgen.adapt.verdict import ToneVerdict
from nirgen.devices import choose_device, choose_training_precision
from nirgen.errors import ImageError, NirgenError
from nirgen.files import make_folder, sha256_of, write_whole
from nirgen.models.catalog import find_model
from nirgen.models.checkpoint import load_pix2next
from nirgen.pairs.listing import GREY_TOLERANCE, Pair, PairList, colour_difference, list_images

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.adapt.config import AdaptConfig, What
    from nirgen.models.generator import Pix2Next
    from nirgen.progress import Progress

LEAST_IMAGES = 3
_LEAST_PIXELS = 500  # of a class, among the photos and among the NIR images, for a curve of its own
_HELD_OUT = 3  # one in three images is held out
_REST = -1  # the class of all pixels without a curve of their own
_LEAST_GAIN = 1.0  # levels of 255 that held-out tones must come nearer


@dataclass(frozen=True)
class Picture:
    """A photo or a NIR image, squashed, and the classes of its pixels."""

    pixels: NDArray[np.uint8]  # (H, W, 3), or (H, W)
    mask: NDArray[np.uint8]  # (H, W); zeros without masks


def adapt_tones(
    model: str | Path,
    nir: Path,
    photos: Path,
    out: Path,
    config: AdaptConfig,
    *,
    masks: tuple[Path, Path] | None = None,
    device: str | None = None,
    progress: Progress = lambda _stage, _done, _total: None,
) -> ToneVerdict:
    """Adapt a model's tones to NIR images of a camera.

    Args:
        model: An embedded name, a model file or a run folder.
        nir: Folder of NIR images of the camera.
        photos: Folder of photos such as the model will translate.
        out: Folder, new or of the same adaptation.
        config: Settings; without `what`, the last layers change.
        masks: Folders of the masks of the photos and of the NIR images: grey images of class numbers, named as their
            images, endings aside.
        device: `cpu`, `cuda`...; the best available one by default.
        progress: Progress callback, in optimizer steps.

    Raises:
        ConfigError: The folder has an adaptation with other settings, or a loss became NaN or infinite.
        ImageError: An image can't be read.
        ModelError: The model can't be read.
        NirgenError: There are fewer than 3 photos or NIR images.
        OutputError: The folder can't be written, or holds something else.
    """
    path, where = find_model(model), choose_device(device)
    start, header = load_pix2next(path)
    config.check_stride(start.stride)
    roots = (photos, nir, *(masks or ()))
    listed = [[str(file.relative_to(root)), sha256_of(file)] for root in roots for file in list_images(root)]
    fingerprint = fingerprint_of(header["model_id"], config, listed)
    with opened(out, fingerprint) as folder:
        finished = folder.finished()
        if finished is not None:
            return ToneVerdict.read(finished)
        Record(folder.work, fingerprint).write("run", {"model_id": header["model_id"]})
        size = config.judged_size
        shown = _pictures(photos, masks and masks[0], size)
        targets = _pictures(nir, masks and masks[1], size, grey=True)
        verdict, fitted = _Matching(start.to(where), shown, targets, config, work=folder.work, progress=progress).run(
            fingerprint
        )
        about = {"outcome": verdict.outcome, "nir_images": verdict.nirs, "what": verdict.what, "steps": verdict.steps}
        written = folder.write_model(path, about, fitted, config)
        folder.finish(verdict, "tones.md.j2", {}, header=written)
    return verdict


class _Matching:
    def __init__(
        self,
        start: Pix2Next,
        photos: list[Picture],
        targets: list[Picture],
        config: AdaptConfig,
        *,
        work: Path,
        progress: Progress,
    ) -> None:
        self.start, self.photos, self.targets, self.config, self.work = start, photos, targets, config, work
        self.what: What = "last" if config.what == "auto" else config.what
        self.checks = config.checks_of(config.steps_for(len(photos)))
        self._progress, self._done = progress, 0
        predict = translating(start)
        self.outputs = [Picture(predict(photo.pixels), photo.mask) for photo in photos]

    def run(self, fingerprint: str) -> tuple[ToneVerdict, Pix2Next | None]:
        """Fit to two thirds of the images, judge on the others, and fit to all if they gain."""
        learned, judged = _parts(self.outputs), _parts(self.photos)
        made, real = _parts(self.targets)
        classes = _classes(learned[0], made)
        before = _distance(learned[1], real, classes)
        pairs = _tone_pairs(judged[0], learned[0], made, self.work / "learned")
        after = {}
        for steps, generator in self._fits(pairs, self.checks):
            predict = translating(generator)
            after[steps] = _distance([Picture(predict(one.pixels), one.mask) for one in judged[1]], real, classes)
        steps = min(after, key=lambda steps: after[steps])
        fitted = None
        if after[steps] <= before - _LEAST_GAIN:
            pairs = _tone_pairs(self.photos, self.outputs, self.targets, self.work / "all")
            (fitted,) = (merge(generator) for _, generator in self._fits(pairs, (steps,)))
        verdict = ToneVerdict(
            fingerprint=fingerprint,
            outcome="no gain" if fitted is None else "adapted",
            what=self.what,
            steps=steps,
            before=before,
            after=after[steps],
            photos=len(self.photos),
            nirs=len(self.targets),
            classes=tuple(number for number in classes if number != _REST),
        )
        return verdict, fitted

    def _fits(self, pairs: PairList, checks: Sequence[int]) -> Iterator[tuple[int, Pix2Next]]:
        precision = choose_training_precision("auto", next(self.start.parameters()).device)
        settings: dict[str, Any] = {"precision": precision, "step_done": self._step_done}
        return fit(self.start, pairs, self.what, self.config, checks=checks, **settings)

    def _step_done(self) -> None:
        self._done += 1
        self._progress("adapt", self._done, 2 * self.checks[-1])


def _parts(pictures: Sequence[Picture]) -> tuple[list[Picture], list[Picture]]:
    """Return the pictures to learn from, and those held out."""
    held_out = pictures[::_HELD_OUT]
    return [picture for number, picture in enumerate(pictures) if number % _HELD_OUT], list(held_out)


def _pictures(root: Path, masks: Path | None, size: int, *, grey: bool = False) -> list[Picture]:
    """Decode the images of a folder and their masks."""
    found = []
    by_key = {file.relative_to(masks).with_suffix(""): file for file in list_images(masks)} if masks else {}
    for file in list_images(root):
        pixels = images.read(file)
        if grey and colour_difference(pixels) > GREY_TOLERANCE:
            raise ImageError(f"{file}: in colour, where a NIR image is expected; name a folder of grey images")
        pixels = images.resize(pixels, (size, size), resample="bilinear")
        mask = np.zeros((size, size), np.uint8)
        if masks is not None:
            key = file.relative_to(root).with_suffix("")
            if key not in by_key:
                raise ImageError(f"{file}: no mask '{key}.*' in {masks}; add it, or give no masks")
            classes = images.read(by_key[key])[..., 0]
            rows, columns = ((np.arange(size) * side) // size for side in classes.shape)
            mask = classes[np.ix_(rows, columns)]
        found.append(Picture(pixels[..., 0] if grey else pixels, mask))
    if len(found) < LEAST_IMAGES:
        raise NirgenError(f"{root}: {len(found)} image(s); at least {LEAST_IMAGES} are needed to match tones")
    return found


def _histogram(pictures: Sequence[Picture], number: int, others: Sequence[int] = ()) -> NDArray[np.float64]:
    """Count the levels, (256,), of the pixels of a class; of the rest: of all that are in none of `others`."""
    counts = np.zeros(256)
    for picture in pictures:
        chosen = ~np.isin(picture.mask, others) if number == _REST else picture.mask == number
        counts += np.bincount(picture.pixels[chosen], minlength=256)
    return counts


def _classes(made: Sequence[Picture], real: Sequence[Picture]) -> tuple[int, ...]:
    """Return the classes with enough pixels on both sides, if the masks have several; the rest comes last."""
    numbers = sorted(set(chain.from_iterable(np.unique(picture.mask).tolist() for picture in made)))
    if len(numbers) == 1:
        return (_REST,)
    enough = [n for n in numbers if min(_histogram(part, n).sum() for part in (made, real)) >= _LEAST_PIXELS]
    return (*enough, _REST)


def tone_curve(made: NDArray[np.float64], real: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rising map of levels, (256,) in [0, 255], that gives one histogram (256,) the levels of another.

    Example:
        >>> made, real = np.zeros(256), np.zeros(256)
        >>> made[[10, 20]] = real[[50, 90]] = 1
        >>> tone_curve(made, real)[[10, 20]].tolist()
        [50.0, 90.0]
    """
    if not made.sum() or not real.sum():
        return np.arange(256.0)
    ranks = (np.cumsum(made) - made / 2) / made.sum()  # the middle of each level
    places = (np.cumsum(real) - real / 2) / real.sum()
    used = real > 0
    curve: NDArray[np.float64] = np.interp(ranks, places[used], np.flatnonzero(used).astype(float))
    return curve


def _tone_pairs(
    photos: Sequence[Picture], outputs: Sequence[Picture], targets: Sequence[Picture], folder: Path
) -> PairList:
    """Write photos and the start's outputs after the tone curves as pairs."""
    classes = _classes(outputs, targets)
    curves = {n: tone_curve(*(_histogram(part, n, classes) for part in (outputs, targets))) for n in classes}
    make_folder(folder)
    pairs = []
    for number, (photo, output) in enumerate(zip(photos, outputs, strict=True)):
        toned = curves[_REST][output.pixels]
        for n in classes[:-1]:
            toned = np.where(output.mask == n, curves[n][output.pixels], toned)
        name = f"{number:04}"
        rgb, nir = folder / f"{name}_rgb.png", folder / f"{name}_nir.png"
        write_whole(rgb, images.encode(photo.pixels, "png"))
        write_whole(nir, images.encode(np.rint(toned).astype(np.uint8), "png"))
        pairs.append(Pair(name, rgb.name, nir.name, name, "train", "", sha256_of(rgb), sha256_of(nir)))
    return PairList(folder, tuple(pairs))


def _distance(made: Sequence[Picture], real: Sequence[Picture], classes: Sequence[int]) -> float:
    """Return the Wasserstein-1 distance of two distributions of levels, the mean over classes by their real pixels."""
    distances, weights = [], []
    for number in classes:
        histograms = [_histogram(part, number, classes) for part in (made, real)]
        if min(histogram.sum() for histogram in histograms) > 0:
            first, second = (np.cumsum(histogram) / histogram.sum() for histogram in histograms)
            distances.append(float(np.abs(first - second).sum()))
            weights.append(float(histograms[1].sum()))
    return float(np.average(distances, weights=weights))
