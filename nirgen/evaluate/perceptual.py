"""LPIPS, DISTS, FID and KID, and the weight files of their networks.

Weights are searched on this machine and never downloaded.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import nn
from torchmetrics.functional.image.dists import DISTSNetwork
from torchmetrics.image.fid import FrechetInceptionDistance, NoTrainInceptionV3
from torchmetrics.image.kid import KernelInceptionDistance
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from nirgen.errors import ModelError, NirgenError
from nirgen.models.weights import read_foreign

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray
    from torch import Tensor


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


LpipsNet = Literal["alex", "vgg"]
KID_SUBSET = 1000
KID_SUBSETS = 100
FEW_FOR_FID = 2049
"""With fewer images the covariance of 2048 features can't be of full rank."""


class Networks:
    """The networks whose weights are on this machine.

    Args:
        weights: A folder of weight files, looked into before torch's cache.
        lpips: Which network LPIPS looks through.
        device: Where they run.

    Attributes:
        notes: By measure, why it has no values, or what is to be known of them.
        files: By measure, the path of the weights in use.

    Raises:
        NirgenError: `weights` is no folder.
        ModelError: A file can't be read, or holds another network.
    """

    def __init__(self, weights: Path | None, lpips: LpipsNet = "alex", device: torch.device | str = "cpu") -> None:
        self.notes: dict[str, str] = {}
        self.files: dict[str, Path] = {}
        self._device = torch.device(device)
        self._lpips = self._dists = self._inception = None
        with torch.random.fork_rng(devices=[]):  # networks are built with random weights first
            file = ALEXNET if lpips == "alex" else VGG16
            if (state := self._find(("lpips",), file, weights)) is not None:
                with _loading(file, state, self.files["lpips"]):
                    metric = LearnedPerceptualImagePatchSimilarity(net_type=lpips, normalize=True)
                self._lpips = metric.to(self._device)
            if (state := self._find(("dists",), VGG16, weights)) is not None:
                with _loading(VGG16, state, self.files["dists"]):
                    self._dists = DISTSNetwork().to(self._device)
            if (state := self._find(("fid", "kid"), INCEPTION, weights)) is not None:
                with _fitting(INCEPTION, self.files["fid"]):
                    self._inception = _inception(state).to(self._device)

    @property
    def per_image(self) -> tuple[str, ...]:
        """The measures that it has of single images."""
        there = {"lpips": self._lpips, "dists": self._dists}
        return tuple(name for name, network in there.items() if network is not None)

    @property
    def sees_features(self) -> bool:
        """Whether FID and KID can be had."""
        return self._inception is not None

    @torch.inference_mode()
    def measure(self, name: str, generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
        """LPIPS or DISTS of one image.

        Args:
            name: One of `per_image`.
            generated: (H, W) uint8.
            real: The same shape.
        """
        batches = [self._batch(image).float().div(255) for image in (generated, real)]
        if name == "lpips":
            assert self._lpips is not None
            return float(self._lpips(*batches))
        assert self._dists is not None
        return float(self._dists(*batches))

    @torch.inference_mode()
    def features(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Inception's 2048 features of a (H, W) uint8 image."""
        assert self._inception is not None
        features: NDArray[np.float64] = self._inception(self._batch(image))[0].double().cpu().numpy()
        return features

    def _batch(self, image: NDArray[np.uint8]) -> Tensor:
        """(H, W) -> (1, 3, H, W) uint8, the channels being equal."""
        return torch.from_numpy(np.ascontiguousarray(image)).to(self._device).expand(1, 3, -1, -1)

    def _find(self, measures: tuple[str, ...], file: WeightFile, folder: Path | None) -> dict[str, Tensor] | None:
        """The tensors of a file, or a note for each measure that goes without."""
        path = file.find(folder)
        if path is None:
            self.notes |= dict.fromkeys(measures, file.remedy)
            return None
        self.files |= dict.fromkeys(measures, path)
        if not file.is_published(path):
            note = f"by weights that are not the published ones: the sha256 of {path.name} is another"
            self.notes |= dict.fromkeys(measures, note)
        return read_foreign(path)


def fid(generated: NDArray[np.float64], real: NDArray[np.float64]) -> float:
    """Fréchet inception distance of two sets of features.

    Args:
        generated: (N, D) float64, N at least 2.
        real: (M, D) float64, M at least 2.
    """
    metric = FrechetInceptionDistance(feature=_Given(real.shape[1]))
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(generated), real=False)
    return float(metric.compute())


def kid(generated: NDArray[np.float64], real: NDArray[np.float64]) -> float:
    """Kernel inception distance of two sets of features: over all images at once, or over 100 subsets of 1000.

    Args:
        generated: (N, D) float64, N at least 2.
        real: (M, D) float64, M at least 2.
    """
    count = min(len(generated), len(real))
    with warnings.catch_warnings(action="ignore"):  # it warns each time that it keeps the features
        metric = KernelInceptionDistance(
            feature=_Given(real.shape[1]),
            subsets=1 if count <= KID_SUBSET else KID_SUBSETS,
            subset_size=min(count, KID_SUBSET),
        )
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(generated), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return float(metric.compute()[0])


class _Given(nn.Module):
    """Stands where torchmetrics has its feature extractor, when the features are there already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def _inception(state: dict[str, Tensor]) -> NoTrainInceptionV3:
    """Inception of given weights; torch-fidelity unpickles with `weights_only=False`, so it gets our own bytes."""
    data = io.BytesIO()
    torch.save(state, data)
    data.seek(0)
    return NoTrainInceptionV3("inception-v3-compat", ["2048"], data)  # type: ignore[arg-type]


@contextmanager
def _loading(file: WeightFile, state: dict[str, Tensor], path: Path) -> Generator[None]:
    """Let torchvision find the weights, and nothing else, where it looks before it downloads."""
    before = torch.hub.get_dir()
    with TemporaryDirectory(prefix="nirgen-") as folder, _fitting(file, path):
        checkpoints = Path(folder, "checkpoints")
        checkpoints.mkdir()
        torch.save(state, checkpoints / file.name)
        torch.hub.set_dir(folder)
        try:
            yield
        finally:
            torch.hub.set_dir(before)


@contextmanager
def _fitting(file: WeightFile, path: Path) -> Generator[None]:
    """Turn tensors that don't fit into one line."""
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:120]
        raise ModelError(f"{path}: not the weights of {file.network} ({reason}...); fetch it again") from error
