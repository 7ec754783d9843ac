"""The right letters of a dynamic question: they depend on what the model drew, so a judge finds them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from imug_tts.contracts import JudgeError, Scope
from imug_tts.dialogue import Part, Text
from imug_tts.scoring import mcq
from imug_tts.scoring.replies import UnreadableReply, ask_until_read, json_object

__all__ = ["ReferencedTurn", "Resolution", "Unresolved", "determined_answer", "resolve"]

_KEY: Final = "determined_answer"
_ALL: Final = "ABCDEFG"
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
    official: str
    """The right letters that the official resolver takes from the first reply that it can read, joined."""


class Unresolved(JudgeError):
    """No reply of the scorer names the right letters.

    `official` is what the official resolver makes of the first reply that it can read; None if there is none.
    """

    def __init__(self, message: str, official: str | None) -> None:
        super().__init__(message)
        self.official = official


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
) -> Resolution:
    """Ask the scorer which options are right, given what earlier turns show.

    A reply counts if its answer is letters of the question's options and nothing else, one letter for a
    single-choice question. Any other reply is asked again and never guessed at.

    Args:
        turns: the earlier turns that the question depends on.
        fixed: letters that are right in any case.
        multiple_choice: whether several options may be right.

    Raises:
        NoScorer: the run has no scorer.
        Unresolved: the scorer gave no reply that names options of the question.
        JudgeError: the scorer failed.
    """
    kind = "several options may be right" if multiple_choice else "exactly one option is right"
    prompt = scope.prompts("scorer")["resolve"].format(kind=kind)
    shown = (part for turn in turns for part in _parts(turn))
    asked = (*shown, Text("The question to decide:"), *question, Text(prompt))
    reader = _Reader(fixed, _options(question), multiple_choice)
    try:
        return await ask_until_read(scope, asked, reader.read)
    except JudgeError as error:
        if reader.seen:
            raise Unresolved(str(error), reader.official) from error
        raise


def _parts(turn: ReferencedTurn) -> tuple[Part, ...]:
    return (
        Text(f"Turn {turn.number}, the request:"),
        *turn.question,
        Text(f"Turn {turn.number}, the answer:"),
        turn.answer,
    )


def _options(question: Sequence[Part]) -> str:
    """The letters of the options that a question lists, all letters if it shows no list from A on.

    Every capital letter that stands alone counts, "an A" too: so a letter is left out only if the text does
    not have it at all.
    """
    if any(not isinstance(part, Text) for part in question):
        return _ALL  # an image may show further options
    named = "".join(sorted(set(re.findall(r"\b[A-G]\b", " ".join(map(_text, question))))))
    return named if len(named) > 1 and _ALL.startswith(named) else _ALL


def _text(part: Part) -> str:
    return part.text if isinstance(part, Text) else ""


@dataclass
class _Reader:
    """Reads the scorer's replies strictly, and remembers what the official resolver would have read."""

    fixed: frozenset[str]
    options: str
    multiple_choice: bool
    seen: bool = False
    """Whether there was a reply."""
    official: str | None = None

    def read(self, reply: str) -> Resolution:
        self.seen = True
        if self.official is None:
            self.official = _official_or_none("".join(self.fixed), reply)
        letters = self.fixed.union(self._determined(reply))
        if not letters:
            raise UnreadableReply(f'"{_KEY}" names no option')
        joined = "".join(sorted(letters))
        return Resolution(letters, reply, joined if self.official is None else self.official)

    def _determined(self, reply: str) -> set[str]:
        answer = json_object(reply, _KEY)[_KEY]
        if not isinstance(answer, str) or not _LETTERS.fullmatch(answer.upper()):
            raise UnreadableReply(f'"{_KEY}" must be letters from A to G and nothing else, not {answer!r}')
        letters = set(mcq.united("", answer))
        if not self.multiple_choice and len(letters) > 1:
            raise UnreadableReply(f'"{_KEY}" must be one letter, because one option is right, not {answer!r}')
        if not letters <= set(self.options):
            raise UnreadableReply(f'"{_KEY}" must be of the options {self.options}, not {answer!r}')
        return letters


def _official_or_none(fixed: str, reply: str) -> str | None:
    try:
        return determined_answer(fixed, reply)
    except UnreadableReply:
        return None


def _official(reply: str) -> Any:
    found = re.search(r"\{.*\}", reply, re.DOTALL)
    try:
        return json.loads(found[0]).get(_KEY, "") if found else _fail(reply)
    except (ValueError, RecursionError):
        return _fail(reply)


def _fail(reply: str) -> Any:
    raise UnreadableReply(f"there is no JSON object in {reply[:80]!r}")
