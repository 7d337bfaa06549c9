"""Weights of the networks that LPIPS, DISTS, FID and KID look through: found on this machine, never downloaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from nirgen.errors import NirgenError


@dataclass(frozen=True)
class WeightFile:
    """A published file.

    Attributes:
        name: Its name, which ends in the first eight digits of its sha256.
        network: What it is the weights of.
        fetch: A line of Python that puts it into torch's cache, on a machine with a network.
    """

    name: str
    network: str
    fetch: str

    def find(self, folder: Path | None) -> Path | None:
        """Where the file is: in a folder that the user names, or else in torch's cache.

        Raises:
            NirgenError: There is no such folder.
        """
        if folder is not None and not folder.is_dir():
            raise NirgenError(f"{folder}: no such folder; --weights names the one that holds files such as {self.name}")
        places = [Path(torch.hub.get_dir(), "checkpoints")]
        places = places if folder is None else [folder, *places]
        return next((place / self.name for place in places if (place / self.name).is_file()), None)

    @property
    def remedy(self) -> str:
        """What a table says where the file isn't found."""
        return (
            f"weights not found: put {self.name} ({self.network}) into the folder of --weights, or into torch's cache "
            f'with a network: python -c "{self.fetch}"'
        )

    def is_published(self, path: Path) -> bool:
        """Whether a file's sha256 begins with the digits in the published name."""
        digits = Path(self.name).stem.rpartition("-")[2]
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest().startswith(digits)


ALEXNET = WeightFile(
    "alexnet-owt-7be5be79.pth", "AlexNet of torchvision", "import torchvision.models as m; m.alexnet(weights='DEFAULT')"
)
VGG16 = WeightFile(
    "vgg16-397923af.pth", "VGG16 of torchvision", "import torchvision.models as m; m.vgg16(weights='DEFAULT')"
)
INCEPTION = WeightFile(
    "weights-inception-2015-12-05-6726825d.pth",
    "Inception of torch-fidelity",
    "from torchmetrics.image.fid import FrechetInceptionDistance as F; F()",
)
