"""Batches of augmented crops, in an order that can be resumed anywhere.

Draw number n of a run is always the same pair and the same crop: each draw has its own generator, seeded by the run's
seed and the draw's number. With P processes of batches of B, batch number b of process p holds the draws
(b P + p) B ... (b P + p + 1) B - 1, counted from where the stage began.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nirgen.errors import ConfigError, ImageError
from nirgen.pairs import read_pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from nirgen.pairs import Pair, PairList
    from nirgen.train.config import CropConfig, DataConfig


_ORDER, _CROP = 1, 2  # what a draw's random numbers are for
_MIXUP = 0.4  # of the beta distribution that blends are drawn from: most are near one of the two
_AHEAD = 4  # crops that each thread is ahead of the training
_REPLACEMENTS = 20  # pairs in a row that can't be decoded before a run gives up


class Order:
    """Which pair each draw of a run takes.

    Args:
        weights: How often each pair is drawn; None for each pair once an epoch.
        count: How many pairs there are.
        seed: Of the run.
    """

    def __init__(self, weights: list[float] | None, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self.shares = None if weights is None else np.cumsum(weights) / np.sum(weights)
        self._latest = -1, np.empty(0, int)  # an epoch and its permutation, exchanged at once: threads ask

    def __getitem__(self, draw: int) -> int:
        """The position of the pair that a draw takes."""
        if self.shares is not None:
            return int(np.searchsorted(self.shares, np.random.default_rng((self.seed, _ORDER, draw)).random(), "right"))
        epoch, position = divmod(draw, self.count)
        latest = self._latest
        if latest[0] != epoch:
            latest = epoch, np.random.default_rng((self.seed, _ORDER, epoch)).permutation(self.count)
            self._latest = latest
        return int(latest[1][position])


@dataclass(frozen=True)
class Crop:
    """One draw: rgb (3, H, W) and nir (1, H, W), float32 in [-1, 1], and why pairs were passed over for it."""

    rgb: Tensor
    nir: Tensor
    skipped: tuple[str, ...] = ()


class Draws:
    """The draws of a run by their numbers; several threads may draw.

    Args:
        pairs: The pairs.
        data: What is done with images that can't be decoded, how many are kept decoded, and weights by category.
        crops: How crops are drawn.
        seed: Of the run.

    Raises:
        ConfigError: The weights leave no pair.
    """

    def __init__(self, pairs: PairList, data: DataConfig, crops: CropConfig, seed: int) -> None:
        self.pairs = pairs
        self.data = data
        self.crops = crops
        self.seed = seed
        weights = [data.category_weights.get(pair.category, 1.0) for pair in pairs.pairs]
        if sum(weights) == 0:
            raise ConfigError("category_weights of 0 leave no pair to train on; give one category more")
        self.order = Order(weights if len(set(weights)) > 1 else None, len(pairs.pairs), seed)
        self._cache: dict[int, Photo] = {}
        self._room = data.cache_gigabytes * 1e9
        self._lock = threading.Lock()

    def draw(self, number: int, size: int) -> Crop:
        """Draw a crop.

        Args:
            number: Of the draw; they go on for ever.
            size: Height and width of the crop, in pixels.

        Raises:
            ImageError: A pair can't be used, and the configuration says to stop; or too many in a row can't.
        """
        random = np.random.default_rng((self.seed, _CROP, number))
        skipped = list[str]()
        rgb, nir = draw_crop(self._usable(self.order[number], skipped), size, self.crops, random)
        if random.random() < self.crops.mixup:
            other = self._usable(int(random.integers(len(self.pairs.pairs))), skipped)
            share = float(random.beta(_MIXUP, _MIXUP))
            blended = draw_crop(other, size, self.crops, random)
            rgb, nir = (torch.lerp(b, a, share) for a, b in zip((rgb, nir), blended, strict=True))
        return Crop(rgb, nir, tuple(skipped))

    def _usable(self, position: int, skipped: list[str]) -> Photo:
        """A decoded pair, or the next one that can be decoded; why not this one is appended.

        Raises:
            ImageError: The configuration says to stop, or too many in a row can't be decoded.
        """
        for _ in range(_REPLACEMENTS):
            try:
                return self._photo(position)
            except ImageError as error:
                if self.data.bad_images == "stop":
                    raise
                skipped.append(str(error))
                position = (position + 1) % len(self.pairs.pairs)
        raise ImageError(f"{_REPLACEMENTS} pairs in a row can't be used, the last because: {skipped[-1]}")

    def _photo(self, position: int) -> Photo:
        """A decoded pair, from memory if it is there."""
        if position in self._cache:
            return self._cache[position]
        photo = read_photo(self.pairs, self.pairs.pairs[position])
        needed = photo.rgb.numel() + photo.nir.numel()
        with self._lock:
            if needed <= self._room and position not in self._cache:
                self._cache[position] = photo
                self._room -= needed
        return photo


class Batches:
    """Endless batches from a draw on; where the size or the batch changes, from the next draw on.

    Use it as a context: its end ends the threads that decode.

    Args:
        draws: The run's draws.
        position: Number of the first draw.
        process: Which process this is, of how many.

    Attributes:
        position: Number of the first draw that no process has taken yet.
    """

    def __init__(self, draws: Draws, position: int = 0, process: tuple[int, int] = (0, 1)) -> None:
        self.draws = draws
        self.position = position
        self.rank, self.processes = process
        workers = draws.data.workers
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="nirgen-draw") if workers else None
        self._ahead = _AHEAD * workers
        self._shape: tuple[int, int] | None = None
        self._numbers: Iterator[int] = iter(())
        self._coming: deque[Future[Crop]] = deque()

    def __enter__(self) -> Batches:
        """The batches themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the threads that decode."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def next(self, count: int, size: int) -> tuple[Tensor, Tensor, list[str]]:
        """The next batch.

        Args:
            count: Crops in the batch of each process.
            size: Height and width of the crops, in pixels.

        Returns:
            rgb (count, 3, size, size) and nir (count, 1, size, size), float32 in [-1, 1]; and a line for each pair that
            was passed over.

        Raises:
            ImageError: A pair can't be used, and the configuration says to stop; or too many in a row can't.
        """
        if self._shape != (count, size):
            self._shape = count, size
            self._numbers = self._numbers_from(self.position + self.rank * count, count)
            self._forget()
        crops = self._crops(count, size)
        self.position += count * self.processes
        rgb, nir = torch.stack([crop.rgb for crop in crops]), torch.stack([crop.nir for crop in crops])
        return rgb, nir, [line for crop in crops for line in crop.skipped]

    def _crops(self, count: int, size: int) -> list[Crop]:
        """The next crops of this process; with threads, those after them are begun."""
        if self._threads is None:
            return [self.draws.draw(number, size) for number in itertools.islice(self._numbers, count)]
        for number in itertools.islice(self._numbers, count + self._ahead - len(self._coming)):
            self._coming.append(self._threads.submit(self.draws.draw, number, size))
        return [self._coming.popleft().result() for _ in range(count)]

    def _numbers_from(self, start: int, count: int) -> Iterator[int]:
        """The numbers of the draws that this process takes, without end."""
        while True:
            yield from range(start, start + count)
            start += count * self.processes

    def _forget(self) -> None:
        """Let go of what was begun for batches of another shape."""
        for future in self._coming:
            future.cancel()
        self._coming.clear()


