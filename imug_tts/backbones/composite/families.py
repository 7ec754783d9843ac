"""The supported pipelines of diffusers, which draw from several reference images, and their arguments.

The arguments of pipelines differ; this table holds all differences. Imports no torch.
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
    """The calling convention of a class of pipelines."""

    references: int
    """Number of reference images that the pipeline was made for: as its makers state, or 3 if they state
    none.
    """
    guidance: str | None = "guidance_scale"
    """The argument for the guidance scale; None for a pipeline that is distilled for one scale."""
    images: str = "image"
    """The argument for the reference images."""
    is_guided_twice: bool = True
    """Whether a scale above 1 needs a second network evaluation in each step."""
    fixed: Mapping[str, Any] | None = None
    """Arguments of every call."""
    edits_only: bool = False
    """Whether the pipeline needs a reference image."""
    per_prompt: bool = False
    """Whether each prompt has its own references and gives one image: N images need prompt and references N
    times.
    """
    one_seed: bool = False
    """Whether the images of one call share random numbers, so that each seed needs its own call."""
    side: int | None = None
    """Height and width without a reference, for a pipeline without defaults."""

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
"""Qwen-Image's pipelines apply guidance only with a negative prompt."""
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
    """The content of the pipeline's `model_index.json`.

    Raises:
        ConfigurationError: the file is missing or damaged.
    """
    return read_json(folder / "model_index.json")


def family_of(folder: Path) -> tuple[str, Family]:
    """The class name of the pipeline in a folder, and its calling convention.

    Raises:
        ConfigurationError: the folder holds no pipeline, or an unsupported one.
    """
    name = str(index_of(folder).get("_class_name"))
    if name not in FAMILIES:
        raise ConfigurationError(
            f"{folder / 'model_index.json'} names the pipeline {name}, and composite needs one that draws "
            f"from several images of the history; {nearest(name, FAMILIES)}"
        )
    return name, FAMILIES[name]


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a part of a pipeline, without variants such as model.fp16.safetensors."""
    return sorted(file for file in folder.glob("*.safetensors") if "." not in file.stem)
