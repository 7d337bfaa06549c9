"""Sizes of all networks; a named constructor for each published or shipped variant."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from nirgen.config import FrozenConfig
from nirgen.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


Count = Annotated[int, Field(ge=1)]
Widths = tuple[Count, ...]


class InternImageConfig(FrozenConfig):
    """Sizes of an InternImage (Wang et al., CVPR 2023); the defaults are those of the released Pix2Next."""

    kind: Literal["internimage"] = "internimage"
    in_channels: int = Field(3, ge=1)
    width: int = Field(128, ge=8)  # channels of the first level; each further level doubles them
    depths: tuple[Count, Count, Count, Count] = (4, 4, 21, 4)
    groups: tuple[Count, Count, Count, Count] = (8, 16, 32, 64)  # groups of each level's DCNv3, with their own offsets
    mlp_ratio: float = Field(4.0, gt=0)
    offset_scale: float = 1.0
    post_norm: bool = True  # normalise after each branch (base and larger), not before it (tiny, small)
    layer_scale: float | None = 1e-5
    drop_path: float = Field(0.0, ge=0, lt=1)
    normalize: Literal["none", "imagenet"] = "none"  # `imagenet` for pretrained weights that read RGB
    weights: str | None = None  # initial weights: a file that `nirgen models import --as internimage` wrote
    classes: Count | None = None  # classes of an unused ImageNet classifier, kept so that its file round-trips

    @model_validator(mode="after")
    def _groups_divide(self) -> Self:
        for level, groups in enumerate(self.groups):
            channels = self.width * 2**level
            if channels % groups:
                raise ValueError(f"level {level} has {channels} channels, not divisible by {groups} groups")
        return self

    @property
    def condition_channels(self) -> int:
        """Channels of the last feature map."""
        return self.width * 8

    @classmethod
    def tiny(cls) -> Self:
        """InternImage-T: 64 wide, pre-norm, without layer scale."""
        sizes: dict[str, Any] = {"width": 64, "depths": (4, 4, 18, 4), "groups": (4, 8, 16, 32)}
        return cls(**sizes, post_norm=False, layer_scale=None, normalize="imagenet")

    @classmethod
    def small(cls) -> Self:
        """InternImage-S: 80 wide, post-norm, layer scale 1e-5."""
        return cls(width=80, depths=(4, 4, 21, 4), groups=(5, 10, 20, 40), normalize="imagenet")

    @classmethod
    def base(cls) -> Self:
        """InternImage-B: 112 wide, post-norm, layer scale 1e-5."""
        return cls(width=112, depths=(4, 4, 21, 4), groups=(7, 14, 28, 56), normalize="imagenet")

    @classmethod
    def large(cls) -> Self:
        """InternImage-L: 160 wide, post-norm, layer scale 1e-5, offsets doubled."""
        return cls(width=160, depths=(5, 5, 22, 5), groups=(10, 20, 40, 80), offset_scale=2.0, normalize="imagenet")

    @classmethod
    def released(cls) -> Self:
        """The released Pix2Next's: 128 wide, on the stem's 128 channels, with the classifier."""
        return cls(in_channels=128, classes=1000)


class TimmConfig(FrozenConfig):
    """A backbone of timm."""

    kind: Literal["timm"] = "timm"
    name: str
    in_channels: int = Field(3, ge=1)
    pretrained: bool = False  # initial weights from timm's cache or its hub
    weights: str | None = None  # a file of initial weights instead: .safetensors, or a .pth of tensors alone
    features: Literal["last", "pyramid"] = "last"
    """`last`: the deepest map is the condition; `pyramid`: the others also enter the encoder, each at its stride."""
    widths: Widths | None = None  # channels that 1x1 convolutions give the maps, finest first; None: as they are


class SwinConfig(FrozenConfig):
    """Sizes of a Swin Transformer V2 (Liu et al., CVPR 2022); the defaults are the Pix2Next authors' (Table 4)."""

    kind: Literal["swinv2"] = "swinv2"
    in_channels: int = Field(128, ge=1)
    width: int = Field(128, ge=1)  # channels of the first level; each further level doubles them
    depths: tuple[Count, Count, Count, Count] = (2, 2, 4, 2)
    heads: tuple[Count, Count, Count, Count] = (4, 4, 4, 4)  # of each level
    window: int = Field(8, ge=2, multiple_of=2)  # side, in pixels of a level; maps are padded to whole windows
    mlp_ratio: float = Field(4.0, gt=0)
    drop_path: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        for level, heads in enumerate(self.heads):
            if self.width * 2**level % heads:
                raise ValueError(f"level {level} has {self.width * 2**level} channels, not divisible by {heads} heads")
        return self

    @property
    def condition_channels(self) -> int:
        """Channels of the last feature map."""
        return self.width * 8


