"""What vLLM-Omni 0.30 makes of a request, by family of models: read in its source, not measured."""

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
    """How a family is asked, and what of a request reaches its image."""

    images: int | None
    """Images of a history that reach an image turn; None for all."""
    text_images: int | None
    """The same for a text turn."""
    seeds: SeedGuarantee = "best_effort"
    outputs: frozenset[Modality] = frozenset({"text", "image"})
    stages: bool = False
    """Whether a language model and an image model of its own answer; each is given its own settings."""
    images_api: bool = False
    """Whether images are asked for at /v1/images/*, and not at /v1/chat/completions."""
    mark: str = ""
    """What stands for an image inside a text; empty where images come beside it."""
    roles: bool = False
    """Whether the text may say who speaks in the model's own marks, because it is not escaped."""
    around: tuple[str, str] = ("", "")
    """What stands around the words of an image turn."""
    guidance: str = "guidance_scale"
    """What the engine calls the strength of the text's guidance."""
    extra_guidance: bool = False
    """Whether that is an extra of the model, and no field of every request."""
    steps: int | None = None
    """Denoising steps where the request names none; None where the source does not say."""
    skipped_steps: int = 0
    """Steps that are named and not made."""
    limits: tuple[str, ...] = ()
    """What a reader of results must know beside the images that count, which `images` tells."""


_FLAT: Final = "Image turns get the history flattened into one message of the user."
_ALL_FLAT: Final = "All turns get the history flattened into one message of the user."
_ONE_READ: Final = "A text depends on the newest image of the history and on no other."
_UNSEEDED: Final = "Texts are drawn without a seed, images with one."
_UNLIKE: Final = (
    "Its engine is reported to read images unlike the official code (vllm-omni pulls 6702, 4345)."
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
