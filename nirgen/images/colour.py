"""Colour profiles (ICC) of images, which are converted to sRGB."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

_SPACES = {"RGB": "RGB", "CMYK": "CMYK", "LAB": "LAB"}  # colour spaces of profiles, by Pillow's mode
_ALIKE = 3  # levels of 255; a profile that moves no colour by more is sRGB under another name
_UNREADABLE, _OTHER = "its colour profile can't be read, and is ignored", "its colour profile, for {}, is ignored"


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str | None]:
    """Convert an image from its profile to sRGB; return it with a note if the profile is ignored.

    The very image is returned if it has no profile, one that can't be used, or one that is sRGB's.
    """
    if not profile:
        return image, None
    mode = "RGB" if image.mode in {"RGB", "RGBA", "RGBX", "P", "PA"} else image.mode
    transform = _transform(profile, mode)
    if isinstance(transform, str) or transform is None:
        return image, transform
    if image.mode == mode:
        return ImageCms.applyTransform(image, transform) or image, None
    opacity = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    converted = ImageCms.applyTransform(image.convert("RGB"), transform)
    assert converted is not None
    if opacity is not None:
        converted.putalpha(opacity)
    return converted, None


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | str | None:
    """Return the transform from a profile, a note if there is none, or None if there is nothing to do."""
    try:
        opened = ImageCms.getOpenProfile(io.BytesIO(profile))
        space = opened.profile.xcolor_space.strip().upper()
        if space != _SPACES.get(mode):
            return _OTHER.format("grey" if space == "GRAY" else space)
        transform = ImageCms.buildTransform(
            opened,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return _UNREADABLE
    if mode == "RGB":
        steps = np.linspace(0, 255, 9).astype(np.uint8)
        colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
        moved = ImageCms.applyTransform(Image.fromarray(colours), transform)
        if np.abs(np.asarray(moved).astype(int) - colours).max() <= _ALIKE:
            return None
    return transform
