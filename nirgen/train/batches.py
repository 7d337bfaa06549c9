"""Batches of augmented crops, in an order that can be resumed anywhere.

Draw number n of a run is always the same pair and the same crop: each draw has its own generator, seeded by the run's
seed and the draw's number; without pairs, RGB and NIR have an order and a generator each. With P processes of batches
of B, batch number b of process p holds the draws (b P + p) B ... (b P + p + 1) B - 1, counted from where the stage
began.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from nirgen.errors import ConfigError, ImageError
from nirgen.images import conditions
from nirgen.pairs.listing import read_nir, read_pair, read_rgb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from nirgen.pairs import Pair, PairList
    from nirgen.train.config import CropConfig, DataConfig


Side = Literal["both", "rgb", "nir"]  # images of a pair that a draw takes

_ORDER, _CROP, _NIR_ORDER, _NIR_CROP = 1, 2, 4, 5  # random streams of a draw; 3 and 6 are of `paired` and `cycle`
_MIXUP = 0.4  # alpha of the beta distribution of blends: most are close to one of the two crops
_WINDOW = 256 / 286  # share of both sides that a crop of the kind `window` shows
_AHEAD = 4  # crops that each thread prepares ahead of the training
_REPLACEMENTS = 20  # undecodable pairs in a row that end a run


class Order:
    """Positions of the pairs that draws take: by the pairs' relative weights, or each pair once an epoch."""

    def __init__(self, weights: list[float] | None, count: int, seed: int, stream: int = _ORDER) -> None:
        self.count, self.seed, self.stream = count, seed, stream
        self.shares = None if weights is None else np.cumsum(weights) / np.sum(weights)
        self._latest = -1, np.empty(0, int)  # an epoch and its permutation, replaced as one: threads read it

    def __getitem__(self, draw: int) -> int:
        """Return the position of the pair that a draw takes."""
        if self.shares is not None:
            random = np.random.default_rng((self.seed, self.stream, draw))
            return int(np.searchsorted(self.shares, random.random(), "right"))
        epoch, position = divmod(draw, self.count)
        latest = self._latest
        if latest[0] != epoch:
            random = np.random.default_rng((self.seed, self.stream, epoch))
            self._latest = latest = epoch, random.permutation(self.count)
        return int(latest[1][position])


class Draws:
    """Crops of a run by the number of their draw; thread-safe.

    With `unpaired`, RGB and NIR of a draw are of two images, each drawn and cropped on its own.
    """

    def __init__(
        self, pairs: PairList, data: DataConfig, crops: CropConfig, seed: int, *, unpaired: bool = False
    ) -> None:
        self.pairs, self.data, self.crops, self.seed, self.unpaired = pairs, data, crops, seed, unpaired
        weights = [data.category_weights.get(pair.category, 1.0) for pair in pairs.pairs]
        if sum(weights) == 0:
            raise ConfigError("category_weights of 0 leave no pair to train on; give one category more")
        shares = weights if len(set(weights)) > 1 else None
        self.order, self.nir_order = (Order(shares, len(weights), seed, stream) for stream in (_ORDER, _NIR_ORDER))
        self._cache: dict[tuple[int, Side], Photo] = {}
        self._room = data.cache_gigabytes * 1e9
        self._lock = threading.Lock()

    def draw(self, number: int, size: int) -> tuple[Tensor, Tensor, list[str]]:
        """Return RGB and NIR of a draw, (3 and 1, size, size) float32 in [-1, 1], and a line for each pair replaced.

        Raises:
            ImageError: A pair can't be decoded and `bad_images` is `stop`, or too many in a row can't be decoded.
        """
        skipped = list[str]()
        random = np.random.default_rng((self.seed, _CROP, number))
        if not self.unpaired:
            return *self._crop(self.order[number], "both", size, random, skipped), skipped
        rgb, _ = self._crop(self.order[number], "rgb", size, random, skipped)
        random = np.random.default_rng((self.seed, _NIR_CROP, number))
        _, nir = self._crop(self.nir_order[number], "nir", size, random, skipped)
        return rgb, nir, skipped

    def _crop(
        self, position: int, side: Side, size: int, random: np.random.Generator, skipped: list[str]
    ) -> tuple[Tensor, Tensor]:
        rgb, nir = draw_crop(self._usable(position, side, skipped), size, self.crops, random)
        if random.random() < self.crops.mixup:
            other = self._usable(int(random.integers(len(self.pairs.pairs))), side, skipped)
            share = float(random.beta(_MIXUP, _MIXUP))
            blended = draw_crop(other, size, self.crops, random)
            rgb, nir = (torch.lerp(b, a, share) for a, b in zip((rgb, nir), blended, strict=True))
        return rgb, nir

    def _usable(self, position: int, side: Side, skipped: list[str]) -> Photo:
        """Return a decoded pair, or the next decodable one; errors of those before it are appended to `skipped`."""
        for _ in range(_REPLACEMENTS):
            try:
                return self._photo(position, side)
            except ImageError as error:
                if self.data.bad_images == "stop":
                    raise
                skipped.append(str(error))
                position = (position + 1) % len(self.pairs.pairs)
        raise ImageError(f"{_REPLACEMENTS} pairs in a row can't be used, the last because: {skipped[-1]}")

    def _photo(self, position: int, side: Side) -> Photo:
        if (position, side) in self._cache:
            return self._cache[position, side]
        photo = read_photo(self.pairs, self.pairs.pairs[position], side)
        needed = photo.rgb.numel() + photo.nir.numel()
        with self._lock:
            if needed <= self._room and (position, side) not in self._cache:
                self._cache[position, side] = photo
                self._room -= needed
        return photo


