"""Settings of BAGEL's generation: those of one call, and the published presets."""

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
    """The complete settings of one call."""

    timesteps: int
    text_guidance: float
    image_guidance: float
    guidance_from: float
    guidance_to: float
    renorm: Renorm
    renorm_min: float
    timestep_shift: float
    history: Literal["chatml", "plain"]
    """Format of a dialogue: ChatML with roles, or its texts and images alone."""
    think: bool
    think_temperature: float
    think_tokens: int
    size: int | None
    """Edge in pixels; None for the largest size of the model."""

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
"""The settings of the paper's measurements: scripts/model_servers/BAGEL_demo.py of IMUG-Bench."""
_TEXT_TO_IMAGE: Final = replace(
    _IMUG,
    text_guidance=4.0,
    image_guidance=1.0,
    history="plain",
    think_temperature=0.0,
    think_tokens=1000,
)
""" "Image Generation" in BAGEL's inference.ipynb."""
_EDIT: Final = replace(_TEXT_TO_IMAGE, image_guidance=2.0, guidance_from=0.0, renorm="text_channel")
""" "Editing" in BAGEL's inference.ipynb."""
PRESETS: Final[Mapping[Preset, Drawing]] = {
    "imug": _IMUG,
    "text_to_image": _TEXT_TO_IMAGE,
    "edit": _EDIT,
}


@component
class BagelSettings:
    """Settings of one call; null uses the value of the preset."""

    preset: Preset = knob(
        "Preset: imug (IMUG-Bench's BAGEL server, with roles in ChatML), text_to_image or edit (BAGEL's "
        "authors, texts and images alone).",
        default="imug",
    )
    steps: int | None = knob(
        "Timesteps of an image, as BAGEL counts them: n timesteps are n - 1 steps; null: 50.",
        default=None,
        ge=2,
    )
    text_guidance: float | None = knob(
        "Scale of text guidance: how strongly an image follows the last text; 1 turns off all guidance.",
        default=None,
        ge=1,
    )
    image_guidance: float | None = knob(
        "Scale of image guidance: how strongly an image keeps to earlier images; 1 turns it off.",
        default=None,
        ge=1,
    )
    guidance_from: float | None = knob(
        "Guidance applies at times above this; time 1 is noise, 0 the image.", default=None, ge=0, le=1
    )
    guidance_to: float | None = knob("Guidance applies at times up to this.", default=None, ge=0, le=1)
    renorm: Renorm | None = knob(
        "What a guided velocity is shrunk to the norm of: the whole image (global), each token (channel), "
        "or each token after text guidance only (text_channel).",
        default=None,
    )
    renorm_min: float | None = knob(
        "Minimum factor of the renormalisation; 1 turns it off.", default=None, ge=0, le=1
    )
    timestep_shift: float | None = knob(
        "Shift of the timesteps; above 1, more steps are spent on layout (noise) and fewer on details.",
        default=None,
        gt=0,
    )
    history: Literal["chatml", "plain"] | None = knob(
        "Format of a dialogue: chatml (with roles) or plain (its texts and images alone).", default=None
    )
    think: bool | None = knob(
        "Whether BAGEL writes its own chain of thought before the image or the answer.", default=None
    )
    think_temperature: float | None = knob(
        "Temperature of the thought before an image; 0 is greedy, and all candidates share one thought.",
        default=None,
        ge=0,
    )
    think_tokens: int | None = knob("Maximum number of tokens of that thought.", default=None, ge=1)
    size: int | None = knob(
        "Edge in pixels of an image if the history has no image (an edit has the size of the last image); "
        "null: the model's largest size, 1024.",
        default=None,
        ge=1,
    )


def drawing(standing: BagelSettings, of_call: Iterable[tuple[str, Scalar]]) -> Drawing:
    """The settings of a call: values of the call first, then knobs of the backbone, then the preset."""
    chosen: dict[str, Any] = {name: getattr(standing, name) for name in knobs_of(BagelSettings)}
    chosen.update(of_call)
    preset = PRESETS[chosen.pop("preset")]
    chosen["timesteps"] = chosen.pop("steps")
    return replace(preset, **{name: value for name, value in chosen.items() if value is not None})
