"""Format and channels of all images of a dataset, chosen where real and generated images differ.

A detector can tell real from generated images by compression or channels alone, if these differ.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from nirgen.dataset.entries import name_targets

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from nirgen.dataset.config import DatasetConfig

    Form = tuple[str, int]  # codec and number of channels, as stored


_ENCODED = {"PNG", "JPEG", "TIFF"}  # codecs that an image can be encoded in by its own ending


def choose_encoding(config: DatasetConfig, forms: Mapping[str, Counter[Form]]) -> tuple[DatasetConfig, str | None]:
    """Return settings that say how images are encoded, and a note if that was chosen here.

    Args:
        config: Settings; a codec or a number of channels that they name stays.
        forms: Number of images by form, of the kinds `real` and `generated`.
    """
    real, made = forms["real"], forms["generated"]
    meet = bool(real and made)
    codec: Literal["png", "jpg", "keep"] = config.codec or "keep"
    channels: Literal[1, 3, "keep"] = config.channels or "keep"
    if meet and config.channels is None and {each for _, each in real} != {each for _, each in made}:
        channels = 1 if sum(n for (_, each), n in real.items() if each == 1) * 2 > real.total() else 3
    if meet and config.codec is None:
        codecs = {each for each, _ in real}, {each for each, _ in made}
        if codecs[0] != codecs[1] or (channels != "keep" and not codecs[0] | codecs[1] <= _ENCODED):
            jpegs = sum(n for (each, _), n in real.items() if each == "JPEG")
            codec = "jpg" if jpegs * 2 > real.total() else "png"
    chosen: list[str] = [codec] if config.codec is None and codec != "keep" else []
    chosen += [f"{channels} channel{'s' * (channels != 1)}"] if config.channels is None and channels != "keep" else []
    note = (
        f"real and generated images differ, so all are encoded as most real ones are: {', '.join(chosen)} (--codec, "
        "--channels; keep leaves them as they are)"
        if chosen
        else None
    )
    return config.model_copy(update={"codec": codec, "channels": channels}), note


def name_encoded(images: Sequence[Any], codec: Literal["png", "jpg"] | None) -> list[Any]:
    """Return the images of one input with the names that they have once they are encoded."""
    if codec is None or not images:
        return list(images)
    origin = images[0].origin
    names = [image.target.removeprefix(f"images/{origin}/") for image in images]
    return [
        replace(image, target=target) for image, target in zip(images, name_targets(origin, names, codec), strict=True)
    ]
