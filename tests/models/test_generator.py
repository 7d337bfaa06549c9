from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nirgen.errors import ConfigError, ModelError, ShapeError
from nirgen.models.blocks import AttentionBlock
from nirgen.models.checkpoint import build
from nirgen.models.config import NAMED_GENERATORS, NAMED_INTERNIMAGES, GeneratorConfig, NoExtractorConfig, TimmConfig
from nirgen.models.importing import our_name, released_names

if TYPE_CHECKING:
    from nirgen.models.generator import Pix2Next


RELEASED_KEYS = Path(__file__).parents[3] / "shared" / "paper" / "released_checkpoint_keys.json"
# Of the lines "NAME SHAPE", sorted, of the 1110 tensors in the authors' checkpoints.
RELEASED_KEYS_SHA256 = {
    "released": "2d2f56e1bbde75f5a1beb16c373418b02611d044035f7018b243cb6806c55ebc",
    "released-swinv2": "ef84ca6c3413ce525cb8bb4cb2a5d28e15cd87a727e9a00975aa481f93e5bf8a",
    "released-vit": "f32a253d2ad9622f7d532c5977f340e72f762b7d10e2eb4e173676e424775aaf",
}
EXTRACTORS = {
    "none": NoExtractorConfig(),
    "pyramid": TimmConfig(name="tf_efficientnet_lite0", features="pyramid"),
    "pyramid-from-4": TimmConfig(name="convnext_atto", features="pyramid", widths=(8, 16, 24, 32)),
    **{f"internimage-{name}": make() for name, make in NAMED_INTERNIMAGES.items() if name != "large"},
    **{
        name: TimmConfig(name=name)
        for name in (
            "resnet18",
            "convnext_atto",
            "swinv2_tiny_window8_256",
            "vit_tiny_patch16_224",
            "vit_small_patch14_dinov2",
            "hiera_tiny_224",
        )
    },
}


def on_meta(config: GeneratorConfig) -> Pix2Next:
    with torch.device("meta"):
        return build(config)


def released_names_and_shapes(which: str = "released") -> dict[str, tuple[int, ...]]:
    state = on_meta(NAMED_GENERATORS[which]()).state_dict()
    names = released_names(state)
    return {names[name]: tuple(tensor.shape) for name, tensor in state.items()}


def attention_blocks(config: GeneratorConfig) -> list[str]:
    return [name for name, module in on_meta(config).named_modules() if isinstance(module, AttentionBlock)]


def test_compact_needs_at_most_8_gmac_at_256() -> None:
    generator = build(GeneratorConfig.compact()).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        generator(torch.zeros(1, 3, 256, 256))
    assert 1 < counter.get_total_flops() / 2e9 <= 8


def test_compact_takes_at_most_16_mb_in_half_precision() -> None:
    state = on_meta(GeneratorConfig.compact()).state_dict()
    header = sum(len(name) + 100 for name in state)
    assert sum(2 * tensor.numel() for tensor in state.values()) + header <= 16e6


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("paper", 306_158_337),
        ("released", 316_120_492),
        ("released-swinv2", 231_904_959),
        ("released-vit", 249_474_691),
    ],
)
def test_a_published_configuration_has_its_number_of_values(name: str, values: int) -> None:
    state = on_meta(NAMED_GENERATORS[name]()).state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == values


@pytest.mark.parametrize("which", RELEASED_KEYS_SHA256)
def test_released_has_the_names_and_shapes_of_the_authors_checkpoints(which: str) -> None:
    found = released_names_and_shapes(which)
    lines = "\n".join(f"{name} {shape}" for name, shape in sorted(found.items()))
    assert hashlib.sha256(lines.encode()).hexdigest() == RELEASED_KEYS_SHA256[which]
    assert {our_name(name) for name in found} == on_meta(NAMED_GENERATORS[which]()).state_dict().keys()


@pytest.mark.skipif(
    not RELEASED_KEYS.is_file(), reason="the list of the authors' names lies beside the repository only"
)
def test_released_has_the_names_of_the_list() -> None:
    keys = {name: tuple(shape) for name, shape in json.loads(RELEASED_KEYS.read_text()).items()}
    assert released_names_and_shapes() == keys
    assert {our_name(name) for name in keys} == on_meta(GeneratorConfig.released()).state_dict().keys()


def test_every_named_configuration_is_walked() -> None:
    assert NAMED_GENERATORS.keys() == {"paper", "released", "released-swinv2", "released-vit", "compact"}
    assert NAMED_INTERNIMAGES.keys() == {"tiny", "small", "base", "large", "released"}


