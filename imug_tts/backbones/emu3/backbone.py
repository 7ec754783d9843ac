"""Emu3 as a backbone: knobs, settings and capabilities."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from imug_tts.backbones.native.autoregressive import Autoregressive
from imug_tts.backbones.native.checkpoint import read_json
from imug_tts.contracts import Capabilities, ConfigurationError, MemoryNeed, Request
from imug_tts.knobs import component, knob

if TYPE_CHECKING:
    from imug_tts.backbones.emu3.generator import Emu3Drawing, Emu3Generator

_LIMITS = (
    "Emu3-Chat was trained to answer and Emu3-Gen to draw: the other task is out of distribution for each.",
    "Emu3 was not trained to edit: drawing from images of the history is out of distribution.",
)
_LEAST_PIXELS = 512 * 512
_MARKS = ("image_token", "boi_token", "eoi_token", "image_wrapper_token")
"""Names of the tokens that stand for images, in tokenizer_config.json."""


@component
class Emu3Settings:
    """Settings of one call."""

    guidance: float | None = knob(
        "Scale of classifier-free guidance; 1 for none, null for the backbone's.", default=None, ge=0
    )
    image_area: int | None = knob("Pixels of a drawn image; null for the backbone's.", default=None, ge=64)


@component
class Emu3Backbone(Autoregressive):
    """Emu3 from a folder in transformers' layout; it writes texts, draws images and gives P(yes).

    Its VQ model encodes images of the history, so they cost as many tokens as drawn ones. The 9216 positions
    of the released models hold two images of 512 x 512 pixels.
    """

    settings: ClassVar[type | None] = Emu3Settings
    model_types: ClassVar[tuple[str, ...]] = ("emu3",)
    version: ClassVar[str] = "1"

    guidance: float = knob(
        "Scale of classifier-free guidance of images; 1 for none. It doubles the network evaluations.",
        default=3.0,
        ge=0,
    )
    negative_prompt: str = knob(
        "Prompt of the unconditional branch of guidance; it may not contain the model's image marks.",
        default="",
    )
    top_k: int = knob(
        "Sample an image token among the top_k most likely ones; 0 for all.", default=2048, ge=0
    )
    image_area: int | None = knob(
        "Pixels of a drawn image; null for the smallest size that the checkpoint reads, 512 x 512 for the "
        "released ones. The authors' 518400 leave no room for an image of the history.",
        default=None,
        ge=64,
    )
    context_images: int | None = knob(
        "Number of newest images of the history in the prompt; null for all.", default=1, ge=0
    )
    context_area: int | None = knob(
        "Pixels to which an image of the history is resized; null for the checkpoint's range.",
        default=None,
        ge=64,
    )

    @cached_property
    def identity(self) -> str:
        """Adapter, version and hash of the checkpoint's files.

        Raises:
            ConfigurationError: a file is missing or of another model, or the negative prompt contains an
                image mark.
        """
        if self.negative_prompt:
            self._check_negative_prompt()
        return super().identity

    def _check_negative_prompt(self) -> None:
        stated = read_json(self.folder / "tokenizer_config.json")
        named = stated.get("extra_special_tokens")
        tokens = {**(named if isinstance(named, dict) else {}), **stated}
        marks = [str(tokens[name]) for name in _MARKS if name in tokens]
        if mark := next((mark for mark in marks if mark in self.negative_prompt), None):
            raise ConfigurationError(
                f"negative_prompt contains {mark!r}, which stands for an image in this model's prompt; "
                "remove it"
            )

    @property
    def capabilities(self) -> Capabilities:
        return self._described(_LIMITS, self.context_images)

    @property
    def memory(self) -> MemoryNeed:
        """The memory need. A turn counts as one image and 100 words of text."""
        least = self._least_pixels
        context, drawn = (self.context_area or least) // 64, (self.image_area or least) // 64
        return self._memory(context + 250, drawn, branches=1 if self.guidance == 1 else 2)

    @cached_property
    def _least_pixels(self) -> int:
        """The smallest size in pixels to which the checkpoint resizes an image."""
        for name in ("processor_config.json", "preprocessor_config.json"):
            if (self.folder / name).is_file():
                stated = read_json(self.folder / name)
                return int(stated.get("image_processor", stated).get("min_pixels", _LEAST_PIXELS))
        return _LEAST_PIXELS

    def _drawing(self, request: Request) -> Emu3Drawing:
        from imug_tts.backbones.emu3.generator import Emu3Drawing

        settings: dict[str, Any] = dict(request.sampling.settings)
        asked = Emu3Settings(**settings)
        return Emu3Drawing(
            guidance=self.guidance if asked.guidance is None else asked.guidance,
            top_k=self.top_k,
            image_area=asked.image_area or self.image_area or self._least_pixels,
        )

    def _load(self) -> Emu3Generator:
        from imug_tts.backbones.emu3.generator import load

        _ = self.identity  # raises if the checkpoint is of another model, or the negative prompt is wrong
        return load(
            self,
            context_images=self.context_images,
            context_area=self.context_area,
            negative_prompt=self.negative_prompt,
        )
