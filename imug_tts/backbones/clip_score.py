"""A backbone for reward calls: how well an image fits a text, by a CLIP or SigLIP checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, NamedTuple

from imug_tts.backbones.native.checkpoint import weight_bytes
from imug_tts.backbones.native.pretrained import Pretrained
from imug_tts.contracts import (
    BackboneError,
    Candidate,
    Capabilities,
    Cost,
    MemoryNeed,
    Request,
)
from imug_tts.dialogue import Image, Message, Text
from imug_tts.knobs import component

__all__ = ["ClipScore"]

_ROWS: Final = 64
_BYTES_PER_PIXEL: Final = 192
"""Memory of an image and its activations per pixel, roughly; for the memory estimate."""


class _Loaded(NamedTuple):
    model: Any
    processor: Any


@component
class ClipScore(Pretrained):
    """Scores the last image of a dialogue against the text of the last user message.

    The reward is the checkpoint's logit for the pair: the scaled cosine similarity of image and text
    embedding, for SigLIP plus its bias. Sources: CLIPScore, Hessel et al. 2021, arXiv 2104.08718; PickScore,
    a CLIP checkpoint trained on human preferences, Kirstain et al. 2023, arXiv 2305.01569.
    """

    model_types: ClassVar[tuple[str, ...]] = ("clip", "siglip", "siglip2")
    version: ClassVar[str] = "1"
    adapter: ClassVar[str] = "clip_score"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            outputs=frozenset(),
            reads_images=True,
            draws_from_images=False,
            seeds="best_effort",
            logits=False,
            max_batch=_ROWS,
            rewards=True,
            limits=(
                f"It reads the last request, to at most {self._most_tokens} tokens, and the candidate image; "
                "it does not see earlier messages.",
            ),
        )

    @property
    def memory(self) -> MemoryNeed:
        size = int(self.configuration.get("vision_config", {}).get("image_size", 224))
        return MemoryNeed(
            weights=weight_bytes(self.weight_files(), self.dtype), per_candidate=64 * 3 * size * size
        )

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        """One reward for each request, all computed in one forward pass.

        Raises:
            BackboneError: a request is not a reward call or has no image, or an image cannot be read.
            ConfigurationError: the checkpoint does not fit the model.
        """
        pairs = [_pair(request) for request in requests]
        rewards, tokens = self._rewards(pairs)
        return [
            [_candidate(reward, count)] * len(request.seeds)
            for request, reward, count in zip(requests, rewards, tokens, strict=True)
        ]

    def _rewards(self, pairs: Sequence[tuple[str, Image]]) -> tuple[list[float], list[int]]:
        """The reward and the number of text tokens of each pair."""
        import torch

        from imug_tts.backbones.native.images import to_pillow

        model, processor = self._loaded
        inputs = processor(
            text=[text for text, _ in pairs],
            images=[to_pillow(image) for _, image in pairs],
            padding="max_length",  # as SigLIP was trained; CLIP masks what is padded
            truncation=True,
            max_length=self._most_tokens,
            return_tensors="pt",
        ).to(model.device)
        inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
        with torch.inference_mode():
            logits = model(**inputs).logits_per_image.diagonal()
        counts = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"])).sum(dim=1)
        return logits.double().tolist(), counts.tolist()

    def _load(self) -> _Loaded:
        from transformers import AutoModel, AutoProcessor

        from imug_tts.backbones.native.loading import load_model, load_processor

        return _Loaded(load_model(AutoModel, self), load_processor(AutoProcessor, self.folder))

    @property
    def _most_tokens(self) -> int:
        """The maximum number of text tokens that the checkpoint was trained on."""
        config = self.configuration
        usual = 77 if config["model_type"] == "clip" else 64
        return int(config.get("text_config", {}).get("max_position_embeddings", usual))


def _pair(request: Request) -> tuple[str, Image]:
    """The text of the last user message, and the image of the answer. Raises BackboneError if there is
    none.
    """
    if request.form != "reward":
        raise BackboneError("a CLIP checkpoint answers reward calls only")
    *before, answer = request.history
    images = [part for part in answer.parts if isinstance(part, Image)]
    if answer.role != "assistant" or not images:
        raise BackboneError("a CLIP checkpoint scores images only, and the answer has none")
    return _words(before), images[-1]


def _words(history: Sequence[Message]) -> str:
    asked = next((message for message in reversed(history) if message.role == "user"), None)
    parts = asked.parts if asked else ()
    return "\n".join(part.text for part in parts if isinstance(part, Text))


def _candidate(reward: float, tokens: int) -> Candidate:
    return Candidate(output=Text(f"{reward:g}"), reward=reward, cost=Cost(calls=1, prompt_tokens=tokens))
