"""The pipelines of diffusers that draw from several reference images, and how each is called.

Their arguments differ: this table is all that the adapter knows of a pipeline. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from imug_tts.backbones.native.checkpoint import read_json
from imug_tts.contracts import ConfigurationError
from imug_tts.knobs import nearest

__all__ = ["FAMILIES", "Family", "family_of", "index_of", "weight_files"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """How a class of pipelines is called."""

    references: int
    """Images that it was made for: as its makers say, or 3 where they give no number."""
    guidance: str | None = "guidance_scale"
    """The argument that takes the guidance scale; None for a pipeline that is distilled for one scale."""
    images: str = "image"
    """The argument that takes the references."""
    is_guided_twice: bool = True
    """Whether a scale above 1 takes a second network evaluation in each step."""
    fixed: Mapping[str, Any] | None = None
    """Arguments of every call."""
    edits_only: bool = False
    """Whether it cannot draw without a reference."""
    per_prompt: bool = False
    """Whether each prompt has its own references and gives one image: for N images all is given N times."""
    one_seed: bool = False
    """Whether the images of one call share random numbers, so that each seed needs a call of its own."""
    side: int | None = None
    """Height and width without a reference, for a pipeline that has no default of its own."""

    def arguments(self, prompt: str, references: Sequence[Any], count: int) -> dict[str, Any]:
        """The arguments for `count` images of one prompt; `references` are Pillow images, the newest last."""
        shown = list(references) or None
        given: dict[str, Any] = dict(self.fixed or {})
        if self.per_prompt:
            given |= {"prompt": [prompt] * count, self.images: shown and [shown] * count}
        else:
            given |= {"prompt": prompt, self.images: shown, "num_images_per_prompt": count}
        if self.side is not None and not shown:
            given |= {"height": self.side, "width": self.side}
        return given


_UNCONDITIONAL: Final = {"negative_prompt": " "}
"""Qwen-Image's pipelines guide only if they are given a negative prompt."""
FAMILIES: Final[Mapping[str, Family]] = {
    "Flux2KleinPipeline": Family(references=4),
    "Flux2KleinKVPipeline": Family(references=4, guidance=None),
    "Flux2Pipeline": Family(references=6, is_guided_twice=False),
    "GlmImagePipeline": Family(references=3, one_seed=True, side=1024),
    "JoyImageEditPlusPipeline": Family(references=3, images="images", per_prompt=True),
    "QwenImage21Pipeline": Family(references=3, guidance="true_cfg_scale", fixed=_UNCONDITIONAL),
    "QwenImageEditPlusPipeline": Family(
        references=3, guidance="true_cfg_scale", fixed=_UNCONDITIONAL, edits_only=True
    ),
}


def index_of(folder: Path) -> dict[str, Any]:
    """The pipeline's `model_index.json`.

    Raises:
        ConfigurationError: it is missing or damaged.
    """
    return read_json(folder / "model_index.json")


def family_of(folder: Path) -> tuple[str, Family]:
    """The class of the pipeline in a folder, and how it is called.

    Raises:
        ConfigurationError: the folder holds no pipeline, or one that is not known to take several images.
    """
    name = str(index_of(folder).get("_class_name"))
    if name not in FAMILIES:
        raise ConfigurationError(
            f"{folder / 'model_index.json'} names the pipeline {name}, and composite needs one that draws "
            f"from several images of the history; {nearest(name, FAMILIES)}"
        )
    return name, FAMILIES[name]


def weight_files(folder: Path) -> list[Path]:
    """The weights of a part of a pipeline, without variants such as model.fp16.safetensors."""
    return sorted(file for file in folder.glob("*.safetensors") if "." not in file.stem)