class Batches(AbstractContextManager["Batches"]):
    """Endless batches from a draw on; the context manager owns the decoding threads.

    `process` is the rank of this process and the number of processes.
    """

    def __init__(self, draws: Draws, position: int = 0, process: tuple[int, int] = (0, 1)) -> None:
        self.draws = draws
        self.position = position  # number of the first draw that no process has taken yet
        self.rank, self.processes = process
        workers = draws.data.workers
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="nirgen-draw") if workers else None
        self._ahead = _AHEAD * workers
        self._shape: tuple[int, int] | None = None
        self._numbers: Iterator[int] = iter(())
        self._coming: deque[Future[tuple[Tensor, Tensor, list[str]]]] = deque()

    def __exit__(self, *_: object) -> None:
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def next(self, count: int, size: int) -> tuple[Tensor, Tensor, list[str]]:
        """Return RGB and NIR, (count, 3 and 1, size, size) float32 in [-1, 1], and a line for each pair replaced.

        Raises:
            ImageError: As `Draws.draw`.
        """
        if self._shape != (count, size):
            self._shape = count, size
            starts = itertools.count(self.position + self.rank * count, count * self.processes)
            self._numbers = (number for start in starts for number in range(start, start + count))
            for future in self._coming:
                future.cancel()
            self._coming.clear()
        if self._threads is None:
            crops = [self.draws.draw(number, size) for number in itertools.islice(self._numbers, count)]
        else:
            for number in itertools.islice(self._numbers, count + self._ahead - len(self._coming)):
                self._coming.append(self._threads.submit(self.draws.draw, number, size))
            crops = [self._coming.popleft().result() for _ in range(count)]
        self.position += count * self.processes
        rgb, nir, skipped = zip(*crops, strict=True)
        return torch.stack(rgb), torch.stack(nir), list(itertools.chain.from_iterable(skipped))


@dataclass(frozen=True)
class Photo:
    """A decoded pair."""

    rgb: Tensor  # (3, H, W) uint8
    nir: Tensor  # (1, H, W) uint8


