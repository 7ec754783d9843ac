"""The right letters of a dynamic question: they depend on what the model drew, so a judge finds them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from imug_tts.contracts import Scope
from imug_tts.dialogue import Part, Text
from imug_tts.scoring import mcq
from imug_tts.scoring.replies import UnreadableReply, ask_until_read, json_object

__all__ = ["ReferencedTurn", "Resolution", "determined_answer", "resolve"]

_KEY: Final = "determined_answer"
_LETTERS: Final = re.compile(r"[A-G\s,.;+&/-]*")


class ReferencedTurn(NamedTuple):
    """An earlier turn that the judge must see: its question, and the image or letters that answer it."""

    number: int
    question: tuple[Part, ...]
    answer: Part


class Resolution(NamedTuple):
    letters: frozenset[str]
    """The right letters, those that are right in any case included."""
    reply: str


def determined_answer(raw_answer: str, judge_text: str) -> str:
    """The right letters by the official resolver's reading of a judge's reply, joined and sorted.

    It reads from the first brace to the last, and every letter A-G of the answer, in prose too.

    Raises:
        UnreadableReply: no JSON object stands between them; the official resolver fails as well.
    """
    return mcq.united(raw_answer, _official(judge_text))


async def resolve(
    scope: Scope,
    *,
    turns: Sequence[ReferencedTurn],
    question: tuple[Part, ...],
    fixed: frozenset[str],
    multiple_choice: bool,
    rule: mcq.Rule = "corrected",
) -> Resolution:
    """Ask the scorer which options are right, given what earlier turns show.

    Args:
        turns: the earlier turns that the question depends on.
        fixed: letters that are right in any case.
        multiple_choice: whether several options may be right.
        rule: "official" takes letters from any words of the reply, as the official resolver does;
            "corrected" takes a reply of letters alone, one for a single-choice question.

    Raises:
        NoScorer: the run has no scorer.
        JudgeError: the scorer failed, or gave no reply that could be read.
    """
    kind = "several options may be right" if multiple_choice else "exactly one option is right"
    prompt = scope.prompts("scorer")["resolve"].format(kind=kind)
    shown = (part for turn in turns for part in _parts(turn))
    asked = (*shown, Text("The question to decide:"), *question, Text(prompt))
    read = partial(_read, fixed=fixed, multiple_choice=multiple_choice, rule=rule)
    return await ask_until_read(scope, asked, read)


def _parts(turn: ReferencedTurn) -> tuple[Part, ...]:
    return (
        Text(f"Turn {turn.number}, the request:"),
        *turn.question,
        Text(f"Turn {turn.number}, the answer:"),
        turn.answer,
    )


def _read(reply: str, fixed: frozenset[str], multiple_choice: bool, rule: mcq.Rule) -> Resolution:
    determined = _official(reply) if rule == "official" else _letters(reply, multiple_choice)
    letters = fixed.union(mcq.united("", determined))
    if rule == "corrected" and not letters:
        raise UnreadableReply(f'"{_KEY}" names no option')
    return Resolution(letters, reply)


def _letters(reply: str, multiple_choice: bool) -> str:
    answer = json_object(reply, _KEY)[_KEY]
    if not isinstance(answer, str) or not _LETTERS.fullmatch(answer.upper()):
        raise UnreadableReply(f'"{_KEY}" must be letters from A to G and nothing else, not {answer!r}')
    if not multiple_choice and len(mcq.united("", answer)) > 1:
        raise UnreadableReply(f'"{_KEY}" must be one letter, because one option is right, not {answer!r}')
    return answer


def _official(reply: str) -> Any:
    found = re.search(r"\{.*\}", reply, re.DOTALL)
    try:
        return json.loads(found[0]).get(_KEY, "") if found else _fail(reply)
    except (ValueError, RecursionError):
        return _fail(reply)


def _fail(reply: str) -> Any:
    raise UnreadableReply(f"there is no JSON object in {reply[:80]!r}")
