"""Asking the scorer model, and reading its replies strictly: a score is never made up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final, TypeVar

from imug_tts.contracts import JudgeError, Sampling, Scope
from imug_tts.dialogue import Message, Part, Text
from imug_tts.final_text import final_text

__all__ = ["UnreadableReply", "ask_until_read", "json_object"]

T = TypeVar("T")

MAX_REASKS: Final = 2
SAMPLING: Final = Sampling(temperature=0.1, max_tokens=4096)
"""The temperature is the official scorer's; the tokens leave room for a judge that thinks first."""
_LONGEST_SHOWN: Final = 500


class UnreadableReply(ValueError):
    """A judge's reply does not have the form that was asked for; says what is wrong with it."""


async def ask_until_read(scope: Scope, question: tuple[Part, ...], read: Callable[[str], T]) -> T:
    """What `read` makes of the scorer's reply to `question`.

    A reply that `read` refuses with `UnreadableReply` is shown to the scorer again with what is wrong
    with it, at most twice, each time with another seed; a refusal to answer is asked again as it was.
    Replies from the journal do not count: what an earlier start could not read, this one asks anew.

    Raises:
        NoScorer: the run has no scorer.
        JudgeError: a call failed, or no reply could be read; shows the last one.
    """
    asked: tuple[Message, ...] = (Message("user", question),)
    history = asked
    left = 1 + MAX_REASKS
    for attempt in count():
        candidate = await scope.child(attempt).ask("scorer", history, "text", SAMPLING)
        reply = candidate.output.text if isinstance(candidate.output, Text) else ""
        try:
            return read(reply)
        except UnreadableReply as error:
            problem = str(error)
        left -= candidate.is_new
        if not left:
            break
        if reply.strip():
            again = scope.prompts("scorer")["unreadable"].format(problem=problem)
            history = (*asked, Message("assistant", (Text(reply),)), Message("user", (Text(again),)))
    shown = reply if len(reply) <= _LONGEST_SHOWN else f"{reply[:_LONGEST_SHOWN]}..."
    raise JudgeError(
        f"{1 + MAX_REASKS} replies of the scorer could not be read: {problem}; the last: {shown!r}"
    )


def json_object(text: str, key: str) -> dict[str, Any]:
    """The one JSON object with `key` in a text that may say other things around it, or fence it.

    Reasoning before the reply may hold drafts of the object, and does not count.

    Raises:
        UnreadableReply: there is none, or more than one.
    """
    found = [value for value in _objects(final_text(text)) if key in value]
    if len(found) == 1:
        return found[0]
    seen = "no JSON object" if not found else f"{len(found)} JSON objects"
    raise UnreadableReply(f'there must be one JSON object with "{key}", and there is {seen}')


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object that is not inside another."""
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
