"""Answers requests with a loaded BAGEL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from imug_tts.backbones.bagel.denoise import Branches, denoise
from imug_tts.backbones.bagel.history import pieces
from imug_tts.backbones.bagel.latents import decode
from imug_tts.backbones.bagel.loading import Loaded
from imug_tts.backbones.bagel.model import LATENT_PATCH
from imug_tts.backbones.bagel.reading import Reader, Scene
from imug_tts.backbones.bagel.settings import Drawing
from imug_tts.backbones.bagel.vision import pixels_of
from imug_tts.backbones.bagel.writing import Written, answer_after_thought, write
from imug_tts.backbones.native.sampling import random_stream
from imug_tts.contracts import Candidate, ConfigurationError, Cost, Request
from imug_tts.dialogue import Image, Text

__all__ = ["BagelGenerator"]


@dataclass(frozen=True, eq=False)
class BagelGenerator:
    """A loaded BAGEL with its cache of contexts."""

    loaded: Loaded
    reader: Reader

    def write(self, request: Request, settings: Drawing) -> list[Candidate]:
        """Texts, one candidate for each seed."""
        think = settings.think and request.form == "free"
        context = self.reader.for_text(pieces(request.history, settings.history), think)
        sampling = request.sampling
        texts = write(
            self.loaded,
            context,
            request.seeds,
            sampling.temperature,
            sampling.max_tokens,
            is_check=request.form == "yes_no",
        )
        return [_as_text(text, request, context.tokens, think) for text in texts]

    def draw(self, request: Request, settings: Drawing) -> list[Candidate]:
        """Images, one candidate for each seed; candidates that share a thought form one batch.

        Raises:
            ConfigurationError: the model cannot draw this size.
        """
        scene = self.reader.for_image(pieces(request.history, settings.history), settings.think)
        cells = self._cells(scene, settings)
        if not settings.think:
            return self._drawn(request.seeds, scene.branches, cells, settings, None)
        context, heat = scene.branches.full, settings.think_temperature
        seeds = request.seeds[:1] if heat == 0 else request.seeds
        thoughts = write(self.loaded, context, seeds, heat, settings.think_tokens)
        groups = [request.seeds] if heat == 0 else [(seed,) for seed in request.seeds]
        return [
            candidate
            for thought, group in zip(thoughts, groups, strict=True)
            for candidate in self._drawn(group, scene.branches, cells, settings, thought)
        ]

    def _cells(self, scene: Scene, settings: Drawing) -> tuple[int, int]:
        """Height and width of the image in latent tokens: those of the last image, or of the setting
        `size`.
        """
        limits = self.loaded.latent_limits
        size = settings.size or limits.longest
        if size > limits.longest or size % limits.stride:
            raise ConfigurationError(
                f"size is {size}; this model draws multiples of {limits.stride} up to {limits.longest} pixels"
            )
        height, width = scene.last_image or (size, size)
        return height // limits.stride, width // limits.stride

    def _drawn(
        self,
        seeds: Sequence[int],
        branches: Branches,
        cells: tuple[int, int],
        settings: Drawing,
        thought: Written | None,
    ) -> list[Candidate]:
        prompt = branches.full.tokens + (branches.without_images.tokens if settings.image_guidance > 1 else 0)
        if thought is not None:
            branches = branches.thinking(self.reader.text(branches.full, thought.text))
        noise = torch.stack([self._noise(seed, cells) for seed in seeds])
        latents, nfe = denoise(self.loaded.model, branches, noise, cells, settings, self.loaded.specials)
        cost = Cost(
            calls=1,
            prompt_tokens=prompt,
            new_tokens=thought.new_tokens if thought else 0,
            denoise_steps=settings.timesteps - 1,
            nfe=nfe,
            images=1,
        )
        said = thought.text if thought else None
        return [Candidate(output=self._image(row, cells), thought=said, cost=cost) for row in latents]

    def _noise(self, seed: int, cells: tuple[int, int]) -> Tensor:
        """Noise (tokens, values) from the candidate's own random stream; the same on every device."""
        values = self.loaded.model.shape.latent_channels * LATENT_PATCH**2
        noise = torch.randn(cells[0] * cells[1], values, generator=random_stream(seed, "image"))
        return noise.to(self.loaded.model.home, self.loaded.autoencoder.dtype)

    def _image(self, latents: Tensor, cells: tuple[int, int]) -> Image:
        pixels = decode(self.loaded.autoencoder, pixels_of(latents, LATENT_PATCH, *cells))
        return Image.from_pixels(pixels.numpy())


def _as_text(written: Written, request: Request, prompt_tokens: int, think: bool) -> Candidate:
    answer, thought = answer_after_thought(written.text) if think else (written.text, None)
    return Candidate(
        output=Text(answer),
        finish="stop" if written.is_whole else "length",
        thought=thought,
        p_yes=written.p_yes,
        cost=Cost(calls=1, prompt_tokens=prompt_tokens, new_tokens=written.new_tokens),
    )
