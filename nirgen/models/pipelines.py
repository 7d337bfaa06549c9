"""Image-to-image pipelines of diffusers in a folder, such as Stable Diffusion with a LoRA, or InstructPix2Pix.

`FOLDER/nirgen.yaml` may hold a `PipelineConfig`.
"""

from __future__ import annotations

import hashlib
import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from pydantic import Field

from nirgen.config import FrozenConfig, read_yaml
from nirgen.errors import ConfigError, ModelError, ShapeError, first_line
from nirgen.files import read_json, sha256_of
from nirgen.models.foreign_network import ForeignNetwork

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


SETTINGS = "nirgen.yaml"
_INDEX = "model_index.json"
_LIBRARIES = frozenset({None, "diffusers", "transformers", "stable_diffusion"})  # others are modules of the system
_STRIDE = 8  # as of all latent diffusion models
_TRIED = (64, 64)


class PipelineConfig(FrozenConfig):
    """Settings of a pipeline; those that it doesn't take are left out."""

    prompt: str = "a near-infrared photograph"
    negative_prompt: str = ""
    strength: float = Field(0.5, gt=0, le=1)  # share of the noise that an image-to-image pipeline adds
    steps: int = Field(20, ge=1, le=1000)  # of the sampler
    guidance: float | None = Field(None, ge=0)  # classifier-free guidance by the prompt; None: the pipeline's own
    image_guidance: float | None = Field(None, ge=0)  # of InstructPix2Pix, by the photo
    lora: str | None = None  # file of LoRA weights in the folder, `.safetensors`
    seed: int = Field(0, ge=0, lt=2**32)
    licence: str = "unknown"

    def arguments(self) -> dict[str, Any]:
        """Return the settings by the names that pipelines have for them."""
        values = {
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt or None,
            "strength": self.strength,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
            "image_guidance_scale": self.image_guidance,
        }
        return {name: value for name, value in values.items() if value is not None}


class PipelineNetwork(ForeignNetwork):
    """A pipeline; its noise is seeded by the image, so that the same image gives the same bytes.

    Args:
        folder: Folder that `save_pretrained` of a pipeline wrote, with weights as safetensors.
        device: Device of the pipeline.

    Raises:
        ModelError: The folder has no pipeline, or one of other libraries than diffusers and transformers.
        ConfigError: `nirgen.yaml` can't be used.
    """

    stride = _STRIDE

    def __init__(self, folder: Path, device: str) -> None:
        self._folder, self._device = folder, device
        try:
            index = read_json(folder / _INDEX)
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{folder}: no pipeline of diffusers ({_INDEX}: {first_line(error)}); name a folder that "
                "save_pretrained wrote"
            ) from None
        self._check(index)
        settings = folder / SETTINGS
        given = read_yaml(settings) if settings.is_file() else {}
        self.settings = PipelineConfig.read(given, where=str(settings))
        self._lora = None if self.settings.lora is None else folder / self.settings.lora
        if self._lora is not None and (self._lora.suffix != ".safetensors" or not self._lora.is_file()):
            raise ModelError(f"{settings}: lora: {self._lora} is no .safetensors file; name one in the folder")
        files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != SETTINGS)
        listing = "".join(f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
        facts = {
            "pipeline": index["_class_name"],
            "sha256": hashlib.sha256(listing.encode()).hexdigest(),
            **self.settings.model_dump(exclude={"licence"}),
        }
        self.describe("diffusers", facts, self.settings.licence)
        self._pipeline: Any = None

    def _check(self, index: Any) -> None:
        """Refuse a pipeline that would import other modules, or run code of its folder."""
        if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
            raise ModelError(f"{self._folder}: {_INDEX} names no pipeline of diffusers; fetch the folder again")
        parts = {name: value for name, value in index.items() if isinstance(value, list)}
        for name, value in parts.items():
            if len(value) != 2 or not (isinstance(value[0], str | None) and value[0] in _LIBRARIES):
                raise ModelError(
                    f"{self._folder}: its part '{name}' is of {value[0] if value else value!r}, and only parts of "
                    "diffusers and transformers are loaded; use another pipeline"
                )

    def load(self) -> None:
        """Load the weights, and try the pipeline on a small image.

        Raises:
            ConfigError: diffusers, or for a LoRA peft, is missing.
            ModelError: The pipeline can't be loaded, takes no image, or fails.
        """
        try:
            import transformers
            from diffusers import AutoPipelineForImage2Image
            from diffusers import DiffusionPipeline as Pipeline
            from diffusers.utils import logging
        except ImportError:
            raise ConfigError(f"{self._folder}: needs diffusers: pip install 'nirgen[diffusers]'") from None
        for logs in (logging, transformers.utils.logging):
            logs.set_verbosity_error()
            logs.disable_progress_bar()
        try:
            found: Any = Pipeline.from_pretrained(  # type: ignore[no-untyped-call]
                self._folder, use_safetensors=True, local_files_only=True, trust_remote_code=False
            )
            if "image" not in inspect.signature(found.__call__).parameters:
                found = AutoPipelineForImage2Image.from_pipe(found)
            if self._lora is not None:
                found.load_lora_weights(self._folder, weight_name=self.settings.lora)
        except Exception as error:  # noqa: BLE001 - libraries' errors have no common class
            raise ModelError(
                f"{self._folder}: no image-to-image pipeline that can be loaded ({first_line(error)}); its weights "
                "must be .safetensors files"
            ) from None
        if getattr(found, "safety_checker", None) is not None:
            found.safety_checker = None  # it would blacken images
        found.set_progress_bar_config(disable=True)
        self._pipeline = found.to(self._device)
        try:
            self.intensities(np.full((*_TRIED, 3), 128, np.uint8))
        except ShapeError as error:
            raise ModelError(str(error)) from None

    def count_parameters(self) -> int | None:  # noqa: D102
        parts = self._pipeline.components.values() if self._pipeline is not None else ()
        return sum(part.num_parameters() for part in parts if hasattr(part, "num_parameters")) or None

    def intensities(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:  # noqa: D102
        import torch

        seed = hashlib.sha256(f"{self.settings.seed} {rgb.shape}".encode() + rgb.tobytes()).digest()
        noise = torch.Generator("cpu").manual_seed(int.from_bytes(seed[:7], "big"))
        known = inspect.signature(self._pipeline.__call__).parameters
        given = {name: value for name, value in self.settings.arguments().items() if name in known}
        try:
            made = self._pipeline(image=Image.fromarray(rgb), generator=noise, output_type="np", **given).images[0]
        except Exception as error:  # libraries' errors have no common class
            raise ShapeError(
                f"{self._folder} fails on {rgb.shape[1]}x{rgb.shape[0]} pixels: {first_line(error)}"
            ) from error
        if made.shape != rgb.shape or not np.isfinite(made).all():
            found = "values that are not finite" if made.shape == rgb.shape else "x".join(map(str, made.shape))
            raise ShapeError(f"{self._folder} gives {found} for an image of {rgb.shape[1]}x{rgb.shape[0]} pixels")
        return made.mean(axis=-1, dtype=np.float32).clip(0, 1)  # type: ignore[no-any-return]
