"""BAGEL as a backbone: knobs, capabilities and identity."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final

from imug_tts.backbones.bagel.estimate import estimate
from imug_tts.backbones.bagel.folder import AUTOENCODER, WEIGHTS
from imug_tts.backbones.bagel.settings import BagelSettings, drawing
from imug_tts.backbones.native.checkpoint import folder_identity
from imug_tts.backbones.native.placement import Native
from imug_tts.contracts import Candidate, Capabilities, MemoryNeed, Request
from imug_tts.knobs import component, knob

if TYPE_CHECKING:
    from imug_tts.backbones.bagel.context import ContextCache
    from imug_tts.backbones.bagel.generator import BagelGenerator
    from imug_tts.backbones.native.prefill import PrefillCounts

__all__ = ["BagelBackbone"]

_VERSION: Final = "1"


@component
class BagelBackbone(BagelSettings, Native):
    """BAGEL-7B-MoT in this process, built from modules of transformers and diffusers.

    It loads the released folder. Every image of the history is used, in its place. All candidates of a call
    share one context, and later turns reuse the cached contexts of earlier turns.
    """

    settings: ClassVar[type | None] = BagelSettings

    max_batch: int = knob(
        "Maximum number of candidates in one batch; fewer take less memory.",
        default=8,
        ge=1,
        runtime=True,
    )

    prefix_cache_gib: float = knob(
        "Memory for cached contexts, which later turns continue, in GiB; a turn with an image takes 0.8.",
        default=8.0,
        ge=0,
        runtime=True,
    )

    @cached_property
    def identity(self) -> str:
        """Adapter version and hash of the model's files.

        Raises:
            ConfigurationError: a file is missing or damaged.
        """
        files = [self.folder / WEIGHTS, self.folder / AUTOENCODER]
        return f"bagel:{_VERSION}:{folder_identity(self.folder, files)[:16]}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            outputs=frozenset({"text", "image"}),
            reads_images=True,
            draws_from_images=True,
            seeds="exact" if self.dtype == "float64" else "best_effort",
            logits=True,
            max_batch=self.max_batch,
            limits=(
                "Diffusion has no temperature: images of one request differ by their seeds alone.",
                "An image of the history enters as the mean of its encoding; the released code adds noise.",
            ),
        )

    @property
    def memory(self) -> MemoryNeed:
        """The memory need. The autoencoder's working memory counts as weights, because it decodes one image
        at a time.
        """
        return estimate(self.folder, self.dtype)

    @property
    def prefill_counts(self) -> PrefillCounts:
        """Numbers of context tokens computed and reused since the weights were loaded."""
        from imug_tts.backbones.native.prefill import PrefillCounts

        if not self.is_loaded:
            return PrefillCounts()
        cache = self._loaded.reader.cache
        return PrefillCounts(cache.computed_tokens, cache.served_tokens)

    def drop_caches(self) -> bool:
        cache: ContextCache = self._loaded.reader.cache
        return cache.clear()

    def _load(self) -> BagelGenerator:
        from imug_tts.backbones.bagel.context import ContextCache
        from imug_tts.backbones.bagel.generator import BagelGenerator
        from imug_tts.backbones.bagel.loading import load
        from imug_tts.backbones.bagel.reading import Reader

        loaded = load(self)
        return BagelGenerator(loaded, Reader(loaded, ContextCache(int(self.prefix_cache_gib * (1 << 30)))))

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        """The candidates of each request. Requests are answered one after another, their candidates in one
        batch.

        Raises:
            ConfigurationError: the files are not those of the model, or the model cannot draw the size.
            BackboneError: an image of the history cannot be read.
            torch.OutOfMemoryError: the candidates do not fit into memory.
        """
        return [self._answers(request) for request in requests]

    def _answers(self, request: Request) -> list[Candidate]:
        settings = drawing(self, request.sampling.settings)
        generator: BagelGenerator = self._loaded
        draw_or_write: Any = generator.draw if request.modality == "image" else generator.write
        made: list[Candidate] = draw_or_write(request, settings)
        return made
