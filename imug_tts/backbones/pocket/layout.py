"""The order of tokens: how requests, images, plans, checks and questions follow one another.

Training and inference both build their sequences from these pieces, so they cannot drift apart.
A dialogue is <bos>, then for every picture a request and an image; a plan may stand between.
A check is a branch behind a request: what to check against, the picture, and one token for each cell's mark.
"""

from __future__ import annotations

from collections.abc import Sequence

from imug_tts.backbones.pocket.vocabulary import ANSWER, ASK, CHECK, DRAW, END, PLAN, USER, Vocabulary


def request(vocabulary: Vocabulary, text: str) -> list[int]:
    """A user's request for a picture."""
    return [USER, *vocabulary.encode(text)]


def image(vocabulary: Vocabulary, codes: Sequence[int]) -> list[int]:
    """A picture; its first token opens it, so the model draws behind `image(vocabulary, [])`."""
    return [DRAW, *vocabulary.image_ids(codes)]


def plan(vocabulary: Vocabulary, text: str) -> list[int]:
    """A plan between a request and its picture."""
    return [PLAN, *vocabulary.encode(text), END]


def check(vocabulary: Vocabulary, plan_text: str | None) -> list[int]:
    """What opens a check behind a request: with a plan or without. All candidates of a turn share it."""
    return [CHECK] if plan_text is None else [CHECK, *vocabulary.encode(plan_text), END]


def marked(vocabulary: Vocabulary, codes: Sequence[int]) -> list[int]:
    """A picture behind what opened its check; each of the last `num_cells` tokens asks for one mark."""
    return [*image(vocabulary, codes), *(vocabulary.id_of[cell] for cell in vocabulary.cells)]


def question(vocabulary: Vocabulary, text: str) -> list[int]:
    """A multiple-choice question behind a picture; the value and then its letter follow."""
    return [ASK, *vocabulary.encode(text), ANSWER]
