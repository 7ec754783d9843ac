"""A model that paints one shade of grey, with settings and a prompt set of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from imug_tts.contracts import Backbone, Candidate, Capabilities, Cost, Request
from imug_tts.dialogue import Image, Text
from imug_tts.knobs import component, knob

PROMPTS = {
    "plan": "Say how you will paint.",
    "follow_plan": "Paint by this plan: {plan}",
    "reason": "Say what you see.",
    "follow_reason": "You saw: {plan}",
    "checklist": "Write questions about the painting.",
    "check": "Answer yes or no: {question}",
    "feedback": "Paint again. This was wrong: {failed}",
}
"""The words in which strategies and judges address the painter."""


@component
class Light:
    """What one call may change."""

    light: float = knob("Light on the painting, in shades.", default=0.0, ge=-50, le=50)


@component
class Painter(Backbone):
    """Paints the shade that is asked for; with few steps it misses by more.

    It answers every question with A.
    """

    device: str = knob("Where the model runs.", default="cpu", runtime=True)
    steps: int = knob("Steps of one painting.", default=20, ge=1, le=100)

    settings: ClassVar[type] = Light

    @property
    def identity(self) -> str:
        return "painter:1"  # name and version of the weights; the engine adds the knobs

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            outputs=frozenset({"text", "image"}),
            reads_images=True,
            draws_from_images=False,
            seeds="exact",
            logits=False,
            max_batch=16,
            prompts="painter",
        )

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        return [[self._answer(request, seed) for seed in request.seeds] for request in requests]

    def _answer(self, request: Request, seed: int) -> Candidate:
        said = [part.text for part in request.history[-1].parts if isinstance(part, Text)]
        if request.modality == "text":
            text = "With care." if said[-1] == PROMPTS["plan"] else "A"
            return Candidate(output=Text(text), cost=Cost(calls=1, new_tokens=1))
        cost = Cost(calls=1, images=1, denoise_steps=self.steps, nfe=self.steps)
        settings = dict(request.sampling.settings)
        shade = self._shade(" ".join(said), seed) + float(settings.get("light", 0.0))
        pixels = np.full((8, 8, 3), np.clip(shade, 0, 255), np.uint8)
        return Candidate(output=Image.from_pixels(pixels), cost=cost)

    def _shade(self, asked: str, seed: int) -> float:
        wanted = re.search(r"\d+", asked)
        error = np.random.default_rng(seed).normal(scale=200 / self.steps)
        return float(error) + (float(wanted[0]) if wanted else 0.0)
