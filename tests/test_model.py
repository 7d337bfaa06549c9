from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from nirgen.errors import ConfigError, ImageError, ModelError, ShapeError
from nirgen.model import NirModel, bytes_per_pixel, load_model
from nirgen.models.checkpoint import build, load, save
from nirgen.models.config import GeneratorConfig

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.translate.items import Translator


@pytest.fixture
def path(tmp_path: Path, small_config: GeneratorConfig) -> Path:
    torch.manual_seed(0)
    training = {"steps": 3, "pairs": [{"name": "a", "nir_sha256": "0"}]}
    save(tmp_path / "m.safetensors", build(small_config).state_dict(), small_config, training=training)
    return tmp_path / "m.safetensors"


@pytest.fixture
def model(path: Path) -> NirModel:
    return load_model(path, device="cpu")


def batch(*photos: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2)


def test_a_model_is_a_translator(model: NirModel) -> None:
    translator: Translator = model
    assert len(translator.id) == 64
    assert translator.stride == 32
    assert translator.header["architecture"]["stem_channels"] == 8


def test_what_trained_a_model_goes_with_it(model: NirModel) -> None:
    assert model.header["training"] == {"steps": 3, "pairs": [{"name": "a", "nir_sha256": "0"}]}
    assert model.training_pairs == [{"name": "a", "nir_sha256": "0"}]


def test_the_bytes_do_not_depend_on_the_batch(model: NirModel, photo) -> None:
    photos = [photo(32, 64, seed) for seed in range(3)]
    together = model.translate(batch(*photos), [(32, 64)] * 3)
    assert (together.shape, together.dtype) == ((3, 1, 32, 64), torch.float32)
    for position, image in enumerate(photos):
        assert torch.equal(model.translate(batch(image), [(32, 64)])[0], together[position])


def test_intensities_are_clamped_to_0_and_1(model: NirModel) -> None:
    with torch.no_grad():
        model.generator.output.bias.fill_(5.0)
    assert model.translate(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), [(32, 32)]).unique().tolist() == [1.0]
    with torch.no_grad():
        model.generator.output.bias.fill_(-5.0)
    assert model.translate(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), [(32, 32)]).unique().tolist() == [0.0]


def test_one_image_is_the_translation_of_its_padded_batch(model: NirModel, photo) -> None:
    rgb = photo(20, 50)
    padded = np.pad(rgb, ((0, 12), (0, 14), (0, 0)), mode="reflect")
    expected = model.translate(batch(padded), [(20, 50)])[0, 0, :20, :50]
    assert np.array_equal(model(rgb), (expected * 255).round().byte().numpy())


def test_pil_in_pil_out(model: NirModel, photo) -> None:
    rgb = photo(20, 50)
    nir = model(Image.fromarray(rgb))
    assert (nir.mode, nir.size) == ("L", (50, 20))
    assert np.array_equal(np.asarray(nir), model(rgb))


def test_a_pil_image_is_turned_upright_first(model: NirModel, photo) -> None:
    image = Image.fromarray(photo(20, 50))
    image.getexif()[274] = 6  # turn by 90 degrees
    assert model(image).size == (20, 50)


@pytest.mark.parametrize("size", [(1, 1), (1, 33), (40, 1)])
def test_the_smallest_images_keep_their_size(model: NirModel, photo, size: tuple[int, int]) -> None:
    assert model(photo(*size)).shape == size


def test_three_channels_become_one(tmp_path: Path, small_config: GeneratorConfig, photo) -> None:
    config = small_config.model_copy(update={"output_channels": 3})
    save(tmp_path / "m.safetensors", build(config).state_dict(), config)
    model = load_model(tmp_path / "m.safetensors", device="cpu")
    assert model.translate(batch(photo(32, 32)), [(32, 32)]).shape == (1, 3, 32, 32)
    assert model(photo(32, 32)).shape == (32, 32)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)]
)
def test_an_array_that_is_no_rgb_image_is_refused(model: NirModel, array: np.ndarray) -> None:
    with pytest.raises(
        ShapeError, match=r"an array of shape \(.*\) and type \w+; give \(height, width, 3\) uint8 sRGB"
    ):
        model(array)


def test_a_path_is_no_image(model: NirModel) -> None:
    with pytest.raises(ShapeError, match=r"an image of type str; give a PIL image, such as Image\.open"):
        model("photo.jpg")  # type: ignore[call-overload]


def test_sizes_that_do_not_pair_with_images_are_refused(model: NirModel, photo) -> None:
    with pytest.raises(ShapeError, match="1 images, but 2 sizes"):
        model.translate(batch(photo(32, 32)), [(32, 32), (32, 32)])


