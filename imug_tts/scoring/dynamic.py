"""Right letters of dynamic questions, determined by a scoring model from outputs of previous turns."""

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
    """A previous turn that the scorer must see: its question, and the image or letters that answer it."""

    number: int
    question: tuple[Part, ...]
    answer: Part


class Resolution(NamedTuple):
    letters: frozenset[str]
    """The right letters, including those that are right in any case."""
    reply: str
    official: str
    """The right letters by the official parsing of the first reply that it can parse, joined."""


class Unresolved(JudgeError):
    """No reply of the scorer names the right letters.

    `official` is the official parsing of the first reply that it can parse; None if it can parse none.
    """

    def __init__(self, message: str, official: str | None) -> None:
        super().__init__(message)
        self.official = official


def determined_answer(raw_answer: str, judge_text: str) -> str:
    """Return the right letters by the official parsing of a scorer's reply, joined and sorted.

    It parses from the first brace to the last, and takes every letter A-G of the answer, even in prose.

    Raises:
        UnreadableReply: there is no JSON object between the braces; the official parser fails as well.
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
    """Ask the scorer which options are right, given the outputs of previous turns.

    A reply is valid if its answer consists of letters of the question's options only, and of one letter for a
    single-choice question. After any other reply the scorer is asked again; nothing is guessed.

    Args:
        turns: the previous turns that the question depends on.
        fixed: letters that are right in any case.
        multiple_choice: whether several options may be right.

    Raises:
        NoScorer: the run has no scorer.
        Unresolved: no reply of the scorer names options of the question.
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
    """Return the letters of the options that a question lists; all letters if it lists none from A on.

    Every single capital letter counts, even the article "A". So a letter is excluded only if it does not
    occur.
    """
    if any(not isinstance(part, Text) for part in question):
        return _ALL  # an image may show further options
    named = "".join(sorted(set(re.findall(r"\b[A-G]\b", " ".join(map(_text, question))))))
    return named if len(named) > 1 and _ALL.startswith(named) else _ALL


def _text(part: Part) -> str:
    return part.text if isinstance(part, Text) else ""


@dataclass
class _Reader:
    """Parses the scorer's replies strictly, and stores the official parsing of the first parsable one."""

    fixed: frozenset[str]
    options: str
    multiple_choice: bool
    seen: bool = False
    """Whether the scorer has replied."""
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