@pytest.mark.parametrize("own", [(), (8,)], ids=["instead of blocks", "beside blocks"])
@torch.inference_mode()
def test_each_map_of_a_pyramid_enters_the_encoder_at_its_stride(own: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    generator = build(GeneratorConfig.compact(encoder=((), (8,), own, own, own, own))).eval()
    assert generator.pyramid == {2: 24, 4: 48, 8: 64, 16: 96, 32: 160}
    rgb = torch.rand(1, 3, 64, 96) * 2 - 1
    maps, outputs = generator.extractor(rgb), []
    for level in range(5):
        changed = [features + (place == level) for place, features in enumerate(maps)]
        generator.extractor.forward = lambda _, changed=changed: changed
        outputs.append(generator(rgb))
    del generator.extractor.forward
    plain = generator(rgb)
    assert all(not torch.allclose(output, plain, atol=1e-4) for output in outputs)


@pytest.mark.parametrize("make", NAMED_GENERATORS.values(), ids=NAMED_GENERATORS)
def test_a_second_build_is_the_same(make) -> None:
    config = make()
    before = config.model_dump_json()
    shapes = [[(name, tensor.shape) for name, tensor in on_meta(config).state_dict().items()] for _ in range(2)]
    assert shapes[0] == shapes[1]
    assert config.model_dump_json() == before


@pytest.mark.parametrize("make", NAMED_GENERATORS.values(), ids=NAMED_GENERATORS)
def test_attention_stands_where_the_configuration_says(make) -> None:
    encoder = make().encoder
    everywhere = attention_blocks(make(attention="EBD", encoder=(*encoder[:-1], encoder[-1] or (8,))))
    assert [name.split(".")[0] for name in everywhere] == ["encoder", "bottleneck", "decoder"]
    assert attention_blocks(make(attention="B")) == ["bottleneck.1.1"]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_output_has_the_channels_asked_for(channels: int, small_config: GeneratorConfig) -> None:
    generator = build(small_config.model_copy(update={"output_channels": channels}))
    assert generator(torch.zeros(2, 3, 8, 12)).shape == (2, channels, 8, 12)


def test_a_size_that_is_not_divisible_is_refused_with_the_next_one_up() -> None:
    generator = build(GeneratorConfig.compact())
    message = r"an image of 250x320 \(height x width\) .* divisible by 32; pad it to 256x320"
    with pytest.raises(ShapeError, match=message):
        generator(torch.zeros(1, 3, 250, 320))


def test_an_unknown_extractor_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="'none'"):
        GeneratorConfig.model_validate({"extractor": {"kind": "internimg"}})


def test_an_extractor_that_reads_other_channels_than_its_input_has_is_refused() -> None:
    with pytest.raises(ConfigError, match="the extractor reads 4 channels, but its input, the image, has 3"):
        GeneratorConfig.compact(extractor=TimmConfig(name="resnet18", in_channels=4))


@pytest.mark.parametrize("extractor", EXTRACTORS.values(), ids=EXTRACTORS)
def test_every_extractor_runs_forward_at_two_sizes_and_backward(extractor) -> None:
    torch.manual_seed(0)
    if getattr(extractor, "in_channels", 3) != 3:  # the released one reads the stem's features
        narrow = extractor.model_copy(update={"in_channels": 8})
        config = GeneratorConfig.compact(extractor=narrow, extractor_input="stem")
    else:
        config = GeneratorConfig.compact(extractor=extractor)
    generator = build(config)
    with torch.inference_mode():
        assert generator(torch.rand(1, 3, 256, 256) * 2 - 1).isfinite().all()
    nir = generator(torch.rand(1, 3, 192, 320) * 2 - 1)
    assert nir.shape == (1, 1, 192, 320)
    assert nir.isfinite().all()
    nir.square().mean().backward()
    gradients = {name: value.grad for name, value in generator.named_parameters() if value.grad is not None}
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert gradients["stem.weight"].abs().max() > 0
    if extractor.kind != "none":
        first = next(name for name in gradients if name.startswith("extractor."))
        assert gradients[first].abs().max() > 0


def test_maps_that_norm_groups_do_not_divide_are_an_error_of_ours() -> None:
    odd = TimmConfig(name="tf_efficientnet_lite0", features="pyramid", widths=(24, 48, 64, 97, 160))
    with pytest.raises(ModelError, match=r"generator: num_channels \(257\) must be divisible by num_groups \(8\)"):
        build(GeneratorConfig.compact(extractor=odd))
