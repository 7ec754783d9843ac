"""Janus as a backbone: knobs, settings and capabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from imug_tts.backbones.native.autoregressive import Autoregressive
from imug_tts.contracts import Capabilities, MemoryNeed, Request
from imug_tts.knobs import component, knob

if TYPE_CHECKING:
    from imug_tts.backbones.janus.generator import JanusGenerator
    from imug_tts.backbones.native.generator import Drawing

_LIMITS = (
    "Janus was not trained to edit: drawing from images of the history is out of distribution.",
    "Janus reads and draws images of one fixed size, 384 pixels a side for the released models.",
)


@component
class JanusSettings:
    """Settings of one call."""

    guidance: float | None = knob(
        "Scale of classifier-free guidance; 1 for none, null for the backbone's.", default=None, ge=0
    )


@component
class JanusBackbone(Autoregressive):
    """Janus or Janus-Pro from a folder in transformers' layout; it writes texts, draws images and gives
    P(yes).

    Prompts for images include the images of the history, which transformers' own `generate` drops. Greedy
    texts equal those of `generate`, and so do images if the history has no images.
    """

    settings: ClassVar[type | None] = JanusSettings
    model_types: ClassVar[tuple[str, ...]] = ("janus",)
    version: ClassVar[str] = "1"

    guidance: float = knob(
        "Scale of classifier-free guidance of images; 1 for none. It doubles the network evaluations.",
        default=5.0,
        ge=0,
    )

    @property
    def capabilities(self) -> Capabilities:
        return self._described(_LIMITS)

    @property
    def memory(self) -> MemoryNeed:
        """The memory need. A turn counts as one image and 100 words of text."""
        image = self.configuration["vision_config"].get("num_image_tokens", 576)
        return self._memory(image + 150, image, branches=1 if self.guidance == 1 else 2)

    def _drawing(self, request: Request) -> Drawing:
        from imug_tts.backbones.native.generator import Drawing

        settings: dict[str, Any] = dict(request.sampling.settings)
        asked = JanusSettings(**settings)
        return Drawing(guidance=self.guidance if asked.guidance is None else asked.guidance)

    def _load(self) -> JanusGenerator:
        from imug_tts.backbones.janus.generator import load

        _ = self.configuration  # raises if the checkpoint is of another model
        return load(self)
