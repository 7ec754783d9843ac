"""A loaded pipeline of diffusers, and its calls."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from PIL import Image as Pillow
from torch import nn

from imug_tts.backbones.composite.families import Family, family_of, weight_files
from imug_tts.backbones.native.checkpoint import Misfit, tensor_headers
from imug_tts.backbones.native.images import from_pillow, to_pillow
from imug_tts.contracts import ConfigurationError
from imug_tts.dialogue import Image

if TYPE_CHECKING:
    from imug_tts.backbones.native.placement import Native

__all__ = ["LoadedPipeline", "Style", "load"]

_LEAST_SIDE: Final = 64


@dataclass(frozen=True, kw_only=True)
class Style:
    """Generation settings of an image; None uses the pipeline's default."""

    steps: int | None = None
    guidance: float | None = None
    height: int | None = None
    width: int | None = None


def load(backbone: Native, dtype: torch.dtype) -> LoadedPipeline:
    """Load the pipeline in the backbone's folder onto the devices that its knobs select.

    Raises:
        ConfigurationError: files are missing or damaged, or this version of diffusers lacks the pipeline.
    """
    import diffusers
    import transformers

    name, family = family_of(backbone.folder)
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    cls = getattr(diffusers, name, None)
    if cls is None:
        raise ConfigurationError(
            f"diffusers {diffusers.__version__} has no {name}; take a newer one: pip install -U diffusers"
        )
    try:
        pipeline = cls.from_pretrained(
            backbone.folder, dtype=dtype, local_files_only=True, use_safetensors=True
        )
    except (OSError, KeyError, TypeError, ValueError, ImportError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise ConfigurationError(
            f"the pipeline in {backbone.folder} cannot be loaded: {error}; download it again"
        ) from error
    for part, module in pipeline.components.items():
        if isinstance(module, nn.Module):
            _check(module, backbone.folder / part)
            whole = getattr(module, "_no_split_modules", None) or ()
            setattr(pipeline, part, backbone.placed(module, whole=whole, part=part))
    pipeline.set_progress_bar_config(disable=True)
    return LoadedPipeline(pipeline, family)


def _check(module: nn.Module, folder: Path) -> None:
    """Check that a model of diffusers got the tensors of its files; transformers checks its own models."""
    from diffusers import ModelMixin

    if not isinstance(module, ModelMixin):
        return
    found = {n: header.shape for n, header in tensor_headers(weight_files(folder)).items()}
    due = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    Misfit(
        missing=tuple(sorted(due.keys() - found.keys())),
        unexpected=tuple(sorted(found.keys() - due.keys())),
    ).check(folder, "download the pipeline again")


class LoadedPipeline:
    """A pipeline that draws images, each from its own random stream."""

    def __init__(self, pipeline: Any, family: Family) -> None:
        self._pipeline = pipeline
        self._family = family
        self._defaults = _defaults(pipeline)

    def draw(
        self, prompt: str, references: Sequence[Image], seeds: Sequence[int], style: Style
    ) -> list[Image]:
        """One image for each seed, from one prompt and the same references (the newest last)."""
        shown = [_large_enough(to_pillow(image)) for image in references]
        if self._family.edits_only and not shown:
            shown = [_canvas(style)]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        arguments = self._family.arguments(prompt, shown, len(seeds)) | self._styled(style)
        with torch.inference_mode():
            drawn = self._pipeline(**arguments, generator=generators, output_type="pil").images
        return [from_pillow(image) for image in drawn]

    def evaluations(self, style: Style) -> tuple[int, int]:
        """The numbers of denoising steps and of network evaluations (guidance included) of one image."""
        steps = int(self._value(style.steps, "num_inference_steps"))
        name = self._family.guidance
        if name is None or not self._family.is_guided_twice or self._pipeline.config.get("is_distilled"):
            return steps, steps
        return steps, steps * (2 if self._value(style.guidance, name) > 1 else 1)

    def _value(self, given: float | None, name: str) -> float:
        return self._defaults[name] if given is None else given

    def _styled(self, style: Style) -> dict[str, Any]:
        named = {
            "num_inference_steps": style.steps,
            "height": style.height,
            "width": style.width,
            **({self._family.guidance: style.guidance} if self._family.guidance else {}),
        }
        return {name: value for name, value in named.items() if value is not None}


def _large_enough(image: Pillow.Image) -> Pillow.Image:
    """The image, enlarged if needed so that its shorter side has at least 64 pixels, the minimum of Flux2's
    pipelines.
    """
    factor = _LEAST_SIDE / min(image.size)
    if factor <= 1:
        return image
    return image.resize((round(image.width * factor), round(image.height * factor)))


def _canvas(style: Style) -> Pillow.Image:
    return Pillow.new("RGB", (style.width or 1024, style.height or 1024), "white")


def _defaults(pipeline: Any) -> Mapping[str, Any]:
    parameters = inspect.signature(type(pipeline).__call__).parameters
    return {name: each.default for name, each in parameters.items()}