class ViTConfig(FrozenConfig):
    """Sizes of a vision transformer; the defaults are the Pix2Next authors' (Table 4)."""

    kind: Literal["vit"] = "vit"
    in_channels: int = Field(128, ge=1)
    image: int = Field(256, ge=1)  # side of its maps, to which others are resized, in pixels
    patch: int = Field(16, ge=1)  # side of a token, in pixels
    dim: int = Field(1024, ge=1)
    depth: int = Field(6, ge=1)
    heads: int = Field(8, ge=1)
    head_channels: int = Field(64, ge=1)
    hidden: int = Field(1024, ge=1)  # of the feed-forward layers
    leftovers: bool = False  # two convolutions that nothing reads, kept so that the authors' files round-trip

    @model_validator(mode="after")
    def _patches_fill(self) -> Self:
        if self.image % self.patch:
            raise ValueError(f"an image of {self.image} pixels isn't divisible into patches of {self.patch}")
        return self

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return (self.image // self.patch) ** 2


class NoExtractorConfig(FrozenConfig):
    """No extractor (Table 4, first row): the attention blocks have no cross-attention."""

    kind: Literal["none"] = "none"


NAMED_INTERNIMAGES = {
    "tiny": InternImageConfig.tiny,
    "small": InternImageConfig.small,
    "base": InternImageConfig.base,
    "large": InternImageConfig.large,
    "released": InternImageConfig.released,
}
NAMED_TRANSFORMERS: dict[str, Callable[[], SwinConfig | ViTConfig]] = {  # of the authors
    "pix2next-swinv2": SwinConfig,
    "pix2next-vit": ViTConfig,
}
ExtractorConfig = Annotated[
    InternImageConfig | TimmConfig | SwinConfig | ViTConfig | NoExtractorConfig, Field(discriminator="kind")
]


class NetworkConfig(FrozenConfig):
    """Base of the configurations of generators, whatever their kind."""

    whole_only: ClassVar[bool] = False  # images can't be translated in tiles

    @property
    def stride(self) -> int:
        """Heights and widths of inputs are multiples of this."""
        return 1

    @property
    def least_side(self) -> int:
        """Least height and width of inputs, in pixels."""
        return self.stride

    @property
    def about(self) -> str:
        """One line for cards and listings."""
        raise NotImplementedError

    @property
    def values_per_pixel(self) -> float:
        """Values alive at once in a translation, for each pixel of the image."""
        raise NotImplementedError

    def without_initial_weights(self) -> Self:
        """Return the architecture alone, without the place of initial weights."""
        return self


class GeneratorConfig(NetworkConfig):
    """Sizes of a Pix2Next generator; the defaults are Table 1 of the paper.

    Level 0, the encoder's first and the decoder's last, has the image's resolution and each further level half of it.
    A tuple lists the output channels of a level's residual blocks. The first block of each decoder level takes the
    encoder's skip; attention, where it is on, follows the first block of the coarsest level. With an extractor whose
    `features` are a `pyramid`, the first block of each encoder level also takes the map of the level's stride; a level
    without blocks is that map.
    """

    kind: ClassVar[str] = "pix2next"  # in no file: files without a kind are of this one

    stem_channels: int = Field(128, ge=1)
    encoder: tuple[Widths, ...] = Field(((128, 256, 256), (256, 512, 512), (512, 512, 512), (512,)), min_length=1)
    bottleneck: tuple[Widths, Widths, Widths] = ((512, 512, 512), (512, 512), (512, 512, 512))
    decoder: tuple[Widths, ...] = ((512, 512), (512, 256, 256), (256, 256, 256), (128, 128))
    attention: Literal["EBD", "B"] = "EBD"  # in encoder, bottleneck and decoder, or in the bottleneck alone (Table 5)
    attention_heads: int = Field(4, ge=1)
    head_merge: Literal["standard", "released"] = "standard"  # see `blocks.CrossAttention`
    norm_groups: int = Field(32, ge=1)
    output_block: bool = False  # end with a weight-standardised residual block that reads the stem's features too
    output_channels: Literal[1, 3] = 1
    extractor: ExtractorConfig = InternImageConfig()
    extractor_input: Literal["image", "stem"] = "image"

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, values: Any) -> Any:
        """Expand `compact` or `{preset: compact, attention: B}` to that generator with changes."""
        if isinstance(values, str):
            values = {"preset": values}
        if isinstance(values, dict) and values.get("kind") == cls.kind:
            values = {name: value for name, value in values.items() if name != "kind"}
        if not isinstance(values, dict) or "preset" not in values:
            return values
        changes = {name: value for name, value in values.items() if name != "preset"}
        return _named("generator", str(values["preset"]), NAMED_GENERATORS)().model_dump() | changes

    @field_validator("extractor", mode="before")
    @classmethod
    def _extractor_from_name(cls, value: Any) -> Any:
        """Expand `none`, `internimage-tiny`, `pix2next-vit` and the like, or the name of a timm backbone."""
        if not isinstance(value, str):
            return value
        if value == "none":
            return NoExtractorConfig()
        if value in NAMED_TRANSFORMERS:
            return NAMED_TRANSFORMERS[value]()
        if value.startswith("internimage"):
            named = {f"internimage-{name}": make for name, make in NAMED_INTERNIMAGES.items()}
            return _named("extractor", value, named)()
        return TimmConfig(name=value)

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        if len(self.encoder) != len(self.decoder):
            raise ValueError(f"{len(self.encoder)} encoder levels, but {len(self.decoder)} decoder levels")
        expected = self.stem_channels if self.extractor_input == "stem" else 3
        channels = getattr(self.extractor, "in_channels", expected)
        if channels != expected:
            raise ValueError(
                f"the extractor reads {channels} channels, but its input, the {self.extractor_input}, has {expected}"
            )
        return self

    @model_validator(mode="after")
    def _widths_divide(self) -> Self:
        for block, channels in self._normalised():
            if channels % self.norm_groups:
                raise ValueError(
                    f"norm_groups is {self.norm_groups}, which doesn't divide the {channels} channels at {block}"
                )
        attended = {"encoder": self.encoder[-1], "bottleneck": self.bottleneck[1], "decoder": self.decoder[0]}
        for group, widths in attended.items():
            if not widths and group[0].upper() in self.attention:
                raise ValueError(f"attention is {self.attention}, but the {group}'s level for it has no blocks")
            if widths and group[0].upper() in self.attention and widths[0] % self.attention_heads:
                raise ValueError(
                    f"attention_heads is {self.attention_heads}, which doesn't divide the {widths[0]} channels of the "
                    f"{group}'s attention"
                )
        return self

    def _normalised(self) -> Iterator[tuple[str, int]]:
        """Yield the name of each residual block and the channels of a normalisation in it, if they are known here."""
        maps = getattr(self.extractor, "features", None) == "pyramid"
        channels: int | None = self.stem_channels  # None behind a map of the extractor
        skips: list[int | None] = []
        for name in ("encoder", "bottleneck", "decoder"):
            for level, widths in enumerate(getattr(self, name)):
                skip = skips.pop() if name == "decoder" else 0
                for position, width in enumerate(widths):
                    joined = skip if position == 0 else 0
                    if channels is not None and joined is not None:
                        yield f"{name}.{level}.{position}", channels + joined
                    yield f"{name}.{level}.{position}", width
                    channels = width
                if name == "encoder":
                    channels = None if maps and level and not widths else channels
                    skips.append(channels)

    @property
    def about(self) -> str:
        """One line for cards and listings."""
        return "Pix2Next (Jin et al., *Technologies* 13(4):154, 2025)"

    @property
    def stride(self) -> int:
        """Heights and widths of inputs are multiples of this."""
        levels: int = 2 ** (len(self.encoder) - 1)
        return max(levels, 32 if self.extractor.kind in {"internimage", "swinv2"} else 1)

    def without_initial_weights(self) -> Self:
        """Return the architecture alone, without the place of the extractor's initial weights."""
        forgotten = {"weights": None, "pretrained": False}
        changes = {name: value for name, value in forgotten.items() if hasattr(self.extractor, name)}
        return self.model_copy(update={"extractor": self.extractor.model_copy(update=changes)})

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """Table 1 of the paper; the extractor reads the RGB image (Section 3.1.1)."""
        return cls(**changes)

    @classmethod
    def released(cls, **changes: Any) -> Self:
        """The authors' checkpoints: 316,120,492 values with the InternImage extractor."""
        values: dict[str, Any] = {
            "encoder": ((128, 256, 256), (256, 512, 512), (512, 512, 512), (512, 512)),
            "decoder": ((512, 512), (512, 256, 256), (256, 256, 256), (256, 128, 128)),
            "head_merge": "released",
            "output_block": True,
            "output_channels": 3,
            "extractor": InternImageConfig.released(),
            "extractor_input": "stem",
        }
        return cls(**(values | changes))

    @classmethod
    def compact(cls, **changes: Any) -> Self:
        """The embedded model: narrower, two levels deeper, with the pyramid of a pretrained EfficientNet-Lite0.

        From a quarter of the resolution on, the encoder is the pyramid: blocks of its own, learned from few pairs,
        would bind materials to the colours and the exposure of those pairs.
        """
        values: dict[str, Any] = {
            "stem_channels": 8,
            "encoder": ((), (32,), (), (), (), ()),
            "bottleneck": ((), (160,), ()),
            "decoder": ((160,), (96,), (64,), (48,), (32, 16), (16,)),
            "attention": "B",
            "norm_groups": 8,
            "extractor": TimmConfig(name="tf_efficientnet_lite0", features="pyramid", widths=(24, 48, 64, 96, 160)),
        }
        return cls(**(values | changes))


