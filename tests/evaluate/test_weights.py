from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
import torch

from nirgen.evaluate.weights import ALEXNET, INCEPTION, VGG16, WeightFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.usefixtures("_empty_cache")
def test_the_named_folder_goes_before_torchs_cache(tmp_path: Path) -> None:
    assert ALEXNET.find(tmp_path) is None
    cached = tmp_path / "hub/checkpoints" / ALEXNET.name
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert ALEXNET.find(None) == ALEXNET.find(tmp_path) == cached
    (tmp_path / ALEXNET.name).touch()
    assert ALEXNET.find(tmp_path) == tmp_path / ALEXNET.name


def test_the_names_are_those_under_which_the_libraries_keep_their_files() -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
    from torchvision.models import AlexNet_Weights, VGG16_Weights

    urls = (AlexNet_Weights.DEFAULT.url, VGG16_Weights.DEFAULT.url, URL_INCEPTION_V3)
    assert [url.rsplit("/", 1)[1] for url in urls] == [ALEXNET.name, VGG16.name, INCEPTION.name]


def test_a_published_file_is_told_by_the_digits_in_its_name(tmp_path: Path) -> None:
    digits = hashlib.sha256(b"weights").hexdigest()[:8]
    (tmp_path / "file").write_bytes(b"weights")
    assert WeightFile(f"net-{digits}.pth", "", "").is_published(tmp_path / "file")
    assert not WeightFile("net-00000000.pth", "", "").is_published(tmp_path / "file")


@pytest.mark.usefixtures("_empty_cache")
@pytest.mark.parametrize("file", [ALEXNET, VGG16, INCEPTION], ids=lambda file: file.name)
def test_the_line_that_fetches_a_file_asks_for_that_file(file: WeightFile, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(url: str, target: str, *rest: object, **options: object) -> None:
        asked.append(url)
        raise ConnectionError

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(ConnectionError):
        exec(file.fetch, {})
    assert [url.rsplit("/", 1)[1] for url in asked] == [file.name]
