"""The arms of a comparison: with which images a detector is trained, or that it isn't."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nirgen.errors import ConfigError, NirgenError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nirgen.detect.examples import Examples

Ratio = float | Literal["all"]

PRETRAINED, REAL = "pretrained", "real"
"""The names of the arms that are always there."""
_USUAL: tuple[Ratio, ...] = (0.0, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of training.

    Attributes:
        name: `pretrained`, `real`, or such as `real+1x`: also that of its folder.
        title: What tables call it.
        images: Keys of the images that it is trained on, sorted; none of `pretrained`.
        real: How many of them are real.
        generated: How many were translated from RGB.
    """

    name: str
    title: str
    images: tuple[str, ...] = ()
    real: int = 0
    generated: int = 0

    @property
    def trained(self) -> bool:
        """Whether there is anything to train."""
        return bool(self.images)

    def epochs(self, steps: int, batch: int) -> float:
        """How often a training sees each image, on average."""
        return steps * batch / len(self.images) if self.images else 0.0


def parse_ratios(text: str) -> tuple[Ratio, ...]:
    """Read how many generated images arms have for each real one.

    Args:
        text: Numbers from 0 on, or `all`, with commas between.

    Raises:
        ConfigError: One is neither.

    Example:
        >>> parse_ratios("0, 0.5,2,all")
        (0.0, 0.5, 2.0, 'all')
    """
    found: list[Ratio] = []
    for part in (each.strip() for each in text.split(",")):
        if part == "all":
            found.append("all")
            continue
        try:
            ratio = float(part)
        except ValueError:
            ratio = math.nan
        if not 0 <= ratio < math.inf:
            raise ConfigError(f"ratio {part!r}: no number from 0 on, nor 'all'; give such as --ratios 0,1,2")
        found.append(ratio)
    return tuple(found)


def make_arms(examples: Examples, ratios: Sequence[Ratio] | None = None) -> tuple[Arm, ...]:
    """Choose the images of each arm: all real ones, and more and more generated ones, each arm holding the one before.

    Generated images are taken in the order of the sha256 of their keys, so that the same ones are chosen from the same
    dataset, and a larger dataset adds to them.

    Args:
        examples: The training images.
        ratios: Generated images for each real one; 0 is always there. By default 0, 1 and 2 as far as there are
            images, or all if there are fewer.

    Returns:
        `pretrained`, `real`, then the others by growing ratio.

    Raises:
        NirgenError: There are no real images, no generated ones, or fewer than a ratio needs; or no ratio needs one.
    """
    real = [example.key for example in examples.examples if not example.generated]
    generated = sorted((example.key for example in examples.examples if example.generated), key=_order)
    _check(examples.folder, examples.split, len(real), len(generated))
    available = len(generated) / len(real)
    if ratios is None:
        ratios = [ratio for ratio in _USUAL if isinstance(ratio, float) and ratio <= available]
        ratios = [*ratios, "all"] if available < 2 else ratios
    arms = {0: Arm(REAL, "+ real", tuple(sorted(real)), len(real))}
    for ratio in sorted(ratios, key=lambda each: available if each == "all" else float(each)):
        count = len(generated) if ratio == "all" else round(float(ratio) * len(real))
        if count > len(generated):
            raise NirgenError(
                f"{examples.folder}: ratio {ratio:g} needs {count} generated images for {len(real)} real ones, and "
                f"'{examples.split}' has {len(generated)}; give at most {available:.3g}, or 'all'"
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


def _order(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _check(folder: Path, split: str, real: int, generated: int) -> None:
    if not real:
        raise NirgenError(
            f"{folder}: '{split}' has no real images, and a comparison needs real and generated ones there; give "
            f"--real images of '{split}' to 'nirgen build-dataset'"
        )
    if not generated:
        raise NirgenError(
            f"{folder}: '{split}' has no generated images, and a comparison needs real and generated ones there; give "
            "--generated to 'nirgen build-dataset'"
        )
