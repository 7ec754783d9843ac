"""Adds the pieces of a dialogue to contexts; pieces computed before come from the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image as Pillow

from imug_tts.backbones.bagel.context import EMPTY, Context, ContextCache
from imug_tts.backbones.bagel.denoise import Branches
from imug_tts.backbones.bagel.history import THINK_AND_ANSWER, THINK_AND_DRAW, Piece
from imug_tts.backbones.bagel.latents import encode
from imug_tts.backbones.bagel.loading import Loaded
from imug_tts.backbones.bagel.sizes import as_input, resized
from imug_tts.backbones.native.images import to_pillow
from imug_tts.dialogue import Image

__all__ = ["Reader", "Scene"]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The contexts from which an image is drawn."""

    branches: Branches
    last_image: tuple[int, int] | None
    """Height and width in pixels of the history's last image, resized for the model; None without images."""


class Reader:
    """Builds contexts of dialogues with one loaded model; equal beginnings are shared through the cache."""

    def __init__(self, loaded: Loaded, cache: ContextCache) -> None:
        self._loaded, self.cache = loaded, cache

    def for_text(self, pieces: Sequence[Piece], think: bool) -> Context:
        """The context for generating a text; images enter as ViT features only.

        Raises:
            BackboneError: an image cannot be read.
        """
        context = self.text(EMPTY, THINK_AND_ANSWER) if think else EMPTY
        for piece in pieces:
            context = self.text(context, piece) if isinstance(piece, str) else self._seen(context, piece)
        self.cache.used([context])
        return context

    def for_image(self, pieces: Sequence[Piece], think: bool) -> Scene:
        """The contexts for generating an image, with guidance branches; images enter as latents and as ViT
        features.

        Raises:
            BackboneError: an image cannot be read.
        """
        full = without_images = self.text(EMPTY, THINK_AND_DRAW) if think else EMPTY
        without_text, size = EMPTY, None
        for piece in pieces:
            if isinstance(piece, str):
                without_text = full
                full, without_images = self.text(full, piece), self.text(without_images, piece)
            else:
                without_text = full = self._seen(self._encoded(full, piece), piece)
                size = self._taken(piece).size[::-1]
        branches = Branches(full=full, without_text=without_text, without_images=without_images)
        self.cache.used([without_images, full])
        return Scene(branches=branches, last_image=size)

    def text(self, context: Context, text: str) -> Context:
        """The context extended by a text."""
        specials, key = self._loaded.specials, f"text {text}"

        def compute() -> Context:
            ids = self._loaded.tokenizer.encode(text)
            ids = [specials.text_start, *ids, specials.text_end]
            return self._loaded.model.add_text(context, ids, context.after(key))

        return self.cache.extend(context, key, compute)

    def _seen(self, context: Context, image: Image) -> Context:
        key = f"seen {image.sha256}"

        def compute() -> Context:
            pixels = as_input(resized(self._taken(image), self._loaded.vit_limits))
            return self._loaded.model.add_seen(context, pixels, self._loaded.specials, context.after(key))

        return self.cache.extend(context, key, compute)

    def _encoded(self, context: Context, image: Image) -> Context:
        key = f"latents {image.sha256}"

        def compute() -> Context:
            pixels = as_input(resized(self._taken(image), self._loaded.latent_limits))
            latents = encode(self._loaded.autoencoder, pixels)
            return self._loaded.model.add_latents(context, latents, self._loaded.specials, context.after(key))

        return self.cache.extend(context, key, compute)

    def _taken(self, image: Image) -> Pillow.Image:
        """The image resized to the latent limits; as in the released code, later steps resize it again."""
        return resized(to_pillow(image), self._loaded.latent_limits)
