"""Calls of the text backbone, in batches within its limits, and the prompts that it writes for the
pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby

from imug_tts.contracts import Backbone, Candidate, Request, Sampling
from imug_tts.dialogue import Message, Text

__all__ = ["ask", "last_words", "rewriting"]


def ask(model: Backbone, requests: Sequence[Request]) -> list[list[Candidate]]:
    """The candidates of the text backbone. Batches and concurrent calls respect its `max_batch` and
    `concurrent_batches`.

    Raises:
        BackboneError: a call failed.
    """
    known = model.capabilities
    pieces = [
        (number, piece) for number, each in enumerate(requests) for piece in _pieces(each, known.max_batch)
    ]
    batches = _packed(pieces, known.max_batch)
    with ThreadPoolExecutor(known.concurrent_batches) as workers:
        made = list(workers.map(lambda batch: model.generate([piece for _, piece in batch]), batches))
    answers: list[list[Candidate]] = [[] for _ in requests]
    for batch, results in zip(batches, made, strict=True):
        for (number, _), candidates in zip(batch, results, strict=True):
            answers[number] += candidates
    return answers


def last_words(history: Sequence[Message]) -> str:
    """The texts of the last message, one per line: the user's request and the strategy's additions."""
    return "\n".join(part.text for part in history[-1].parts if isinstance(part, Text))


def rewriting(history: tuple[Message, ...], instruction: str, max_tokens: int) -> Request:
    """The request for a drawing prompt; greedy, so that all candidates of a turn share the prompt."""
    last = history[-1]
    asked = (*history[:-1], Message(last.role, (*last.parts, Text(instruction))))
    return Request(
        history=asked, modality="text", seeds=(0,), sampling=Sampling(temperature=0.0, max_tokens=max_tokens)
    )


def _pieces(request: Request, most: int) -> list[Request]:
    """The request in parts of at most `most` seeds, without its settings, which belong to the pipeline."""
    plain = replace(request, sampling=replace(request.sampling, settings=()))
    starts = range(0, len(request.seeds), most)
    return [replace(plain, seeds=request.seeds[start : start + most]) for start in starts]


def _packed(pieces: Sequence[tuple[int, Request]], most: int) -> list[list[tuple[int, Request]]]:
    """The parts in order, in batches of at most `most` candidates with equal sampling and form."""
    batches: list[list[tuple[int, Request]]] = []
    for _, alike in groupby(pieces, key=lambda each: (each[1].sampling, each[1].form)):
        rows = most
        for number, piece in alike:
            if rows + len(piece.seeds) > most:
                batches.append([])
                rows = 0
            batches[-1].append((number, piece))
            rows += len(piece.seeds)
    return batches
