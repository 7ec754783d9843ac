"""How BAGEL draws and thinks: settings of one call, and the presets of those who published them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from imug_tts.contracts import Scalar
from imug_tts.knobs import component, knob, knobs_of

__all__ = ["PRESETS", "BagelSettings", "Drawing", "Preset", "Renorm", "drawing"]

Preset = Literal["imug", "text_to_image", "edit"]
Renorm = Literal["global", "channel", "text_channel"]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """The settings of one call, with nothing left open."""

    timesteps: int
    text_guidance: float
    image_guidance: float
    guidance_from: float
    guidance_to: float
    renorm: Renorm
    renorm_min: float
    timestep_shift: float
    history: Literal["chatml", "plain"]
    """How a dialogue is written: as ChatML with roles, or its texts and images alone."""
    think: bool
    think_temperature: float
    think_tokens: int
    size: int | None
    """Edge in pixels; None: the largest the model has."""

    def is_guided(self, time: float) -> bool:
        return self.text_guidance > 1 and self.guidance_from < time <= self.guidance_to


_IMUG: Final = Drawing(
    timesteps=50,
    text_guidance=3.0,
    image_guidance=1.5,
    guidance_from=0.4,
    guidance_to=1.0,
    renorm="global",
    renorm_min=0.0,
    timestep_shift=3.0,
    history="chatml",
    think=False,
    think_temperature=0.7,
    think_tokens=512,
    size=None,
)
"""scripts/model_servers/BAGEL_demo.py of IMUG-Bench: the settings of the paper's measurements."""
_TEXT_TO_IMAGE: Final = replace(
    _IMUG,
    text_guidance=4.0,
    image_guidance=1.0,
    history="plain",
    think_temperature=0.0,
    think_tokens=1000,
)
""""Image Generation" of inference.ipynb of BAGEL."""
_EDIT: Final = replace(_TEXT_TO_IMAGE, image_guidance=2.0, guidance_from=0.0, renorm="text_channel")
""""Editing" of the same notebook."""
PRESETS: Final[Mapping[Preset, Drawing]] = {
    "imug": _IMUG,
    "text_to_image": _TEXT_TO_IMAGE,
    "edit": _EDIT,
}


@component
class BagelSettings:
    """Settings of one call; null takes the value of the preset."""

    preset: Preset = knob(
        "Whose settings: imug (of IMUG-Bench's BAGEL server, with roles in ChatML), or text_to_image or edit "
        "(of BAGEL's authors, texts and images alone).",
        default="imug",
    )
    steps: int | None = knob(
        "Timesteps of a drawing, as BAGEL counts: n timesteps are n - 1 steps; null: 50.", default=None, ge=2
    )
    text_guidance: float | None = knob(
        "How strongly an image follows the last text; 1 is no guidance at all, of images either.",
        default=None,
        ge=1,
    )
    image_guidance: float | None = knob(
        "How strongly an image keeps to earlier images; 1 is none.", default=None, ge=1
    )
    guidance_from: float | None = knob("Guide at times above this; 1 is noise.", default=None, ge=0, le=1)
    guidance_to: float | None = knob("Guide at times up to this.", default=None, ge=0, le=1)
    renorm: Renorm | None = knob("Over what a guided velocity is shrunk to its norm.", default=None)
    renorm_min: float | None = knob(
        "The least factor of that shrinking; 1 turns it off.", default=None, ge=0, le=1
    )
    timestep_shift: float | None = knob(
        "More than 1 takes more steps in noise (layout), less in details.", default=None, gt=0
    )
    history: Literal["chatml", "plain"] | None = knob(
        "How a dialogue is written: with roles in ChatML, or its texts and images alone.", default=None
    )
    think: bool | None = knob(
        "BAGEL's own chain of thought: a text before the image or the answer.", default=None
    )
    think_temperature: float | None = knob(
        "Temperature of the thought of an image; 0 is greedy, and all candidates share it.",
        default=None,
        ge=0,
    )
    think_tokens: int | None = knob("Most tokens of that thought.", default=None, ge=1)
    size: int | None = knob(
        "Edge in pixels of an image that follows none (an edit is as large as the last image of the "
        "history); null: the largest that the model has, 1024.",
        default=None,
        ge=1,
    )


def drawing(standing: BagelSettings, of_call: Iterable[tuple[str, Scalar]]) -> Drawing:
    """The settings of a call: its own, then those that stand for the backbone, then the preset's."""
    chosen: dict[str, Any] = {name: getattr(standing, name) for name in knobs_of(BagelSettings)}
    chosen.update(of_call)
    preset = PRESETS[chosen.pop("preset")]
    chosen["timesteps"] = chosen.pop("steps")
    return replace(preset, **{name: value for name, value in chosen.items() if value is not None})
