"""What a reader of a plan should know besides its counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from nirgen.dataset.inputs import Inputs
    from nirgen.dataset.plan import PlannedImage


def note(inputs: Inputs, images: Sequence[PlannedImage], rgb: Collection[str]) -> Iterator[str]:
    """Say what isn't as one may expect, one line each, without absolute paths.

    Args:
        inputs: All that was read.
        images: The images of the dataset.
        rgb: The keys of those whose RGB file is known and there.
    """
    judging = [image for image in images if image.split != "train"]
    if not inputs.config.real:
        yield "there are no real images: everything is in train, and nothing judges a detector"
    elif not judging:
        yield "no image is in val or test: nothing judges a detector"
    policies = sorted({file.policy for file in inputs.labels})
    if len(policies) > 1:
        yield f"labels were made by several policies: {', '.join(policies)}"
    for matched in inputs.matched:
        if matched.name:
            yield f"{matched.origin}: {matched.name} image(s) found labels by name alone, in folders that differ"
    if judging:
        yield from _unknown_lineage(inputs)
        if inputs.config.near_duplicates:
            yield from _uncompared(images, rgb)


def _unknown_lineage(inputs: Inputs) -> Iterator[str]:
    for translation in inputs.translations:
        if not translation.training:
            generator = translation.generator
            name = generator.model_id[:12]
            yield f"{generator.origin}: its generator {name} has no list of what trained it: leaks by it can't be told"


def _uncompared(images: Sequence[PlannedImage], rgb: Collection[str]) -> Iterator[str]:
    """Of images whose RGB side couldn't be compared with that of others."""
    for origin in sorted({image.origin for image in images}):
        ours = [image for image in images if image.origin == origin]
        sought = [image for image in ours if image.kind == "generated" or image.split != "train"]
        gone = sum(image.key not in rgb for image in sought)
        if gone:
            what = "RGB sources aren't there" if ours[0].kind == "generated" else "have no RGB partner that is there"
            remedy = "--sources" if ours[0].kind == "generated" else "--real-pairs"
            yield f"{origin}: {gone} of {len(sought)} {what} ({remedy}): they weren't compared with other RGB images"