@pytest.mark.parametrize("device", ["cpux", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(path: Path, device: str) -> None:
    with pytest.raises(ConfigError, match=f"device '{device}' can't be used .*'nirgen doctor'") as caught:
        load_model(path, device=device)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ModelError, match=r"no model 'compactest'.*else the path of a"):
        load_model("compactest")


def test_a_damaged_file_that_pillow_opened_lazily_is_an_image_error(model: NirModel, save, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", 64, 64)
    path.write_bytes(path.read_bytes()[:-2000])
    with Image.open(path) as image, pytest.raises(ImageError, match=r"'image' is damaged \(.*truncated.*\); copy it"):
        model(image)


def test_a_mode_that_can_not_be_converted_is_an_image_error(model: NirModel) -> None:
    with pytest.raises(ImageError, match="'image' is La, which can't be converted; save it as sRGB"):
        model(Image.new("La", (8, 8)))


def test_an_image_without_pixels_is_refused(model: NirModel) -> None:
    with pytest.raises(ImageError, match=r"'image' has no pixels \(0x8\)"):
        model(Image.new("RGB", (0, 8)))
    with pytest.raises(ShapeError, match=r"an array of shape \(0, 8, 3\)"):
        model(np.zeros((0, 8, 3), np.uint8))


def test_what_is_on_the_device_stays_there_and_is_the_same(model: NirModel, photo) -> None:
    rgb, sizes = batch(photo(32, 64), photo(32, 64, 1)), [(32, 64)] * 2
    nir = model.translate_on_device(rgb.contiguous(memory_format=torch.channels_last), sizes)
    assert (nir.dtype, nir.device.type) == (torch.float32, "cpu")
    assert torch.equal(model.translate(rgb, sizes), nir)


def test_a_models_weights_and_id_are_the_files_whatever_computes(model: NirModel, path: Path) -> None:
    generator, header = load(path)
    assert model.id == header["model_id"]
    expected = generator.state_dict()
    assert list(model.generator.state_dict()) == list(expected)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.generator.state_dict().items())


def test_a_translation_is_the_generators_own_to_1e_4(model: NirModel, path: Path, photo) -> None:
    generator, _ = load(path)
    rgb = batch(photo(64, 96))
    with torch.inference_mode():
        expected = (generator(rgb.float() / 127.5 - 1) / 2 + 0.5).clamp(0, 1)
    assert torch.allclose(model.translate(rgb, [(64, 96)]), expected, atol=1e-4)


def test_half_precision_is_a_choice_that_the_model_tells(path: Path, photo) -> None:
    half, whole = (load_model(path, device="cpu", precision=name) for name in ("bf16", "fp32"))
    assert (half.precision, whole.precision) == ("bf16", "fp32")
    assert half.describe() == {
        "model_id": whole.id,
        "device": "cpu",
        "precision": "bf16",
        "stride": 32,
        "bytes_per_pixel": half.bytes_per_pixel,
    }
    rgb = batch(photo(32, 32))
    found, expected = (model.translate(rgb, [(32, 32)]) for model in (half, whole))
    assert found.dtype == torch.float32
    assert 0 < (found - expected).abs().mean() < 0.02


def test_an_unknown_precision_is_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match="precision is 'int8'"):
        load_model(path, device="cpu", precision="int8")


PEAK_OF_AN_IMAGE = """
import re, torch
from pathlib import Path
from nirgen.model import load_model
model = load_model("compact", device="cpu")
def peak():
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
model.translate(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), [(32, 32)])
before = peak()
model.translate(torch.zeros(1, 3, 640, 640, dtype=torch.uint8), [(640, 640)])
print((peak() - before) / 640**2, model.bytes_per_pixel)
"""
KEEP = """
import resource
import numpy as np
from nirgen.devices import keep_freed_memory
print(keep_freed_memory())
np.ones(10_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(10_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process its peak")
def test_an_image_takes_no_more_memory_than_is_said_and_half_as_much_at_least() -> None:
    threads = os.environ | {"OMP_NUM_THREADS": "2"}  # one thread takes an eighth more
    done = subprocess.run(
        [sys.executable, "-c", PEAK_OF_AN_IMAGE], capture_output=True, text=True, check=True, env=threads
    )
    taken, said = map(float, done.stdout.split())
    assert said / 2 < taken < said


def test_maps_of_a_pyramid_count() -> None:
    compact = GeneratorConfig.compact()
    more = bytes_per_pixel(compact, pyramid={2: 16, 4: 32}) - bytes_per_pixel(compact)
    assert more == 1.75 * 4 * (16 / 4 + 32 / 16)


def test_half_precision_halves_it_and_wider_generators_take_more() -> None:
    compact, released = GeneratorConfig.compact(), GeneratorConfig.released()
    assert bytes_per_pixel(compact, bytes_per_value=2) == bytes_per_pixel(compact) // 2
    assert bytes_per_pixel(released) > 10 * bytes_per_pixel(compact)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is asked")
def test_a_process_that_keeps_freed_memory_asks_the_system_once() -> None:
    done = subprocess.run([sys.executable, "-c", KEEP], capture_output=True, text=True, check=True)
    possible, faults = done.stdout.split()
    if possible == "False":
        pytest.skip("another C library than glibc")
    assert int(faults) < 20_000  # each of the 20 arrays has 20,000 pages
