"""The words of the pocket model, taken from the pocket world."""

from __future__ import annotations

from imug_tts.backbones.pocket.vocabulary import Vocabulary
from imug_tts.benchmarks.pocket_world import operations, questions, world

_OPERATIONS = ("draw", "add", "move", "swap", "remove", "paint", "mix", "gravity", "wind", "wait")
_QUESTIONS = ("what is", "where is", "which row is", "which column is", "?")
_IGNORED = ("a", "an", "the", "at", "to", "and", "into", "in", "then", ",", ":", ";")


def build_vocabulary(num_codes: int) -> Vocabulary:
    """Return the vocabulary of all words that requests, questions, plans, checks and answers can hold."""
    plan_words = (
        *_OPERATIONS,
        *world.CELLS,
        *world.STATES,
        *world.COLOURS,
        *operations.RELATIONS,
        *operations.WINDS,
        "anywhere",
        *world.LINES,
    )
    others = (*_QUESTIONS, *questions.LETTERS, "yes", "no")
    return Vocabulary(
        words=(*plan_words, *others),
        ignored=frozenset(_IGNORED),
        cells=world.CELLS,
        plan_words=plan_words,
        num_codes=num_codes,
    )