@dataclass(frozen=True)
class Photo:
    """A decoded pair: rgb (3, H, W) and nir (1, H, W), uint8."""

    rgb: Tensor
    nir: Tensor


def read_photo(pairs: PairList, pair: Pair) -> Photo:
    """Decode a pair.

    Raises:
        ImageError: As `read_pair`, or the two sizes differ.
    """
    rgb, nir = read_pair(pairs, pair)
    if rgb.shape[:2] != nir.shape:
        raise ImageError(
            f"{pairs.root / pair.nir}: {nir.shape[1]}x{nir.shape[0]}, but its RGB partner is "
            f"{rgb.shape[1]}x{rgb.shape[0]}; align and crop them alike"
        )
    return Photo(torch.from_numpy(rgb).permute(2, 0, 1), torch.from_numpy(nir[None]))


def draw_crop(photo: Photo, size: int, config: CropConfig, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A random, augmented crop.

    Args:
        photo: The pair.
        size: Height and width of the crop, in pixels.
        config: How it is drawn.
        random: Where all that is random comes from.

    Returns:
        rgb (3, size, size) and nir (1, size, size), float32 in [-1, 1].
    """
    import torchvision.transforms.v2.functional as TF

    height, width = photo.rgb.shape[-2:]
    top, left, h, w = _box(height, width, size, config, random)
    mirrored = config.flip and random.random() < 0.5
    parts = []
    for part in (photo.rgb, photo.nir):
        crop = TF.resized_crop(part, top, left, h, w, [size, size], antialias=True)
        parts.append((crop.flip(-1) if mirrored else crop).float() / 255)
    rgb, nir = _darken(_expose(parts[0], config, random), parts[1], config.darkened, random)
    return rgb * 2 - 1, nir * 2 - 1


def _box(
    height: int, width: int, size: int, config: CropConfig, random: np.random.Generator
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the part of a photo that a crop shows, in pixels."""
    if config.kind == "squash":
        return 0, 0, height, width
    if config.kind == "native":
        side = round(size / random.uniform(1 - config.scale_jitter, 1 + config.scale_jitter))
        side = min(side, height, width)  # a photo that is smaller is enlarged
        h = w = side
    else:
        if random.random() < config.whole:
            return 0, 0, height, width
        area = np.exp(random.uniform(np.log(config.smallest), 0))
        aspect = np.exp(random.uniform(-0.3, 0.3))
        h = int(np.clip(round(height * np.sqrt(area * aspect)), min(16, height), height))
        w = int(np.clip(round(width * np.sqrt(area / aspect)), min(16, width), width))
    return int(random.integers(height - h + 1)), int(random.integers(width - w + 1)), h, w


def _expose(rgb: Tensor, config: CropConfig, random: np.random.Generator) -> Tensor:
    """Random exposure and white balance of RGB (3, H, W) in [0, 1]."""
    if not (config.gamma or config.gain or config.white_balance):
        return rgb
    gamma = float(np.exp(random.normal(0, config.gamma)))
    gain = np.exp(random.normal(0, config.gain) + random.normal(0, config.white_balance, (3, 1, 1)))
    return (rgb.pow(gamma) * torch.from_numpy(gain).float()).clamp(0, 1)


def _darken(rgb: Tensor, nir: Tensor, share: float, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Turn a share of the pairs into night: both images alike lose light, and RGB gets a sensor's noise.

    Photos by day alone would teach that nothing is ever dark.
    """
    if random.random() >= share:
        return rgb, nir
    gain = float(np.exp(random.uniform(-3, -0.3)))
    noise = torch.from_numpy(random.normal(0, 0.012, tuple(rgb.shape))).float()
    return (rgb * gain + noise).clamp(0, 1), nir * gain
