"""Settings of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from nirgen.config import SPLITS, FrozenConfig
from nirgen.files import folded
from nirgen.images import Reading
from nirgen.labels.policy import BUILT_IN

# Settings that are paths of inputs: plans and datasets record the hashes of these instead.
PLACES = {"generated", "real", "policy", "curation"}


def _check_origin(name: str) -> str:
    forbidden = set('/\\:*?"<>|#\0')
    if not name or not name.isprintable() or name.startswith(".") or name.strip() != name or forbidden & set(name):
        raise ValueError(f"{name!r} can't name an input; write NAME=FOLDER with a NAME such as bdd100k")
    return name


Origin = Annotated[str, AfterValidator(_check_origin)]


class _Input(FrozenConfig):
    origin: Origin  # name in keys and folders of the dataset
    folder: Path
    labels: Path  # output of `nirgen labels`, or any file that it reads

    def moved(self, move: Callable[[Path], Path]) -> Self:
        """Return a copy with each path replaced by `move(path)`."""
        return self.model_copy(update={name: move(value) for name, value in self if isinstance(value, Path)})


class GeneratedInput(_Input):
    """A translation folder; its labels are those of the RGB sources."""

    sources: Path | None = None  # folder of the RGB sources; by default that of the translation's run.json


class RealInput(_Input):
    """A folder of images of a NIR camera."""

    pairs: Path | None = None  # list of `nirgen pairs` with splits, sequences and RGB partners of the images


class DatasetConfig(FrozenConfig):
    """Settings of a dataset."""

    generated: tuple[GeneratedInput, ...] = ()  # translation folders; their images go to train only
    real: tuple[RealInput, ...] = ()
    policy: str = "default"  # class policy, a name or a file, for labels that `nirgen labels` has not converted
    splits: Mapping[str, Annotated[float, Field(gt=0, le=1)]] | None = None  # shares for real images without a split
    split_by: Literal["sequence", "frame"] = "sequence"  # unit that a split keeps whole
    seed: int = Field(default=0, ge=0)  # of splits and sampling
    limit: int | None = Field(default=None, ge=0)  # maximum of generated images
    generated_per_real: float | None = Field(default=None, ge=0, allow_inf_nan=False)  # per real training image
    balance: Literal["class", "weather", "timeofday", "scene"] | None = None  # what sampling evens out
    include_unlabelled: bool = False  # take images without a label entry as images without objects
    allow_leak: bool = False  # build although training has seen images of validation or test
    allow_colour: bool = False  # build although real images, which should be NIR, are in colour
    near_duplicates: bool = True  # search leaks by perceptual hash, too
    damaged: Literal["fail", "keep"] = "fail"  # real images with corrupt data: left out, or kept
    alpha: Literal["blend", "ignore"] = "blend"  # fourth channels of images that are encoded anew
    white_level: int | None = Field(default=None, ge=1, le=65535)  # white of real images of over 8 bits, encoded anew
    files: Literal["hardlink", "symlink", "copy"] = "hardlink"  # hardlink copies across file systems
    # Re-encode all images in a format, with a number of (equal) channels, or keep them. None keeps them, too, unless
    # real and generated images differ: then those of most real images are taken, if PNG or JPEG.
    codec: Literal["png", "jpg", "keep"] | None = None
    channels: Literal[1, 3, "keep"] | None = None
    formats: tuple[Literal["yolo", "hf", "rfdetr"], ...] = ()  # besides COCO
    licence: str | None = None  # of the dataset; None leaves it to the parts
    curation: Path | None = None  # file of a curator's decisions

    @property
    def reading(self) -> Reading:
        """Return the choices of how real images are read."""
        return Reading(damaged=self.damaged, alpha=self.alpha, white_level=self.white_level)

    @property
    def encoding(self) -> tuple[Literal["png", "jpg"] | None, Literal[1, 3] | None]:
        """Return format and number of channels that all images are encoded in; None where they are kept."""
        return None if self.codec == "keep" else self.codec, None if self.channels == "keep" else self.channels

    @property
    def inputs(self) -> tuple[GeneratedInput | RealInput, ...]:
        """Return all inputs, generated ones first."""
        return (*self.generated, *self.real)

    def moved(self, move: Callable[[Path], Path]) -> Self:
        """Return a copy with each path replaced by `move(path)`."""
        inputs = {kind: tuple(each.moved(move) for each in getattr(self, kind)) for kind in ("generated", "real")}
        policy = self.policy if self.policy in BUILT_IN else str(move(Path(self.policy)))
        curation = None if self.curation is None else move(self.curation)
        return self.model_copy(update={**inputs, "policy": policy, "curation": curation})

    @field_validator("splits")
    @classmethod
    def _add_up(cls, shares: Mapping[str, float] | None) -> Mapping[str, float] | None:
        if shares is None:
            return None
        unknown = [name for name in shares if name not in SPLITS]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no split of a dataset; there are {', '.join(SPLITS)}")
        if abs(sum(shares.values()) - 1) > 1e-6:
            raise ValueError(f"the shares add up to {sum(shares.values()):g} and not to 1")
        return shares

    @model_validator(mode="after")
    def _need_inputs_of_their_own_names(self) -> Self:
        if not self.inputs:
            raise ValueError("a dataset needs images; give --generated with --labels, or --real with --real-labels")
        seen = set[str]()
        for each in self.inputs:
            key = folded(each.origin)
            if key in seen:
                raise ValueError(f"two inputs are named {each.origin!r}; name one of them anew with NAME=FOLDER")
            seen.add(key)
        return self

    @model_validator(mode="after")
    def _sample_to_balance(self) -> Self:
        if self.balance is not None and self.limit is None and self.generated_per_real is None:
            raise ValueError("--balance chooses images, and nothing is chosen; say how many with --limit")
        return self
