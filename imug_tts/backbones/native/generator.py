"""Token-by-token generation of texts and images with a unified model, many candidates at once.

A backbone implements the model-specific parts: the abstract methods of `TokenGenerator`, and `Canvas` for the
tokens of one image. This module holds the loops over tokens: one prefill per prompt, classifier-free
guidance, P(yes) and the cost. Every candidate samples from its own random stream.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor

from imug_tts.backbones.native.placement import input_device
from imug_tts.backbones.native.prefill import Prefix, PrefixStore, Rows, extended
from imug_tts.backbones.native.sampling import RowSampler, guided, random_stream
from imug_tts.backbones.native.yes_no import only_yes_or_no
from imug_tts.contracts import BackboneError, Candidate, Cost, Finish, Request
from imug_tts.dialogue import Image, Text

__all__ = ["Canvas", "Drawing", "Prompt", "TokenGenerator"]


@dataclass(frozen=True)
class Prompt:
    """The tokens of a prompt, up to the last token before the answer."""

    ids: tuple[int, ...]
    keys: tuple[Hashable, ...]
    """Cache keys of the tokens; equal keys mean equal embeddings. Image tokens are identified by their
    image.
    """
    images: tuple[Image, ...] = ()
    """The images that the image tokens stand for, in order."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Settings of image generation. A guidance of 1 needs no second branch."""

    guidance: float
    top_k: int = 0


class Canvas(ABC):
    """The token sequence of one image."""

    length: int
    """Number of tokens that the network computes for one image."""

    def forced(self, step: int) -> int | None:
        """The only allowed token at this step; None if the model chooses."""
        return None

    @abstractmethod
    def logits(self, hidden: Tensor) -> Tensor:
        """Logits over the codes, shape (rows, codes), for hidden states of shape (rows, width)."""

    @abstractmethod
    def ids(self, codes: Tensor) -> Tensor:
        """The token ids of codes, shape (rows,)."""

    @abstractmethod
    def embeds(self, ids: Tensor) -> Tensor:
        """Embeddings of image tokens, shape (rows, width)."""

    @abstractmethod
    def image(self, ids: Sequence[int]) -> Image:
        """The image of all tokens of one row."""


@dataclass
class _Texts:
    """The texts that the rows have generated so far."""

    ids: list[list[int]]
    p_yes: list[float | None]
    finish: list[Finish] = field(default_factory=list)


