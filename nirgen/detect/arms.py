"""The training sets of a comparison (`arms` in its files), and its runs: one for each training set and seed."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nirgen.detect.data import read_split, refuse_without_boxes
from nirgen.errors import ConfigError, NirgenError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nirgen.detect.config import CompareConfig
    from nirgen.detect.data import Split


Ratio = float | Literal["all"]

PRETRAINED, REAL = "pretrained", "real"  # names of the arms that are always there


@dataclass(frozen=True, slots=True)
class Arm:
    """A training set."""

    name: str  # `pretrained`, `real`, or such as `real+1x`; also of its folder
    title: str  # in tables
    images: tuple[str, ...] = ()  # sorted keys; none of `pretrained`
    real: int = 0  # number of real images
    generated: int = 0

    def epochs(self, steps: int, batch: int) -> float:
        """Return how often a training sees each image on average."""
        return steps * batch / len(self.images) if self.images else 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """A training on an arm with a seed, and its evaluation."""

    arm: Arm
    seed: int | None  # None if nothing is trained

    @property
    def name(self) -> str:
        """Its folder in that of the comparison, such as `runs/real+1x/seed0`."""
        return f"runs/{self.arm.name}" + ("" if self.seed is None else f"/seed{self.seed}")


@dataclass(frozen=True)
class ComparisonPlan:
    """The images and arms of a comparison."""

    config: CompareConfig
    train: Split
    test: Split  # real images alone
    arms: tuple[Arm, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs, arm by arm."""
        return tuple(Run(arm, seed) for arm in self.arms for seed in (self.config.seeds if arm.images else (None,)))


def plan_comparison(dataset: Path, config: CompareConfig, ratios: Sequence[Ratio] | None = None) -> ComparisonPlan:
    """Read the images of a comparison, and choose its arms by ratios of generated to real images (see `make_arms`)."""
    test, train = read_split(dataset, config.split).real(), read_split(dataset, config.train.split)
    refuse_without_boxes(train)
    return ComparisonPlan(config, train, test, make_arms(train, ratios))


def make_arms(train: Split, ratios: Sequence[Ratio] | None = None) -> tuple[Arm, ...]:
    """Choose the images of each arm: all real ones, and more and more generated ones, each arm containing the previous.

    Generated images are taken in the order of the sha256 of their keys, so that the choice is the same for the same
    dataset, and a larger dataset adds to it. Ratios are of generated to real images; 0 is always included. By default
    they are 0, 1 and 2 as far as there are images, or all if there are fewer.
    """
    real = [image.key for image in train.images if not image.generated]
    generated = [image.key for image in train.images if image.generated]
    generated.sort(key=lambda key: hashlib.sha256(key.encode()).hexdigest())
    for kind, found in (("real", real), ("generated", generated)):
        if not found:
            raise NirgenError(
                f"{train.folder}: '{train.name}' has no {kind} images, and a comparison needs real and generated ones "
                f"there; give --{kind} images of '{train.name}' to 'nirgen build-dataset'"
            )
    available = len(generated) / len(real)
    if ratios is None:
        usual: list[Ratio] = [ratio for ratio in (0.0, 1.0, 2.0) if ratio <= available]
        ratios = [*usual, "all"] if available < 2 else usual
    arms = {0: Arm(REAL, "+ real", tuple(sorted(real)), len(real))}
    for ratio in sorted(ratios, key=lambda each: available if each == "all" else float(each)):
        count = len(generated) if ratio == "all" else round(float(ratio) * len(real))
        if count > len(generated):
            raise NirgenError(
                f"{train.folder}: ratio {ratio:g} needs {count} generated images for {len(real)} real ones, and "
                f"'{train.name}' has {len(generated)}; give at most {available:.3g}, or 'all'"
            )
        short = "all" if ratio == "all" else f"{ratio:g}x"
        title = f"+ real + {'all' if ratio == 'all' else f'{ratio:g} x'} generated"
        images = tuple(sorted([*real, *generated[:count]]))
        arms.setdefault(count, Arm(f"{REAL}+{short}", title, images, len(real), count))
    if len(arms) < 2:
        raise NirgenError(
            f"ratios {', '.join(map(str, ratios))}: no arm has a generated image, so there is nothing to compare; give "
            "a larger one, or 'all'"
        )
    return (Arm(PRETRAINED, "as pretrained"), *arms.values())


def parse_ratios(text: str) -> tuple[Ratio, ...]:
    """Parse ratios: numbers from 0 on, or `all`, separated by commas.

    Example:
        >>> parse_ratios("0, 0.5,2,all")
        (0.0, 0.5, 2.0, 'all')
    """
    found: list[Ratio] = []
    for part in map(str.strip, text.split(",")):
        try:
            ratio: Ratio = "all" if part == "all" else float(part)
            if ratio != "all" and not 0 <= ratio < math.inf:
                raise ValueError
        except ValueError:
            raise ConfigError(f"ratio {part!r}: no number from 0 on, nor 'all'; give such as --ratios 0,1,2") from None
        found.append(ratio)
    return tuple(found)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Parse seeds: whole numbers separated by commas.

    Example:
        >>> parse_seeds("0, 7")
        (0, 7)
    """
    parts = [part.strip() for part in text.split(",")]
    if wrong := [part for part in parts if not part.isdecimal()]:
        raise ConfigError(f"seed {wrong[0]!r}: no whole number from 0 on; give such as --seeds 0,1,2")
    return tuple(int(part) for part in parts)