def _named(what: str, name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise ValueError(f"no {what} '{name}'{nearest(name, known)} (there are {', '.join(known)})")
    return known[name]


NAMED_GENERATORS: dict[str, Callable[[], GeneratorConfig]] = {
    "paper": GeneratorConfig.paper,
    "released": GeneratorConfig.released,
    "released-swinv2": partial(GeneratorConfig.released, extractor=SwinConfig()),
    "released-vit": partial(GeneratorConfig.released, extractor=ViTConfig(leftovers=True), norm_groups=1),
    "compact": GeneratorConfig.compact,
}


class IRFormerConfig(NetworkConfig):
    """Sizes of an IRFormer; the defaults, with 39,611 parameters, are the published ones."""

    kind: Literal["irformer"] = "irformer"
    width: int = Field(16, ge=8, multiple_of=8)
    blocks: int = Field(3, ge=1)  # of attention along rows and columns
    expansion: float = Field(2.66, ge=1)  # of the feed-forward layers
    output_channels: Literal[1, 3] = 3

    @property
    def about(self) -> str:
        """One line for cards and listings."""
        return "IRFormer (Chen et al., 2024)"

    @property
    def values_per_pixel(self) -> float:
        """Values alive at once in a translation, for each pixel of the image: those of a feed-forward layer."""
        return 3 + self.width * (2 + 8 * self.expansion)

    @property
    def least_side(self) -> int:
        """Least height and width of inputs, in pixels: those of the largest pooled window."""
        return 128


class UNetConfig(NetworkConfig):
    """Sizes of Pix2pix' U-Net; the defaults, with 54,413,955 parameters, are the published ones for 256 pixels."""

    kind: Literal["unet"] = "unet"
    filters: int = Field(64, ge=1)  # of the first level; doubled at each further one, up to eight times
    levels: int = Field(8, ge=3, le=10)  # each halves the resolution
    dropout: float = Field(0.5, ge=0, lt=1)  # at the levels of full width on the way up, but the innermost
    evaluation: Literal["as_training", "running"] = "as_training"
    """`as_training`, as published: each image's own statistics, and dropout at fixed places; `running`: the running
    statistics, and no dropout."""
    output_channels: Literal[1, 3] = 3

    @property
    def about(self) -> str:
        """One line for cards and listings."""
        return "U-Net of Pix2pix (Isola et al., CVPR 2017)"

    @property
    def stride(self) -> int:
        """Heights and widths of inputs are multiples of this."""
        return int(2**self.levels)

    @property
    def values_per_pixel(self) -> float:
        """Values alive at once in a translation, for each pixel of the image."""
        return 6 + 2 * self.filters


class ResNetConfig(NetworkConfig):
    """Sizes of a residual generator; the defaults, with 182,443,267 parameters, are Pix2pixHD's global generator."""

    kind: Literal["resnet"] = "resnet"
    filters: int = Field(64, ge=1)  # at full resolution; doubled at each further level
    levels: int = Field(4, ge=1, le=6)  # each halves the resolution
    blocks: int = Field(9, ge=1)  # at the lowest resolution
    block: Literal["residual", "internimage"] = "residual"
    norm: Literal["instance", "batch"] = "instance"
    dropout: float = Field(0.0, ge=0, lt=1)  # within the residual blocks
    evaluation: Literal["as_training", "running"] = "as_training"  # of batch norm and dropout; see `UNetConfig`
    output_channels: Literal[1, 3] = 3

    @model_validator(mode="after")
    def _groups_divide(self) -> Self:
        width = self.filters * 2**self.levels
        if self.block == "internimage" and width % 16:
            raise ValueError(f"blocks of InternImage need multiples of 16 channels, but theirs are {width}")
        return self

    @property
    def about(self) -> str:
        """One line for cards and listings."""
        blocks = "InternImage" if self.block == "internimage" else "residual"
        return f"generator of {self.blocks} {blocks} blocks, as of CycleGAN and Pix2pixHD (Wang et al., CVPR 2018)"

    @property
    def stride(self) -> int:
        """Heights and widths of inputs are multiples of this."""
        return int(2**self.levels)

    @property
    def least_side(self) -> int:
        """Least height and width of inputs, in pixels: two at the lowest resolution, whose border is mirrored."""
        return 2 * self.stride

    @property
    def values_per_pixel(self) -> float:
        """Values alive at once in a translation, for each pixel of the image."""
        return 6 + 3 * self.filters


class UNetViTConfig(NetworkConfig):
    """Sizes of UVCGAN's generator; the defaults, with 31,360,239 parameters, are the published ones."""

    kind: Literal["unet-vit"] = "unet-vit"
    widths: Annotated[Widths, Field(min_length=1, max_length=6)] = (48, 96, 192, 384)  # of the levels, finest first
    transformer_width: int = Field(384, ge=1)
    heads: int = Field(6, ge=1)
    blocks: int = Field(12, ge=1)  # of the transformer
    hidden: int = Field(1536, ge=1)  # width of its feed-forward layers
    embedding: int = Field(384, ge=1)  # of a pixel's place
    output_channels: Literal[1, 3] = 3

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.transformer_width % self.heads:
            raise ValueError(f"heads is {self.heads}, which doesn't divide transformer_width, {self.transformer_width}")
        return self

    @property
    def about(self) -> str:
        """One line for cards and listings."""
        return "U-Net with a transformer of UVCGAN (Torbunov et al., WACV 2023)"

    @property
    def stride(self) -> int:
        """Heights and widths of inputs are multiples of this."""
        return int(2 ** len(self.widths))

    @property
    def least_side(self) -> int:
        """Least height and width of inputs, in pixels: two at the lowest resolution, whose places are relative."""
        return 2 * self.stride

    @property
    def values_per_pixel(self) -> float:
        """Values alive at once in a translation, for each pixel of the image."""
        return 6 + 5 * self.widths[0]


class UNITConfig(NetworkConfig):
    """Sizes of UNIT's encoder and decoder; the defaults, with 11,140,483 parameters, are the published ones."""

    kind: Literal["unit"] = "unit"
    filters: int = Field(64, ge=1)  # at full resolution; doubled at each further level
    levels: int = Field(2, ge=1, le=6)  # each halves the resolution
    blocks: int = Field(4, ge=1)  # residual ones, of the encoder and of the decoder
    output_channels: Literal[1, 3] = 3

    @property
    def about(self) -> str:
        """One line for cards and listings."""
        return "UNIT (Liu et al., NeurIPS 2017)"

    @property
    def stride(self) -> int:
        """Heights and widths of inputs are multiples of this."""
        return int(2**self.levels)

    @property
    def least_side(self) -> int:
        """Least height and width of inputs, in pixels: two at the lowest resolution, whose border is mirrored."""
        return 2 * self.stride

    @property
    def values_per_pixel(self) -> float:
        """Values alive at once in a translation, for each pixel of the image."""
        return 6 + 7 * self.filters


class MUNITConfig(UNITConfig):
    """Sizes of MUNIT's networks; the defaults, with 15,026,187 parameters, are the published ones."""

    kind: Literal["munit"] = "munit"  # type: ignore[assignment]
    style: int = Field(8, ge=1)  # numbers of a style
    style_levels: int = Field(4, ge=1, le=6)  # convolutions of stride 2 that read it
    hidden: int = Field(256, ge=1)  # width of the two layers between a style and the decoder's normalisation
    whole_only: ClassVar[bool] = True  # an image has one style

    @property
    def about(self) -> str:
        """One line for cards and listings."""
        return "MUNIT (Huang et al., ECCV 2018)"


class BBDMConfig(NetworkConfig):
    """Sizes of a BBDM that works on pixels; the defaults are the published ones."""

    kind: Literal["bbdm"] = "bbdm"
    filters: int = Field(128, ge=32, multiple_of=32)  # at full resolution
    multipliers: Annotated[Widths, Field(min_length=1, max_length=6)] = (1, 4, 8)  # of each level's width
    blocks: int = Field(2, ge=1)  # residual blocks a level, and one more on the way up
    head_channels: int = Field(64, ge=1)  # of the attention at the lowest resolution
    conditioned: bool = True  # the network sees the RGB image beside the point of the bridge
    steps: int = Field(200, ge=3, le=1000)  # runs of the network for an image
    output_channels: Literal[3] = 3  # both ends of a bridge have equal channels
    whole_only: ClassVar[bool] = True  # noise and attention are of the whole image

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        width = self.filters * self.multipliers[-1]
        if width % self.head_channels:
            raise ValueError(f"head_channels is {self.head_channels}, which doesn't divide the {width} channels there")
        return self

    @property
    def about(self) -> str:
        """One line for cards and listings."""
        return f"Brownian bridge diffusion, BBDM (Li et al., CVPR 2023), {self.steps} steps an image"

    @property
    def stride(self) -> int:
        """Heights and widths of inputs are multiples of this."""
        return int(2 ** (len(self.multipliers) - 1))

    @property
    def values_per_pixel(self) -> float:
        """Values alive at once in a translation, for each pixel of the image: those of the last joined block."""
        return 12 + 4.0 * self.filters * sum(self.multipliers[:2])


AnyGeneratorConfig = (
    GeneratorConfig | IRFormerConfig | UNetConfig | ResNetConfig | UNetViTConfig | UNITConfig | MUNITConfig | BBDMConfig
)
GENERATORS: dict[str, type[AnyGeneratorConfig]] = {
    "pix2next": GeneratorConfig,
    "irformer": IRFormerConfig,
    "unet": UNetConfig,
    "resnet": ResNetConfig,
    "unet-vit": UNetViTConfig,
    "unit": UNITConfig,
    "munit": MUNITConfig,
    "bbdm": BBDMConfig,
}


def _of_its_kind(value: Any) -> Any:
    """Build the configuration that the `kind` of plain values names; Pix2Next's where they have none."""
    if not isinstance(value, str | dict):
        return value
    kind = str(value.get("kind", GeneratorConfig.kind)) if isinstance(value, dict) else GeneratorConfig.kind
    return _named("kind of generator", kind, GENERATORS).model_validate(value)


GeneratorOfAnyKind = Annotated[AnyGeneratorConfig, BeforeValidator(_of_its_kind)]


GanKind = Literal["vanilla", "lsgan", "hinge"]


class DiscriminatorConfig(FrozenConfig):
    """Sizes of the discriminators; the defaults are the paper's."""

    in_channels: int = Field(4, ge=1)  # RGB and NIR together: 4, or 6 for three-channel NIR
    filters: int = Field(64, ge=1)
    layers: int = Field(3, ge=1)  # convolutions of stride 2
    scales: int = Field(3, ge=1)
    norm: Literal["instance", "batch"] = "instance"  # the paper's, or the released code's
    form: Literal["pix2pixhd", "pix2pix", "munit"] = "pix2pixhd"
    """`pix2pix`: borders padded by 1 instead of 2, and no bias before batch norm; `munit`: `layers` after the first
    all of stride 2, no normalisation, and scores of single places."""