class TokenGenerator(ABC):
    """A loaded unified model that generates texts and images token by token.

    Args:
        network: the causal network of transformers.
        tokenizer: the tokenizer of transformers.
        store: the cache of prompt prefixes.
        longest: maximum number of tokens of a prompt and its answer together.
    """

    def __init__(self, network: Any, tokenizer: Any, store: PrefixStore, longest: int) -> None:
        self._network, self._tokenizer = network, tokenizer
        self.store = store
        self._longest = longest
        self._stop_ids = _stop_ids(network.config, tokenizer)

    @abstractmethod
    def prompt(self, request: Request, drawing: Drawing) -> Prompt:
        """The prompt of a request. Raises BackboneError if the history cannot be encoded."""

    @abstractmethod
    def unguided(self, prompt: Prompt, drawing: Drawing) -> Prompt:
        """The prompt of the unconditional branch of classifier-free guidance."""

    @abstractmethod
    def embeds(self, prompt: Prompt, start: int) -> Tensor:
        """Embeddings of the prompt's tokens from index `start` on, shape (1, tokens, width)."""

    @abstractmethod
    def text_logits(self, hidden: Tensor) -> Tensor:
        """Logits over the vocabulary, shape (rows, words), for hidden states of shape (rows, width)."""

    @abstractmethod
    def canvas(self, drawing: Drawing) -> Canvas:
        """The token sequence of an image with these settings."""

    @torch.inference_mode()
    def answer(self, requests: Sequence[Request], drawing: Drawing) -> list[list[Candidate]]:
        """The candidates of requests with equal modality, sampling and form.

        Raises:
            BackboneError: a history cannot be encoded, or a prompt is too long for the model.
        """
        started = time.perf_counter()
        prompts = [self.prompt(request, drawing) for request in requests]
        make = self._draw if requests[0].modality == "image" else self._write
        made = iter(make(requests, prompts, drawing))
        count = sum(len(request.seeds) for request in requests)
        seconds = (time.perf_counter() - started) / count
        return [
            [_timed(each, len(prompt.ids), seconds) for each in islice(made, len(request.seeds))]
            for request, prompt in zip(requests, prompts, strict=True)
        ]

    def _draw(
        self, requests: Sequence[Request], prompts: Sequence[Prompt], drawing: Drawing
    ) -> list[Candidate]:
        canvas = self.canvas(drawing)
        self._check_length(prompts, canvas.length)
        repeats = [len(request.seeds) for request in requests]
        branches = 1 if drawing.guidance == 1 else 2
        both = (
            [*prompts, *(self.unguided(prompt, drawing) for prompt in prompts)] if branches == 2 else prompts
        )
        rows = self._rows(both, repeats * branches, canvas.length)
        sampler = _sampler(requests, "image", drawing.top_k)
        drawn = self._drawn(canvas, rows, self._last(both, repeats * branches), sampler, drawing.guidance)
        cost = Cost(calls=1, new_tokens=canvas.length, nfe=canvas.length * branches, images=1)
        return [Candidate(output=canvas.image(ids), cost=cost) for ids in drawn.tolist()]

    def _drawn(
        self, canvas: Canvas, rows: Rows, embeds: Tensor, sampler: RowSampler, guidance: float
    ) -> Tensor:
        """The tokens of all images, shape (images, length)."""
        branches = 1 if guidance == 1 else 2
        drawn = torch.empty(len(rows) // branches, canvas.length, dtype=torch.long)
        for step in range(canvas.length):
            hidden = rows.forward(embeds)
            ids = self._next(canvas, step, hidden, sampler, guidance)
            drawn[:, step] = ids
            embeds = canvas.embeds(ids).repeat(branches, 1)
        return drawn

    def _next(
        self, canvas: Canvas, step: int, hidden: Tensor, sampler: RowSampler, guidance: float
    ) -> Tensor:
        forced = canvas.forced(step)
        images = len(hidden) if guidance == 1 else len(hidden) // 2
        if forced is not None:
            return torch.full((images,), forced, device=hidden.device)
        logits = canvas.logits(hidden)
        if guidance != 1:
            logits = guided(logits[:images].float(), logits[images:].float(), guidance)
        return canvas.ids(sampler.pick(logits))

    def _write(
        self, requests: Sequence[Request], prompts: Sequence[Prompt], drawing: Drawing
    ) -> list[Candidate]:
        self._check_length(prompts, 1)
        repeats = [len(request.seeds) for request in requests]
        left = [min(requests[0].sampling.max_tokens, self._longest - len(p.ids)) for p in prompts]
        most = [tokens for tokens, count in zip(left, repeats, strict=True) for _ in range(count)]
        rows = self._rows(prompts, repeats, max(most))
        is_check = requests[0].form == "yes_no"
        texts = self._texts(rows, self._last(prompts, repeats), _sampler(requests, "text"), most, is_check)
        return [
            Candidate(
                output=Text(self._tokenizer.decode(ids, skip_special_tokens=True).strip()),
                finish=finish,
                p_yes=p_yes,
                cost=Cost(calls=1, new_tokens=len(ids)),
            )
            for ids, p_yes, finish in zip(texts.ids, texts.p_yes, texts.finish, strict=True)
        ]

    def _texts(
        self, rows: Rows, embeds: Tensor, sampler: RowSampler, most: Sequence[int], is_check: bool
    ) -> _Texts:
        """The texts of all rows. Each row has its own limit in `most`, independent of other rows."""
        written = _Texts(ids=[[] for _ in range(len(rows))], p_yes=[None] * len(rows))
        is_open = list(range(len(rows)))
        for step in range(max(most)):
            logits = self.text_logits(rows.forward(embeds)).float()
            if is_check and step == 0:
                logits, shares = only_yes_or_no(logits, self._tokenizer)
                written.p_yes = list(shares)
            ids = sampler.pick(logits)
            for row, token in zip(is_open, ids.tolist(), strict=True):
                written.ids[row].append(token)
            going = [at for at, row in enumerate(is_open) if self._is_open(written.ids[row], most[row])]
            if not going:
                break
            if len(going) < len(is_open):
                rows.keep(going)
                sampler.keep(going)
                is_open = [is_open[at] for at in going]
            embeds = self._embed(ids[going])
        written.finish = ["stop" if ids[-1] in self._stop_ids else "length" for ids in written.ids]
        return written

    def _is_open(self, ids: Sequence[int], most: int) -> bool:
        """Whether the text is unfinished."""
        return len(ids) < most and ids[-1] not in self._stop_ids

    def _check_length(self, prompts: Sequence[Prompt], answer: int) -> None:
        longest = max(len(prompt.ids) for prompt in prompts)
        if longest + answer > self._longest:
            raise BackboneError(
                f"the prompt has {longest} tokens and the answer {answer}; the model takes {self._longest} "
                "in total. Shorten the history, or reduce the number or size of its images"
            )

    def _rows(self, prompts: Sequence[Prompt], repeats: Sequence[int], room: int) -> Rows:
        """Decoding rows after all tokens of the prompts except their last ones."""
        return Rows(self._network, [self._prefix(prompt) for prompt in prompts], repeats, room)

    def _prefix(self, prompt: Prompt) -> Prefix:
        keys = prompt.keys[:-1]
        known = self.store.longest(keys)
        if known is not None and known.length == len(keys):
            return known
        start = known.length if known else 0
        prefix = extended(self._network, known, self.embeds(prompt, start)[:, :-1])
        self.store.put(keys, prefix)
        return prefix

    def _last(self, prompts: Sequence[Prompt], repeats: Sequence[int]) -> Tensor:
        """Embeddings of the last tokens of the prompts, one for each row."""
        pairs = zip(prompts, repeats, strict=True)
        return self._embed(torch.tensor([p.ids[-1] for p, count in pairs for _ in range(count)]))

    def _embed(self, ids: Tensor) -> Tensor:
        embedding = self._network.get_input_embeddings()
        embeds: Tensor = embedding(ids.to(input_device(embedding)))
        return embeds


def _sampler(requests: Sequence[Request], purpose: str, top_k: int = 0) -> RowSampler:
    seeds = chain.from_iterable(request.seeds for request in requests)
    streams = [random_stream(seed, purpose) for seed in seeds]
    return RowSampler(streams, requests[0].sampling.temperature, top_k=top_k)


def _timed(candidate: Candidate, prompt_tokens: int, seconds: float) -> Candidate:
    return replace(candidate, cost=replace(candidate.cost, prompt_tokens=prompt_tokens, seconds=seconds))


def _stop_ids(config: Any, tokenizer: Any) -> frozenset[int]:
    stated = config.eos_token_id
    listed = stated if isinstance(stated, list) else [stated]
    return frozenset(each for each in (*listed, tokenizer.eos_token_id) if each is not None)
