"""A small model that keeps every promise, and models that each break one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from imug_tts.contracts import Backbone, Candidate, Capabilities, Cost, Request
from imug_tts.dialogue import Image, Message, Text
from imug_tts.knobs import component, knob

__all__ = ["BROKEN", "Sketcher"]


@component
class Strokes:
    """What one call may change."""

    contrast: float = knob("Contrast of the picture.", default=1.0, gt=0, le=1)


@component
class Sketcher(Backbone):
    """Answers with noise whose seed is the hash of all that it is told."""

    size: int = knob("Width and height of its pictures, in pixels.", default=8, ge=4)
    paper: str = knob("Name of its paper, which its identity has.", default="white", named=True)
    cache_bytes: int = knob("Bytes of its cache.", default=100, ge=0, runtime=True)

    settings: ClassVar[type] = Strokes

    @property
    def identity(self) -> str:
        return f"sketcher:1:{self.paper}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            outputs=frozenset({"text", "image"}),
            reads_images=True,
            draws_from_images=True,
            seeds="exact",
            logits=True,
            max_batch=8,
            rewards=True,
            context_images=2,
        )

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        return [[self.candidate(request, seed) for seed in request.seeds] for request in requests]

    def candidate(self, request: Request, seed: int) -> Candidate:
        seen = newest(request.history, self.capabilities.context_images or 0)
        history = seen if request.modality == "image" else request.history
        greedy = request.sampling.temperature == 0
        told = (history, request.modality, request.form, self.paper, 0 if greedy else seed)
        noise = noise_of(*told)
        prompt = sum(len(message.parts) for message in request.history)
        if request.modality == "image":
            return Candidate(
                output=self.drawing(noise, request),
                cost=Cost(calls=1, prompt_tokens=prompt, images=1, nfe=4, denoise_steps=4),
            )
        cost = Cost(calls=1, prompt_tokens=prompt, new_tokens=1)
        if request.form == "yes_no":
            p_yes = float(noise.random())
            return Candidate(output=Text("yes" if p_yes >= 0.5 else "no"), p_yes=p_yes, cost=cost)
        reward = float(noise.random()) if request.form == "reward" else None
        return Candidate(output=Text(str(noise.integers(10**9))), reward=reward, cost=cost)

    def drawing(self, noise: np.random.Generator, request: Request) -> Image:
        contrast = float(dict(request.sampling.settings).get("contrast", 1.0))
        pixels = 255 * contrast * noise.random((self.size, self.size, 3))
        return Image.from_pixels(pixels.astype(np.uint8))


def newest(history: Sequence[Message], images: int) -> tuple[Message, ...]:
    """The history without its images but for the newest."""
    kept: list[Message] = []
    for message in reversed(history):
        parts: list[Any] = []
        for part in reversed(message.parts):
            images -= isinstance(part, Image)
            parts += [] if isinstance(part, Image) and images < 0 else [part]
        kept.append(Message(message.role, tuple(reversed(parts))))
    return tuple(reversed(kept))


def noise_of(history: Sequence[Message], *told: object) -> np.random.Generator:
    """Random numbers that are fixed by all that a model is told."""
    text = "|".join([*(message.digest for message in history), *map(str, told)])
    return np.random.default_rng(int(hashlib.sha256(text.encode()).hexdigest(), 16))


@component
class IgnoresSeeds(Sketcher):
    """All candidates of a request are one."""

    def candidate(self, request: Request, seed: int) -> Candidate:
        return super().candidate(request, 0)


@component
class DependsOnTheBatch(Sketcher):
    """Draws from one random stream for the whole batch."""

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        rows = sum(len(request.seeds) for request in requests)
        return [[self.candidate(request, seed + rows) for seed in request.seeds] for request in requests]


@component
class DropsImages(Sketcher):
    """Draws from the texts of the history alone."""

    def candidate(self, request: Request, seed: int) -> Candidate:
        if request.modality == "image":
            request = replace(request, history=newest(request.history, 0))
        return super().candidate(request, seed)


@component
class SeesMoreImages(Sketcher):
    """Draws from older images than it declares."""

    def candidate(self, request: Request, seed: int) -> Candidate:
        oldest = int(noise_of(request.history[:2], "oldest").integers(1000))
        return super().candidate(request, seed + oldest if request.modality == "image" else seed)


@component
class ReadsNoImages(Sketcher):
    """Answers in text from the texts of the history alone."""

    def candidate(self, request: Request, seed: int) -> Candidate:
        if request.modality == "text":
            request = replace(request, history=newest(request.history, 0))
        return super().candidate(request, seed)


@component
class IgnoresThePrompt(Sketcher):
    """Answers from images and seed alone."""

    def candidate(self, request: Request, seed: int) -> Candidate:
        history = tuple(
            Message(m.role, tuple(part for part in m.parts if isinstance(part, Image)))
            for m in request.history
        )
        return super().candidate(replace(request, history=history), seed)


@component
class IgnoresSettings(Sketcher):
    """Takes a setting and does nothing with it."""

    def candidate(self, request: Request, seed: int) -> Candidate:
        return super().candidate(replace(request, sampling=replace(request.sampling, settings=())), seed)


@component
class DoublesTheCost(Sketcher):
    """Charges a candidate of a batch twice."""

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        return [
            [replace(c, cost=c.cost + c.cost) for c in made] if len(made) > 1 else made
            for made in super().generate(requests)
        ]


@component
class CountsNothing(Sketcher):
    """Forgets what its images cost."""

    def candidate(self, request: Request, seed: int) -> Candidate:
        return replace(super().candidate(request, seed), cost=Cost(calls=1))


@component
class ClaimsLogits(Sketcher):
    """Declares logits and gives no P(yes)."""

    def candidate(self, request: Request, seed: int) -> Candidate:
        return replace(super().candidate(request, seed), p_yes=None)


@component
class ClaimsRewards(Sketcher):
    """Declares rewards and gives none."""

    def candidate(self, request: Request, seed: int) -> Candidate:
        return replace(super().candidate(request, seed), reward=None)


@component
class ForgetsAKnob(Sketcher):
    """Says that its identity has a knob, and it has not."""

    @property
    def identity(self) -> str:
        return "sketcher:1"


@component
class HidesAKnob(Sketcher):
    """Declares a knob that changes results as one that changes none."""

    steps: int = knob("Steps.", default=4, ge=1, runtime=True)

    def candidate(self, request: Request, seed: int) -> Candidate:
        return super().candidate(request, seed + 100 * self.steps)


@component
class NamesARuntimeKnob(Sketcher):
    """Its identity has a knob that changes no result."""

    @property
    def identity(self) -> str:
        return f"sketcher:1:{self.paper}:{self.cache_bytes}"


@component
class DrawsOnly(Sketcher):
    """Declares images only, and writes texts as well."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, outputs=frozenset({"image"}))


