"""LPIPS, DISTS, FID and KID, and the weight files of their networks.

Weights are searched on this machine, never downloaded.
"""

from __future__ import annotations

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

from nirgen.errors import ModelError, NirgenError, one_line
from nirgen.files import sha256_of
from nirgen.models.weights import read_foreign

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class WeightFile:
    """A published weight file."""

    name: str  # ends in the first eight digits of its sha256
    network: str
    fetch: str  # a line of Python that downloads it into torch's cache

    def find(self, folder: Path | None) -> Path | None:
        """Return the path of the file in the given folder, or else in torch's cache; None if it is in neither."""
        if folder is not None and not folder.is_dir():
            raise NirgenError(f"{folder}: no such folder; --weights names the one that holds files such as {self.name}")
        places = [Path(torch.hub.get_dir(), "checkpoints")]
        places = places if folder is None else [folder, *places]
        return next((place / self.name for place in places if (place / self.name).is_file()), None)

    @property
    def remedy(self) -> str:
        """The note of a table on a missing file."""
        return (
            f"weights not found: put {self.name} ({self.network}) into the folder of --weights, or into torch's cache "
            f'with a network: python -c "{self.fetch}"'
        )

    def is_published(self, path: Path) -> bool:
        """Return True if the sha256 of a file begins with the digits in the published name."""
        return sha256_of(path).startswith(Path(self.name).stem.rpartition("-")[2])


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


class Networks:
    """The networks whose weights are in a folder or torch's cache."""

    def __init__(self, weights: Path | None, lpips: LpipsNet = "alex", device: torch.device | str = "cpu") -> None:
        self.notes: dict[str, str] = {}  # by measure: missing weights, or a caveat
        self.files: dict[str, Path] = {}  # weights in use, by measure
        self._device = torch.device(device)
        self._networks: dict[str, nn.Module] = {}  # by measure; Inception is `fid`
        with torch.random.fork_rng(devices=[]):  # networks are built with random weights first
            file = ALEXNET if lpips == "alex" else VGG16
            if (state := self._find(("lpips",), file, weights)) is not None:
                with _loading(file, state, self.files["lpips"]):
                    self._networks["lpips"] = LearnedPerceptualImagePatchSimilarity(net_type=lpips, normalize=True)
            if (state := self._find(("dists",), VGG16, weights)) is not None:
                with _loading(VGG16, state, self.files["dists"]):
                    self._networks["dists"] = DISTSNetwork()
            if (state := self._find(("fid", "kid"), INCEPTION, weights)) is not None:
                with _fitting(INCEPTION, self.files["fid"]):
                    self._networks["fid"] = _inception(state)
        for network in self._networks.values():
            network.to(self._device)

    @property
    def per_image(self) -> tuple[str, ...]:
        """The available measures of single images."""
        return tuple(name for name in self._networks if name != "fid")

    @torch.inference_mode()
    def measure(self, name: str, generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
        """Return LPIPS or DISTS, `name` being one of `per_image`, of an (H, W) uint8 image."""
        return float(self._networks[name](*(self._batch(image).float().div(255) for image in (generated, real))))

    @torch.inference_mode()
    def features(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return Inception's 2048 features of a (H, W) uint8 image."""
        features: NDArray[np.float64] = self._networks["fid"](self._batch(image))[0].double().cpu().numpy()
        return features

    def _batch(self, image: NDArray[np.uint8]) -> Tensor:
        """(H, W) -> (1, 3, H, W) uint8 of equal channels."""
        return torch.from_numpy(np.ascontiguousarray(image)).to(self._device).expand(1, 3, -1, -1)

    def _find(self, measures: tuple[str, ...], file: WeightFile, folder: Path | None) -> dict[str, Tensor] | None:
        """Return the tensors of a file; None, with a note on each of its measures, if it is missing."""
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
    """Return the Fréchet inception distance of two sets of features, (N, D) and (M, D), N and M at least 2."""
    metric = FrechetInceptionDistance(feature=_Given(real.shape[1]))
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(generated), real=False)
    return float(metric.compute())


def kid(generated: NDArray[np.float64], real: NDArray[np.float64]) -> float:
    """Return the kernel inception distance of two sets of features: over all images, or over 100 subsets of 1000."""
    count = min(len(generated), len(real))
    subsets, size = (1 if count <= KID_SUBSET else KID_SUBSETS), min(count, KID_SUBSET)
    with warnings.catch_warnings(action="ignore"):  # it warns each time that it keeps the features
        metric = KernelInceptionDistance(feature=_Given(real.shape[1]), subsets=subsets, subset_size=size)
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(generated), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return float(metric.compute()[0])


class _Given(nn.Module):
    """The feature extractor of torchmetrics where features are computed already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def _inception(state: dict[str, Tensor]) -> NoTrainInceptionV3:
    """Build Inception; torch-fidelity unpickles with `weights_only=False`, so it reads bytes written here."""
    torch.save(state, data := io.BytesIO())
    data.seek(0)
    return NoTrainInceptionV3("inception-v3-compat", ["2048"], data)  # type: ignore[arg-type]


@contextmanager
def _loading(file: WeightFile, state: dict[str, Tensor], path: Path) -> Generator[None]:
    """Put the weights, and nothing else, where torchvision looks before it downloads."""
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
    try:
        yield
    except RuntimeError as error:
        reason = one_line(error, 120)
        raise ModelError(f"{path}: not the weights of {file.network} ({reason}...); fetch it again") from error
