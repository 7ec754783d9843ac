"""The base class of backbones that write and draw token by token. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from imug_tts.backbones.native.checkpoint import (
    ITEM_BYTES,
    folder_identity,
    read_json,
    weight_bytes,
)
from imug_tts.backbones.native.placement import Native
from imug_tts.contracts import Candidate, Capabilities, ConfigurationError, MemoryNeed, Request
from imug_tts.knobs import component, knob

if TYPE_CHECKING:
    from imug_tts.backbones.native.prefill import PrefillCounts
    from imug_tts.backbones.native.speaker import Drawing, Speaker

__all__ = ["Autoregressive"]


@component
class Autoregressive(Native):
    """A model of transformers' own layout that writes and draws token by token."""

    model_type: ClassVar[str]
    """What the checkpoint's config.json must say."""
    version: ClassVar[str]
    """Changes whenever the same weights and seeds give another answer."""

    max_batch: int = knob("Candidates that one call computes together.", default=16, ge=1, runtime=True)

    @cached_property
    def identity(self) -> str:
        """Adapter version and identity of the checkpoint's files.

        Raises:
            ConfigurationError: a file is missing or not of this model.
        """
        self._configuration()
        return f"{self.model_type}:{self.version}:{folder_identity(self.folder, self.weight_files())[:16]}"

    @property
    def prefill_counts(self) -> PrefillCounts:
        """Prompt tokens computed and reused since the weights were loaded."""
        return self._speaker.store.counts

    @property
    def _speaker(self) -> Speaker:
        speaker: Speaker = self._loaded
        return speaker

    def weight_files(self) -> list[Path]:
        """The checkpoint's safetensors files.

        Raises:
            ConfigurationError: there are none.
        """
        files = sorted(self.folder.glob("*.safetensors"))
        if not files:
            raise ConfigurationError(
                f"{self.folder} holds no *.safetensors file; give the folder of the downloaded model"
            )
        return files

    def _configuration(self) -> dict[str, Any]:
        config = read_json(self.folder / "config.json")
        if config.get("model_type") != self.model_type:
            raise ConfigurationError(
                f"{self.folder / 'config.json'} says model_type {config.get('model_type')!r}, not "
                f"{self.model_type!r}; give the folder of a {self.model_type} model in transformers' layout"
            )
        return config

    def _memory(self, tokens_per_turn: int, tokens_per_candidate: int, branches: int) -> MemoryNeed:
        """Weights by the headers of the files; keys and values by the shape of the network."""
        token = self._bytes_per_token()
        return MemoryNeed(
            weights=weight_bytes(self.weight_files(), self.dtype),
            per_turn=token * tokens_per_turn,
            per_candidate=token * branches * (tokens_per_turn + tokens_per_candidate),
        )

    def _bytes_per_token(self) -> int:
        """Bytes of the keys and values of one token."""
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(self.folder, local_files_only=True)
        text = config.get_text_config()
        heads = text.num_attention_heads
        width = getattr(text, "head_dim", None) or text.hidden_size // heads
        stated = str(config.dtype or "bfloat16").removeprefix("torch.")
        item = ITEM_BYTES.get(stated if self.dtype == "auto" else self.dtype, 2)
        return int(2 * text.num_hidden_layers * (text.num_key_value_heads or heads) * width * item)

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
        for alike in _groups(requests):
            chosen = [requests[number] for number in alike]
            made = self._speaker.answer(chosen, self._drawing(chosen[0]))
            answers.update(zip(alike, made, strict=True))
        return [answers[number] for number in range(len(requests))]


def _groups(requests: Sequence[Request]) -> Iterator[list[int]]:
    """The numbers of requests that have modality, sampling and form in common."""
    groups: dict[object, list[int]] = {}
    for number, request in enumerate(requests):
        groups.setdefault((request.modality, request.sampling, request.form), []).append(number)
    yield from groups.values()
