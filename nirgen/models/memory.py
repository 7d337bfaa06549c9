"""How much memory a generator takes, and how a process keeps it."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nirgen.models.config import GeneratorConfig

# What was measured of `compact` and of the released generator on a CPU lies below the count of `bytes_per_pixel` times
# this; see docs/performance.md.
_MARGIN = 1.5
# Of mallopt in glibc.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def bytes_per_pixel(config: GeneratorConfig, *, bytes_per_value: int = 4) -> int:
    """Memory that one image takes while it is translated, for each of its padded pixels.

    It counts the feature maps that are alive at once where they are most: in each group's first block, its input, the
    skip joined to it, the normalised copy and the result, beside the stem and all skips that still wait. The weights
    and what the process has loaded beside come on top.

    Args:
        config: The generator.
        bytes_per_value: 4 in float32, 2 in half precision.
    """
    stem, levels = config.stem_channels, len(config.encoder)
    channels, waiting, most = stem, 0.0, float(3 + 2 * stem)
    skips: list[float] = []
    for level, widths in enumerate(config.encoder):
        scale = 4.0**-level
        for width in widths:
            most = max(most, stem + waiting + scale * (2 * channels + 2 * width))
            channels = width
        skips.append(scale * channels)
        waiting += skips[-1]
        most = max(most, stem + waiting + scale * channels * 2)
    for level, widths in enumerate(config.decoder):
        scale = 4.0 ** (level + 1 - levels)
        skip = skips.pop()
        for position, width in enumerate(widths):
            joined = channels + (skip / scale if position == 0 else 0)
            most = max(most, stem + waiting + scale * (channels + 2 * joined + 2 * width))
            channels = width
        waiting -= skip
        if level < levels - 1:
            most = max(most, stem + waiting + scale * channels * (1 + 4 + 4))  # the folded upsampling's phases
    if config.output_block:
        most = max(most, 3 * (channels + stem) + 3 * channels)
    return int(_MARGIN * bytes_per_value * most)


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, for the next image, where the C library is glibc.

    It gives large blocks back to the system at once and asks for them anew; the system then clears them, page by page,
    which takes an eighth of the time of a small generator on a CPU. The process keeps its peak until it ends.

    Returns:
        Whether it was possible.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))
