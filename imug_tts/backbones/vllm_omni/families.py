"""How vLLM-Omni 0.30 processes a request, by family of models: from its source code, not measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from imug_tts.contracts import SeedGuarantee
from imug_tts.dialogue import Modality

__all__ = ["FAMILIES", "Family", "FamilyName"]

FamilyName = Literal["bagel", "bagel_single", "hunyuan_image3", "sensenova_u1", "lance", "edit"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """The request format of a family, and which parts of a request reach its image model."""

    images: int | None
    """Number of images of the history that reach an image turn; None for all."""
    text_images: int | None
    """Number of images of the history that reach a text turn; None for all."""
    seeds: SeedGuarantee = "best_effort"
    outputs: frozenset[Modality] = frozenset({"text", "image"})
    stages: bool = False
    """Whether a separate language model and image model answer; each gets its own settings."""
    images_api: bool = False
    """Whether images are requested at /v1/images/* instead of /v1/chat/completions."""
    mark: str = ""
    """The mark of an image inside a text; empty if images are sent beside the text."""
    roles: bool = False
    """Whether the text may contain the model's role marks, because the engine does not escape it."""
    around: tuple[str, str] = ("", "")
    """Texts before and after the words of an image turn."""
    guidance: str = "guidance_scale"
    """The engine's name of the text guidance scale."""
    extra_guidance: bool = False
    """Whether that scale is an extra argument of the model instead of a field of every request."""
    steps: int | None = None
    """Denoising steps if the request names none; None if the source does not state it."""
    skipped_steps: int = 0
    """Number of requested steps that are not executed."""
    limits: tuple[str, ...] = ()
    """Limits that a reader of results needs to know, besides the number of images, which `images` states."""


_FLAT: Final = "The history of image turns is flattened into one user message."
_ALL_FLAT: Final = "The history of all turns is flattened into one user message."
_ONE_READ: Final = "A text depends only on the newest image of the history."
_UNSEEDED: Final = "Texts are sampled without a seed, images with one."
_UNLIKE: Final = (
    "Its engine reportedly reads images differently from the official code (vllm-omni pulls 6702, 4345)."
)

FAMILIES: Final[Mapping[FamilyName, Family]] = {
    "bagel": Family(
        images=1,
        text_images=1,
        stages=True,
        around=("<|im_start|>", "<|im_end|>"),
        guidance="cfg_text_scale",
        extra_guidance=True,
        steps=50,
        skipped_steps=1,
        limits=(_ONE_READ, _FLAT, _UNLIKE),
    ),
    "bagel_single": Family(
        images=1,
        text_images=1,
        seeds="none",
        around=("<|im_start|>", "<|im_end|>"),
        guidance="cfg_text_scale",
        extra_guidance=True,
        steps=50,
        skipped_steps=1,
        limits=(_ONE_READ, _ALL_FLAT, _UNSEEDED, _UNLIKE),
    ),
    "hunyuan_image3": Family(
        images=3,
        text_images=None,
        stages=True,
        images_api=True,
        limits=(_FLAT,),
    ),
    "sensenova_u1": Family(
        images=None,
        text_images=None,
        seeds="none",
        mark="<image>",
        roles=True,
        guidance="cfg_scale",
        extra_guidance=True,
        limits=(_UNSEEDED,),
    ),
    "lance": Family(
        images=1,
        text_images=1,
        limits=(_ONE_READ, _ALL_FLAT),
    ),
    "edit": Family(
        images=4,
        text_images=0,
        outputs=frozenset({"image"}),
        limits=(_FLAT,),
    ),
}
