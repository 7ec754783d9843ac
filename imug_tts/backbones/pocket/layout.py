"""The order of tokens: how requests, images, plans, checks and questions follow one another.

Training and inference build their sequences from these pieces, so they cannot differ. A dialogue is <bos>,
followed by a request and an image for every picture, with an optional plan in between. A check branches off
after a request: the plan to check against, the picture, and one token for each cell's mark.
"""

from __future__ import annotations

from collections.abc import Sequence

from imug_tts.backbones.pocket.vocabulary import ANSWER, ASK, CHECK, DRAW, END, PLAN, USER, Vocabulary


def request(vocabulary: Vocabulary, text: str) -> list[int]:
    """The tokens of a user's request for a picture."""
    return [USER, *vocabulary.encode(text)]


def image(vocabulary: Vocabulary, codes: Sequence[int]) -> list[int]:
    """The tokens of a picture. The first one opens it, so the model draws after `image(vocabulary, [])`."""
    return [DRAW, *vocabulary.image_ids(codes)]


def plan(vocabulary: Vocabulary, text: str) -> list[int]:
    """The tokens of a plan between a request and its picture."""
    return [PLAN, *vocabulary.encode(text), END]


def check(vocabulary: Vocabulary, plan_text: str | None) -> list[int]:
    """The tokens that open a check after a request, with or without a plan. All candidates of a turn share
    them.
    """
    return [CHECK] if plan_text is None else [CHECK, *vocabulary.encode(plan_text), END]


def marked(vocabulary: Vocabulary, codes: Sequence[int]) -> list[int]:
    """The tokens of a picture after the opening of its check; each of the last `num_cells` tokens asks for
    one mark.
    """
    return [*image(vocabulary, codes), *(vocabulary.id_of[cell] for cell in vocabulary.cells)]


def question(vocabulary: Vocabulary, text: str) -> list[int]:
    """The tokens of a multiple-choice question after a picture; the value and then its letter follow."""
    return [ASK, *vocabulary.encode(text), ANSWER]
