"""What trained the generators, and which real images that touches.

A model's header lists the pairs that its weights have seen. A detector's validation images must not be among them: what
was translated by such a model carries what it learnt of them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nirgen.dataset.plan import PlannedImage
    from nirgen.dataset.real import RealImage
    from nirgen.dataset.training import TrainingPair


@dataclass(frozen=True)
class TrainingList:
    """The pairs that a generator was trained on.

    Attributes:
        model_id: Of the generator.
        files: The pair's name by the sha256 of each of its images.
        sequences: The first pair's name of each sequence.
    """

    model_id: str
    files: Mapping[str, str]
    sequences: Mapping[str, str]

    @classmethod
    def each_of(cls, pairs: Iterable[TrainingPair]) -> list[Self]:
        """The lists of the generators that some pairs trained."""
        files: defaultdict[str, dict[str, str]] = defaultdict(dict)
        sequences: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for pair in pairs:
            of_model, name = files[pair.model_id], pair.name or "unnamed"
            for sha256 in filter(None, (pair.rgb_sha256, pair.nir_sha256)):
                of_model.setdefault(sha256, name)
            if pair.sequence:
                sequences[pair.model_id].setdefault(pair.sequence, name)
        return [cls(model_id, of_model, sequences[model_id]) for model_id, of_model in files.items()]


class Lineage:
    """Says of a real image what of it training data has.

    Args:
        lists: Of all generators.
        images: All real images.
        generated: The generated images, whose RGB sources may be partners of real images.
    """

    def __init__(
        self, lists: Sequence[TrainingList], images: Sequence[RealImage], generated: Sequence[PlannedImage]
    ) -> None:
        self._lists = lists
        self._known = [{image.origin for image in images if self._seen_file(each, image)} for each in lists]
        sources = {image.source_sha256: image.key for image in reversed(generated) if image.source_sha256}
        self._sources: dict[str, str] = sources
        self._translated: dict[tuple[str, str], str] = {}
        for image in images:
            if image.pair and image.pair.rgb_sha256 in sources:
                for sequence in image.sequences:
                    self._translated.setdefault((image.origin, sequence), sources[image.pair.rgb_sha256])

    def file(self, image: RealImage) -> str | None:
        """What has this very image, or its RGB partner, in words; None if nothing has."""
        for each in self._lists:
            pair = self._seen_file(each, image)
            if pair is not None:
                return f"pair '{pair}' that trained {each.model_id[:12]}"
        source = self._sources.get(image.pair.rgb_sha256) if image.pair else None
        return None if source is None else f"'{source}', translated from its RGB partner"

    def sequence(self, image: RealImage) -> str | None:
        """What has another image of its recording, in words; None if nothing has."""
        for each, origins in zip(self._lists, self._known, strict=True):
            for sequence in image.sequences or _folder(image.name):
                telling = image.origin in origins or (image.sequences and any(map(str.isalpha, sequence)))
                if telling and sequence in each.sequences:
                    return f"pair '{each.sequences[sequence]}' of '{sequence}' that trained {each.model_id[:12]}"
        for sequence in image.sequences:
            if (image.origin, sequence) in self._translated:
                return f"'{self._translated[image.origin, sequence]}', translated from an RGB frame of '{sequence}'"
        return None

    @staticmethod
    def _seen_file(each: TrainingList, image: RealImage) -> str | None:
        partner = image.pair.rgb_sha256 if image.pair else None
        return each.files.get(image.file.sha256) or (each.files.get(partner) if partner else None)


def _folder(name: str) -> tuple[str, ...]:
    """What may be the recording of an image of unknown recording: its folder."""
    folder = name.rpartition("/")[0]
    return (folder,) if folder else ()
