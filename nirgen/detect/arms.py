"""The training sets of a comparison (`arms` in its files), and its runs: one for each training set and seed."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from nirgen.detect.data import read_split, refuse_without_boxes
from nirgen.detect.looks import Look
from nirgen.errors import ConfigError, NirgenError
from nirgen.files import sha256_of
from nirgen.scores import Scores

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from nirgen.dataset.read import Image
    from nirgen.detect.config import CompareConfig
    from nirgen.detect.data import Split


Ratio = float | Literal["all"]
Order = Literal["clean", "faithful"]  # scores by which the best generated images are chosen
Extra = Look | Order | Literal["zero-shot"]

PRETRAINED, REAL, GREY = "pretrained", "real", "real+grey"  # names of arms
EXTRAS: tuple[Extra, ...] = (*get_args(Look), *get_args(Order), "zero-shot")
USUAL: tuple[Extra, ...] = ("grey",)
CHOSEN: dict[Order, str] = {"clean": "of least trouble", "faithful": "with the most faithful boxes"}


@dataclass(frozen=True, slots=True)
class Arm:
    """A training set."""

    name: str  # `pretrained`, `real`, or such as `real+1x`; also of its folder
    title: str  # in tables
    images: tuple[str, ...] = ()  # sorted keys; none of `pretrained`
    real: int = 0  # number of real images
    generated: int = 0
    look: Look | None = None  # of the RGB images that stand in for the generated ones
    order: Order | None = None  # score by which its generated images were chosen

    @property
    def copies(self) -> int:
        """Number of RGB images."""
        return len(self.images) - self.real - self.generated

    @property
    def advisable(self) -> bool:
        """True if its generated images are a mix with real ones, which may be advised."""
        return self.generated > 0 and self.real > 0

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
    skipped: tuple[str, ...] = ()  # a line on each arm that can't be made

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs, arm by arm."""
        return tuple(Run(arm, seed) for arm in self.arms for seed in (self.config.seeds if arm.images else (None,)))

    def training_set(self, arm: Arm) -> Split:
        """Return the images that an arm is trained on."""
        chosen = self.train.only(arm.images)
        return chosen if arm.look is None else chosen.standing_in(arm.look)


def plan_comparison(
    dataset: Path, config: CompareConfig, ratios: Sequence[Ratio] | None = None, extras: Collection[Extra] = USUAL
) -> ComparisonPlan:
    """Read the images of a comparison, and choose its arms.

    Args:
        dataset: Output of `nirgen build-dataset`.
        config: Training, seeds, test split and bootstrap.
        ratios: Generated images for each real one, an arm each; see `make_arms`.
        extras: Further arms: see `add_arms`.
    """
    test, train = read_split(dataset, config.split).real(), read_split(dataset, config.train.split)
    refuse_without_boxes(train)
    return ComparisonPlan(config, train, test, *add_arms(train, make_arms(train, ratios), extras))


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


def add_arms(train: Split, arms: Sequence[Arm], extras: Collection[Extra]) -> tuple[tuple[Arm, ...], tuple[str, ...]]:
    """Add arms to those of `make_arms`; return all, and a line on each that can't be made.

    - `grey`, `colour`, `nir-like`: the RGB images of the arm with the most generated ones in their place (see
      `nirgen.detect.looks`);
    - `clean`, `faithful`: of all generated images, those of least trouble, or whose worst box has the highest fidelity,
      by the scores of the dataset. They are as many as in the largest arm that leaves some out, or half of all;
    - `zero-shot`: the generated images of the arm with most of them, without real ones.
    """
    largest = arms[-1]
    chosen = set(largest.images)
    generated = [image for image in train.images if image.generated]
    used = [image for image in generated if image.key in chosen]
    real = [image.key for image in train.images if not image.generated]
    found, skipped = list(arms), []
    for extra in sorted(set(extras), key=EXTRAS.index):
        if extra == "zero-shot":
            keys = tuple(image.key for image in used)
            found.append(Arm("zero-shot", "+ generated alone", keys, 0, len(keys)))
        elif extra in CHOSEN:
            order: Order = "clean" if extra == "clean" else "faithful"
            ranked = _ranked(train, generated, order)
            if isinstance(ranked, str):
                skipped.append(f"no arm '{extra}': {ranked}")
                continue
            smaller = [arm.generated for arm in arms if 0 < arm.generated < len(generated)]
            count = max(smaller, default=max(1, len(generated) // 2))
            title = f"+ real + {count / len(real):.3g} x generated {CHOSEN[extra]}"
            images = tuple(sorted([*real, *ranked[:count]]))
            found.append(Arm(f"{REAL}+{extra}", title, images, len(real), count, order=order))
        else:
            look: Look = "grey" if extra == "grey" else "colour" if extra == "colour" else "nir-like"
            if missing := copies_missing(used):
                skipped.append(f"no arm '{extra}': {missing}")
                continue
            title = f"+ real + {len(used) / len(real):.3g} x RGB in {extra.replace('nir-like', 'NIR-like grey')}"
            found.append(Arm(f"{REAL}+{extra}", title, largest.images, len(real), 0, look=look))
    return tuple(found), tuple(skipped)


def copies_missing(generated: Sequence[Image]) -> str:
    """Return why the RGB images of generated ones can't be trained on; empty if all are there, unchanged."""
    lost = [image for image in generated if image.rgb is None]
    if lost:
        name = lost[0].rgb_name or lost[0].key
        return f"{len(lost)} of {len(generated)} RGB images aren't where they were, such as {name}; put them back"
    changed = [image for image in generated if image.rgb and image.rgb_sha256 not in {None, sha256_of(image.rgb)}]
    if changed:
        return f"{len(changed)} of {len(generated)} RGB images have changed since, such as {changed[0].rgb}"
    return ""


def _ranked(train: Split, generated: Sequence[Image], order: Order) -> list[str] | str:
    """Return keys of generated images by a score, the best first; or why that can't be."""
    scores = Scores.read(train.folder)
    ranks = []
    for image in generated:
        found = scores.of(image)
        trouble = found.image["trouble"]
        fidelity = [box.fidelity for box in found.boxes if box.fidelity is not None]
        if trouble is None:
            return f"{train.folder} has no scores of all its images; 'nirgen report' computes them"
        ranks.append((trouble if order == "clean" else -min(fidelity, default=1.0), image.key))
    return [key for _, key in sorted(ranks)]


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


def parse_extras(text: str) -> tuple[Extra, ...]:
    """Parse names of further arms, separated by commas, or `none`.

    Example:
        >>> parse_extras("grey, clean"), parse_extras("none")
        (('grey', 'clean'), ())
    """
    parts = [part.strip() for part in text.split(",")]
    if parts == ["none"]:
        return ()
    if wrong := [part for part in parts if part not in EXTRAS]:
        raise ConfigError(f"arm {wrong[0]!r}: unknown; the arms are {', '.join(EXTRAS)}, or none")
    return tuple(extra for extra in EXTRAS if extra in parts)


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
