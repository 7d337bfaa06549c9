"""What goes into a dataset, and how."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from nirgen.config import FrozenConfig
from nirgen.labels.frames import SPLITS
from nirgen.labels.policy import BUILT_IN

_FORBIDDEN = set('/\\:*?"<>|#\0')


def _check_origin(name: str) -> str:
    if not name or not name.isprintable() or name.startswith(".") or name.strip() != name or _FORBIDDEN & set(name):
        raise ValueError(f"{name!r} can't name an input; write NAME=FOLDER with a NAME such as bdd100k")
    return name


Origin = Annotated[str, AfterValidator(_check_origin)]


class _Input(FrozenConfig):
    origin: Origin
    folder: Path
    labels: Path

    def moved(self, move: Callable[[Path], Path]) -> Self:
        """The same with other paths."""
        return self.model_copy(update={name: move(value) for name, value in self if isinstance(value, Path)})


class GeneratedInput(_Input):
    """Images that `nirgen translate` wrote.

    Attributes:
        origin: Their name in keys and folders of the dataset.
        folder: The translation folder.
        labels: The labels of the RGB sources: what `nirgen labels` wrote, or any file that it reads.
        sources: The folder of the RGB sources; by default the one that `run.json` names.
    """

    sources: Path | None = None


class RealInput(_Input):
    """Images of a NIR camera.

    Attributes:
        origin: Their name in keys and folders of the dataset.
        folder: The folder of the images.
        labels: Their labels: what `nirgen labels` wrote, or any file that it reads.
        pairs: A list by `nirgen pairs`, whose NIR images these are: it tells splits, sequences and RGB partners.
    """

    pairs: Path | None = None


class DatasetConfig(FrozenConfig):
    """A dataset to be made.

    Attributes:
        generated: Translation folders; their images go to training only.
        real: Folders of real NIR images.
        policy: The class policy for labels that `nirgen labels` has not converted yet: a name, or a file.
        splits: The share of each split in the real images that have none of their own; None where all have.
        split_by: What a split keeps whole; `frame` cuts sequences.
        seed: Of the division into splits and of the sampling.
        limit: Generated images at most.
        generated_per_real: Generated images at most, for each real training image.
        balance: What sampling evens out: the boxes of the classes, or the images of each value of an attribute.
        include_unlabelled: Whether images without a label entry are taken, as images without objects.
        allow_leak: Whether to go on where training has seen what validation or test holds; the dataset's card says it.
        near_duplicates: Whether near copies are sought by perceptual hash, besides copies of equal bytes.
        files: How images come into the dataset; `hardlink` copies where the file system is another.
        codec: Encode all images anew, real and generated alike; None leaves the files as they are.
        channels: The same for the number of channels; 3 are equal copies.
        formats: What is written besides COCO.
        licence: Of the dataset, as its card states it; None derives it from the parts.
        curation: A file of a curator's decisions; None without any.
    """

    generated: tuple[GeneratedInput, ...] = ()
    real: tuple[RealInput, ...] = ()
    policy: str = "default"
    splits: Mapping[str, Annotated[float, Field(gt=0, le=1)]] | None = None
    split_by: Literal["sequence", "frame"] = "sequence"
    seed: int = Field(default=0, ge=0)
    limit: int | None = Field(default=None, ge=0)
    generated_per_real: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    balance: Literal["class", "weather", "timeofday", "scene"] | None = None
    include_unlabelled: bool = False
    allow_leak: bool = False
    near_duplicates: bool = True
    files: Literal["hardlink", "symlink", "copy"] = "hardlink"
    codec: Literal["png", "jpg"] | None = None
    channels: Literal[1, 3] | None = None
    formats: tuple[Literal["yolo", "hf", "rfdetr"], ...] = ()
    licence: str | None = None
    curation: Path | None = None

    def moved(self, move: Callable[[Path], Path]) -> Self:
        """The same with other paths.

        Args:
            move: Gives each path its new place.
        """
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
        inputs: list[_Input] = [*self.generated, *self.real]
        if not inputs:
            raise ValueError("a dataset needs images; give --generated with --labels, or --real with --real-labels")
        seen = set[str]()
        for each in inputs:
            folded = unicodedata.normalize("NFC", each.origin).casefold()
            if folded in seen:
                raise ValueError(f"two inputs are named {each.origin!r}; name one of them anew with NAME=FOLDER")
            seen.add(folded)
        return self

    @model_validator(mode="after")
    def _sample_to_balance(self) -> Self:
        if self.balance is not None and self.limit is None and self.generated_per_real is None:
            raise ValueError("--balance chooses images, and nothing is chosen; say how many with --limit")
        return self
