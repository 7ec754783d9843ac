"""Image generation: Euler steps along BAGEL's velocity, guided by contexts without the text or without the
images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from imug_tts.backbones.bagel.context import Context
from imug_tts.backbones.bagel.model import Bagel, Specials
from imug_tts.backbones.bagel.settings import Drawing, Renorm

__all__ = ["Branches", "denoise", "times"]


@dataclass(frozen=True, kw_only=True)
class Branches:
    """The contexts of the guidance branches of one image."""

    full: Context
    without_text: Context
    """The context without the last text and without the thought."""
    without_images: Context
    """The context of all texts and no image."""

    def thinking(self, full: Context) -> Branches:
        """The branches after a thought, which only the full context contains."""
        return replace(self, full=full)


def times(timesteps: int, shift: float) -> Tensor:
    """The times from 1 (noise) to 0 (image), in float32; n timesteps make n - 1 steps."""
    even = torch.linspace(1, 0, timesteps)
    return shift * even / (1 + (shift - 1) * even)


def denoise(
    model: Bagel,
    branches: Branches,
    noise: Tensor,
    cells: tuple[int, int],
    drawing: Drawing,
    specials: Specials,
) -> tuple[Tensor, int]:
    """Latents (rows, tokens, values), and the number of network evaluations per row.

    `noise` has the shape and dtype of the latents. `cells` are the height and width of the image in tokens.
    All rows share the contexts.
    """
    latents, evaluations = noise, 0
    schedule = times(drawing.timesteps, drawing.timestep_shift)
    for now, after in pairwise(schedule):
        time = float(now)
        velocity = model.velocity(branches.full, latents, time, cells, specials)
        evaluations += 1
        if drawing.is_guided(time):
            text = model.velocity(branches.without_text, latents, time, cells, specials)
            evaluations += 1
            image = None
            if drawing.image_guidance > 1:
                image = model.velocity(branches.without_images, latents, time, cells, specials)
                evaluations += 1
            velocity = guided(velocity, text, image, drawing)
        latents = latents - velocity.to(latents.device) * float(now - after)
    return latents, evaluations


def guided(velocity: Tensor, text: Tensor, image: Tensor | None, drawing: Drawing) -> Tensor:
    """The velocity guided away from that without the text, then from that without the images."""
    pushed = text + drawing.text_guidance * (velocity - text)
    if drawing.renorm == "text_channel":
        pushed = _renormed(pushed, velocity, drawing.renorm, drawing.renorm_min)
    if image is not None:
        pushed = image + drawing.image_guidance * (pushed - image)
    if drawing.renorm != "text_channel":
        pushed = _renormed(pushed, velocity, drawing.renorm, drawing.renorm_min)
    return pushed


def _renormed(pushed: Tensor, velocity: Tensor, renorm: Renorm, least: float) -> Tensor:
    """`pushed`, shrunk towards the norm of `velocity`: the norm of each row ("global"), or of each token."""
    axes = (1, 2) if renorm == "global" else (2,)
    norm, pushed_norm = (v.square().sum(axes, keepdim=True).sqrt() for v in (velocity, pushed))
    return pushed * (norm / (pushed_norm + 1e-8)).clamp(min=least, max=1.0)
