"""The base class of backbones that generate texts and images token by token. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imug_tts.backbones.native.checkpoint import weight_bytes
from imug_tts.backbones.native.pretrained import Pretrained, alike_requests
from imug_tts.contracts import Candidate, Capabilities, MemoryNeed, Request
from imug_tts.knobs import component, knob

if TYPE_CHECKING:
    from imug_tts.backbones.native.generator import Drawing, TokenGenerator
    from imug_tts.backbones.native.prefill import PrefillCounts

__all__ = ["Autoregressive"]


@component
class Autoregressive(Pretrained):
    """A unified model in transformers' layout that generates texts and images token by token."""

    prefix_cache_gib: float = knob(
        "Memory for cached keys and values of prompts, which later turns continue, in GiB.",
        default=2.0,
        ge=0,
        runtime=True,
    )
    max_batch: int = knob("Maximum number of candidates in one batch.", default=16, ge=1, runtime=True)

    @property
    def prefix_cache_bytes(self) -> int:
        return int(self.prefix_cache_gib * (1 << 30))

    @property
    def prefill_counts(self) -> PrefillCounts:
        """Numbers of prompt tokens computed and reused since the weights were loaded."""
        return self._generator.store.counts

    def drop_caches(self) -> bool:
        return self._generator.store.clear()

    @property
    def _generator(self) -> TokenGenerator:
        generator: TokenGenerator = self._loaded
        return generator

    def _memory(self, tokens_per_turn: int, tokens_per_candidate: int, branches: int) -> MemoryNeed:
        """The memory need: weights from the file headers, keys and values from the network's shape."""
        token = self.bytes_per_token()
        return MemoryNeed(
            weights=weight_bytes(self.weight_files(), self.dtype),
            per_turn=token * tokens_per_turn,
            per_candidate=token * branches * (tokens_per_turn + tokens_per_candidate),
        )

    def _drawing(self, request: Request) -> Drawing:
        raise NotImplementedError

    def _described(self, limits: tuple[str, ...], context_images: int | None = None) -> Capabilities:
        return Capabilities(
            outputs=frozenset({"text", "image"}),
            reads_images=True,
            draws_from_images=True,
            seeds="exact" if self.dtype == "float64" else "best_effort",
            logits=True,
            max_batch=self.max_batch,
            context_images=context_images,
            limits=limits,
        )

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        """The candidates of each request; requests of all kinds may be mixed. See `Backbone.generate`.

        Raises:
            BackboneError: a history cannot be encoded, or is too long for the model.
            ConfigurationError: the checkpoint's files are missing, damaged or of another model.
        """
        answers: dict[int, list[Candidate]] = {}
        for alike in alike_requests(requests):
            chosen = [requests[number] for number in alike]
            made = self._generator.answer(chosen, self._drawing(chosen[0]))
            answers.update(zip(alike, made, strict=True))
        return [answers[number] for number in range(len(requests))]
