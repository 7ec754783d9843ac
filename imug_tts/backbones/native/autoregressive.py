"""The base class of backbones that write and draw token by token. Imports no torch."""

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
    """A model of transformers' own layout that writes and draws token by token."""

    max_batch: int = knob("Candidates that one call computes together.", default=16, ge=1, runtime=True)

    @property
    def prefill_counts(self) -> PrefillCounts:
        """Prompt tokens computed and reused since the weights were loaded."""
        return self._generator.store.counts

    @property
    def _generator(self) -> TokenGenerator:
        generator: TokenGenerator = self._loaded
        return generator

    def _memory(self, tokens_per_turn: int, tokens_per_candidate: int, branches: int) -> MemoryNeed:
        """Weights by the headers of the files; keys and values by the shape of the network."""
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
        """See the protocol. Requests of all kinds may be mixed.

        Raises:
            BackboneError: a history cannot be read, or is too long for the model.
            ConfigurationError: the checkpoint's files are missing, damaged or not of this model.
        """
        answers: dict[int, list[Candidate]] = {}
        for alike in alike_requests(requests):
            chosen = [requests[number] for number in alike]
            made = self._generator.answer(chosen, self._drawing(chosen[0]))
            answers.update(zip(alike, made, strict=True))
        return [answers[number] for number in range(len(requests))]
