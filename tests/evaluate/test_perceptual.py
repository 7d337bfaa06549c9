from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import piq
import pytest
import torch
import torchvision
from sklearn.datasets import load_sample_images
from torchmetrics.functional.image import dists as torchmetrics_dists
from torchmetrics.functional.image import lpips as torchmetrics_lpips
from torchmetrics.image.fid import NoTrainInceptionV3

from nirgen.errors import ModelError, NirgenError
from nirgen.evaluate import perceptual
from nirgen.evaluate.perceptual import ALEXNET, INCEPTION, VGG16, Networks, WeightFile


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


CHINA, FLOWER = (np.ascontiguousarray(photo[100:196, 200:328]) for photo in load_sample_images().images)
GENERATED, REAL = CHINA[..., 1], CHINA[..., 0]


@pytest.fixture(scope="module")
def networks(weights: Path) -> Networks:
    return Networks(weights, "vgg")


@pytest.fixture(scope="module")
def vgg(weights: Path) -> torch.nn.Module:
    with torch.device("meta"):
        network = torchvision.models.vgg16()
    network.load_state_dict(torch.load(weights / VGG16.name, weights_only=True), assign=True)
    return network.eval()


def batch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.repeat(image[None, None], 3, axis=1)).float() / 255


def test_lpips_is_that_of_piq_with_the_same_weights(
    networks: Networks, vgg: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(torchmetrics_lpips.__file__).parent / "lpips_models/vgg.pth"
    heads = torch.load(file, map_location="cpu", weights_only=True)
    monkeypatch.setattr(piq.perceptual, "vgg16", lambda **_: vgg)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: list(heads.values()))
    expected = float(piq.LPIPS()(batch(GENERATED), batch(REAL)))
    assert expected > 0.001
    assert networks.measure("lpips", GENERATED, REAL) == pytest.approx(expected, abs=1e-4)


def test_dists_is_that_of_piq_with_the_same_weights(
    networks: Networks, vgg: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = torch.load(torchmetrics_dists._PATH_WEIGHT_DISTS, weights_only=True)
    monkeypatch.setattr(piq.perceptual, "vgg16", lambda **_: vgg)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: shares)
    expected = float(piq.DISTS()(batch(GENERATED), batch(REAL)))
    assert expected > 0.001
    assert networks.measure("dists", GENERATED, REAL) == pytest.approx(expected, abs=1e-4)


def test_equal_images_are_at_no_distance(networks: Networks) -> None:
    assert networks.per_image == ("lpips", "dists")
    for name in networks.per_image:
        assert networks.measure(name, REAL, REAL) == pytest.approx(0, abs=1e-6)


def test_lpips_looks_through_alexnet_unless_told_otherwise(weights: Path) -> None:
    alexnet = torchmetrics_lpips._NoTrainLpips(net="alex", pnet_rand=True)
    state = torch.load(weights / ALEXNET.name, weights_only=True)
    features = {name.removeprefix("features."): value for name, value in state.items() if name.startswith("features.")}
    slices = (alexnet.net.slice1, alexnet.net.slice2, alexnet.net.slice3, alexnet.net.slice4, alexnet.net.slice5)
    for part in slices:
        own = {name: features[name] for name in part.state_dict()}
        part.load_state_dict(own)
    expected = float(alexnet(batch(GENERATED), batch(REAL), normalize=True))
    assert Networks(weights).measure("lpips", GENERATED, REAL) == pytest.approx(expected, abs=1e-6)


def test_features_are_those_that_torchmetrics_sees(networks: Networks, weights: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        inception = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(weights / INCEPTION.name))
    image = torch.from_numpy(np.repeat(REAL[None, None], 3, axis=1))
    assert networks.features(REAL).shape == (2048,)
    np.testing.assert_allclose(networks.features(REAL), inception(image)[0].numpy(), atol=1e-5)
    assert not np.allclose(networks.features(REAL), networks.features(GENERATED), atol=1e-3)


def test_fid_of_two_values_is_the_squared_distance_of_means_and_deviations() -> None:
    # means 1 and 4, standard deviations sqrt(2) and 2 sqrt(2)
    generated, real = np.array([[0.0], [2.0]]), np.array([[2.0], [6.0]])
    assert perceptual.fid(generated, real) == pytest.approx((4 - 1) ** 2 + 2)


def test_kid_of_two_values_is_the_unbiased_discrepancy() -> None:
    # k(x, y) = (x y + 1)^3: within (0, 1) and (0, 2) it is 1 and 1; between them 1, 1, 1, 27, whose mean is 7.5
    assert perceptual.kid(np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]])) == pytest.approx(1 + 1 - 2 * 7.5)


def test_fid_and_kid_are_those_of_piq() -> None:
    random = np.random.default_rng(0)
    real, generated = random.normal(size=(40, 8)), random.normal(0.3, 1.5, size=(40, 8))
    tensors = torch.from_numpy(generated), torch.from_numpy(real)
    assert perceptual.fid(generated, real) == pytest.approx(float(piq.FID().compute_metric(*tensors)), abs=1e-4)
    expected = float(piq.KID(subset_size=40, n_subsets=1).compute_metric(*tensors))
    assert perceptual.kid(generated, real) == pytest.approx(expected, abs=1e-4)


def test_the_same_features_give_the_same_kid_and_leave_the_callers_randomness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "KID_SUBSET", 30)
    random = np.random.default_rng(0)
    real, generated = random.normal(size=(40, 4)), random.normal(0.3, 1.5, size=(40, 4))
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    assert perceptual.kid(generated, real) == perceptual.kid(generated, real)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.usefixtures("_empty_cache")
def test_without_weights_every_measure_says_which_file_to_put_where() -> None:
    networks = Networks(None)
    assert (networks.per_image, networks.files) == ((), {})
    assert {name: note.split(" (")[0] for name, note in networks.notes.items()} == {
        "lpips": "weights not found: put alexnet-owt-7be5be79.pth",
        "dists": "weights not found: put vgg16-397923af.pth",
        "fid": "weights not found: put weights-inception-2015-12-05-6726825d.pth",
        "kid": "weights not found: put weights-inception-2015-12-05-6726825d.pth",
    }


def test_weights_that_are_not_the_published_ones_are_noted(networks: Networks) -> None:
    assert networks.notes["dists"] == (
        "by weights that are not the published ones: the sha256 of vgg16-397923af.pth is another"
    )
    assert networks.files["dists"].name == VGG16.name


@pytest.mark.usefixtures("_empty_cache")
def test_weights_of_another_network_are_one_line(tmp_path: Path, weights: Path) -> None:
    (tmp_path / ALEXNET.name).write_bytes((weights / INCEPTION.name).read_bytes())
    with pytest.raises(ModelError, match=r"alexnet-owt-7be5be79\.pth: not the weights of AlexNet") as caught:
        Networks(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("_empty_cache")
@pytest.mark.parametrize("file", [ALEXNET, VGG16, INCEPTION])
def test_code_in_a_weight_file_is_never_run(tmp_path: Path, file) -> None:
    torch.save({"a": Path("a")}, tmp_path / file.name)  # anything but tensors
    with pytest.raises(ModelError, match="holds more than tensors"):
        Networks(tmp_path)


def test_a_folder_of_weights_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match="nowhere: no such folder; --weights names"):
        Networks(tmp_path / "nowhere")
