"""Calls the scoring model and parses its replies strictly: an unclear reply never gives a score."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final, TypeVar

from imug_tts.contracts import Candidate, JudgeError, Sampling, Scope
from imug_tts.dialogue import Message, Part, Text
from imug_tts.final_text import final_text

__all__ = ["UnreadableReply", "ask_until_read", "json_object"]

T = TypeVar("T")

MAX_REASKS: Final = 2
SAMPLING: Final = Sampling(temperature=0.1, max_tokens=4096)
"""The temperature is the official scorer's; the token limit leaves room for reasoning."""
_LONGEST_SHOWN: Final = 500


class UnreadableReply(ValueError):
    """A scorer's reply does not have the requested form; the message says what is wrong."""


async def ask_until_read(
    scope: Scope,
    question: tuple[Part, ...],
    read: Callable[[str], T],
    *,
    sampling: Sampling = SAMPLING,
    form: str = "one complete JSON object and nothing else",
) -> T:
    """Return the result of `read` on the scorer's reply to `question`.

    If `read` raises `UnreadableReply`, the scorer gets its reply and the problem, and is asked again with
    another seed, at most twice. A scorer that refuses gets the same question again, unless the temperature
    is 0 and its reply would be the same. Replies loaded from the journal do not use up these
    attempts: if an earlier invocation could not read a reply, this one asks the scorer again.

    Args:
        form: what the scorer is told that a reply must be, when it is asked again.

    Raises:
        NoScorer: the run has no scorer.
        JudgeError: a call failed, or no reply could be parsed. Shows the last reply, or why it was refused.
    """
    history: tuple[Message, ...] = (Message("user", question),)
    left = 1 + MAX_REASKS
    for attempt in count():
        candidate = await scope.child(attempt).ask("scorer", history, "text", sampling)
        try:
            return read(_text_of(candidate))
        except UnreadableReply as error:
            problem = str(error)
        left -= candidate.is_new
        if not left or (candidate.output is None and sampling.temperature == 0):
            break
        if candidate.output is not None:
            # All replies stay: at temperature 0 the same history would have the same reply from the journal.
            again = scope.prompts("scorer")["unreadable"].format(problem=problem, form=form)
            reply = Message("assistant", (candidate.output,))
            history = (*history, reply, Message("user", (Text(again),)))
    last = _shown(candidate, problem)
    raise JudgeError(f"{max(1, 1 + MAX_REASKS - left)} replies of the scorer could not be read: {last}")


def _text_of(candidate: Candidate) -> str:
    if not isinstance(candidate.output, Text):
        raise UnreadableReply(f"the scorer refused{f': {candidate.reason}' if candidate.reason else ''}")
    return candidate.output.text


def _shown(candidate: Candidate, problem: str) -> str:
    """Return the problem of the last reply, and the reply if there is one."""
    if not isinstance(candidate.output, Text):
        return problem
    reply = candidate.output.text
    shown = reply if len(reply) <= _LONGEST_SHOWN else f"{reply[:_LONGEST_SHOWN]}..."
    return f"{problem}; the last: {shown!r}"


def json_object(text: str, key: str) -> dict[str, Any]:
    """Return the only JSON object with `key` in a text, which may have other text or a fence around it.

    Reasoning before the reply is ignored, because it may contain drafts of the object.

    Raises:
        UnreadableReply: the text has no such object, or more than one.
    """
    found = [value for value in _objects(final_text(text)) if key in value]
    if len(found) == 1:
        return found[0]
    seen = "no JSON object" if not found else f"{len(found)} JSON objects"
    raise UnreadableReply(f'there must be one JSON object with "{key}", and there is {seen}')


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield every JSON object that is not inside another."""
    decoder = json.JSONDecoder(object_pairs_hook=_without_duplicates)
    start = text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except UnreadableReply:
            raise
        except ValueError:
            end = start + 1
        except RecursionError:
            raise UnreadableReply("its JSON is nested too deeply") from None
        else:
            yield value
        start = text.find("{", end)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise UnreadableReply("a JSON object has a key twice")
    return dict(pairs)