@component
class LosesRows(Sketcher):
    """Keeps part of a batch that failed, and gives other candidates ever after."""

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        import torch

        spoiled = vars(self).setdefault("_spoiled", [])
        try:
            for number in range(100):
                torch.zeros(number)
        except torch.OutOfMemoryError:
            spoiled.append(1)
            raise
        return [
            [self.candidate(request, seed + len(spoiled)) for seed in request.seeds] for request in requests
        ]


BROKEN: dict[type[Sketcher], set[str]] = {
    IgnoresSeeds: {"other_seeds_give_other_candidates"},
    DependsOnTheBatch: {"seed_repeats_in_a_batch", "first_of_four_is_the_only_one"},
    DropsImages: {"context_images_change_the_image", "users_images_change_the_image"},
    SeesMoreImages: {"images_older_than_declared_change_nothing"},
    ReadsNoImages: {"images_change_the_text"},
    IgnoresThePrompt: {"prompt_changes_the_output"},
    IgnoresSettings: {"settings_change_the_output"},
    DoublesTheCost: {"costs_of_a_batch_are_those_of_single_calls"},
    CountsNothing: {"costs_are_counted"},
    ClaimsLogits: {"yes_no_is_answered"},
    ClaimsRewards: {"rewards_are_given"},
    ForgetsAKnob: {"knobs_of_one_identity_change_no_result"},
    HidesAKnob: {"knobs_of_one_identity_change_no_result"},
    NamesARuntimeKnob: {"runtime_knobs_leave_the_identity_alone"},
    DrawsOnly: {"other_modality_is_refused_before_compute"},
    LosesRows: {"out_of_memory_is_survived"},
}
"""The cases that find what is wrong with each."""