def read_photo(pairs: PairList, pair: Pair, side: Side = "both") -> Photo:
    """Decode a pair; it raises ImageError as `read_pair`, or if the two sizes differ.

    Of one side alone, the other is a stand-in of the same size.
    """
    if side == "rgb":
        rgb = read_rgb(pairs, pair)
        nir = rgb[..., 0]
    elif side == "nir":
        nir = read_nir(pairs, pair)
        rgb = np.repeat(nir[..., None], 3, axis=2)
    else:
        rgb, nir = read_pair(pairs, pair)
    if rgb.shape[:2] != nir.shape:
        raise ImageError(
            f"{pairs.root / pair.nir}: {nir.shape[1]}x{nir.shape[0]}, but its RGB partner is "
            f"{rgb.shape[1]}x{rgb.shape[0]}; align and crop them alike"
        )
    return Photo(torch.from_numpy(rgb).permute(2, 0, 1), torch.from_numpy(nir[None]))


def draw_crop(photo: Photo, size: int, config: CropConfig, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw a random, augmented crop: rgb (3, size, size) and nir (1, size, size), float32 in [-1, 1]."""
    import torchvision.transforms.v2.functional as TF

    box = _box(photo.rgb, size, config, random)
    mirrored = config.flip and random.random() < 0.5
    parts = []
    for part in (photo.rgb, photo.nir):
        crop = TF.resized_crop(part, *box, [size, size], antialias=True)
        parts.append((crop.flip(-1) if mirrored else crop).float() / 255)
    rgb, nir = _change_conditions(_expose(parts[0], config, random), parts[1], config, random)
    return rgb * 2 - 1, nir * 2 - 1


def _box(photo: Tensor, size: int, config: CropConfig, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of the part of a photo (C, H, W) that a crop shows, in pixels."""
    height, width = photo.shape[-2:]
    if config.kind == "squash":
        return 0, 0, height, width
    if config.kind == "window":
        h, w = (min(side, max(16, round(side * _WINDOW))) for side in (height, width))
    elif config.kind == "square":
        h = w = min(height, width)
    elif config.kind == "native":
        side = round(size / random.uniform(1 - config.scale_jitter, 1 + config.scale_jitter))
        h = w = min(side, height, width)  # a smaller photo is enlarged
    else:
        if random.random() < config.whole:
            return 0, 0, height, width
        area = np.exp(random.uniform(np.log(config.smallest), 0))
        aspect = np.exp(random.uniform(-0.3, 0.3))
        h = int(np.clip(round(height * np.sqrt(area * aspect)), min(16, height), height))
        w = int(np.clip(round(width * np.sqrt(area / aspect)), min(16, width), width))
    return int(random.integers(height - h + 1)), int(random.integers(width - w + 1)), h, w


def _expose(rgb: Tensor, config: CropConfig, random: np.random.Generator) -> Tensor:
    """Change exposure and white balance of RGB (3, H, W) in [0, 1]."""
    if not (config.gamma or config.gain or config.white_balance):
        return rgb
    gamma = float(np.exp(random.normal(0, config.gamma)))
    gain = np.exp(random.normal(0, config.gain) + random.normal(0, config.white_balance, (3, 1, 1)))
    return (rgb.pow(gamma) * torch.from_numpy(gain).float()).clamp(0, 1)


def _change_conditions(
    rgb: Tensor, nir: Tensor, config: CropConfig, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Draw light, weather and faults of the camera, each on its share of the crops; both images are in [0, 1]."""
    changed, real = np.ascontiguousarray(rgb.permute(1, 2, 0)), nir[0].numpy()
    if config.saturation:
        changed = conditions.saturation(changed, random, config.saturation)
    for share, change in (
        (config.haze, conditions.haze),
        (config.casts, conditions.cast),
        (config.clipped, conditions.clip),
        (config.contrast, conditions.contrast),
    ):
        if share and random.random() < share:
            changed = change(changed, random)
    if config.night and random.random() < config.night:
        changed, real = conditions.night(changed, real, random)
    for share, change in ((config.blurred, conditions.blur), (config.jpeg, conditions.jpeg)):
        if share and random.random() < share:
            changed = change(changed, random)
    return torch.from_numpy(changed).permute(2, 0, 1), torch.from_numpy(real)[None]
