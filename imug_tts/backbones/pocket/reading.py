"""Parses a history for the pocket model: which call it makes, and the token pieces of its prompt.

A prompt holds the requests and the pictures that answered them. Questions, plans and other notes of earlier
turns produce no tokens, because the model was trained without them. The note after the last user's words
selects the call: "plan" or "checklist" (write a plan), "plan ..." (draw after this plan), "answer" (state the
value), "answer ..." (state the letter of this value). A last message "check ..." asks for marks on the
picture before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from imug_tts.backbones.pocket import layout
from imug_tts.backbones.pocket.vocabulary import BOS, Vocabulary
from imug_tts.contracts import Request
from imug_tts.dialogue import Image, Message, Text

Codes = Callable[[Image], Sequence[int]]
LETTERS: Final = ("A", "B", "C", "D")


class Unreadable(ValueError):
    """A request that the model cannot parse."""


@dataclass(frozen=True)
class DrawCall:
    """A call to draw after this prompt."""

    prompt: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class PlanCall:
    """A call to write a plan after this prompt."""

    prompt: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class CheckCall:
    """A call to mark the picture at the beginning of `check`, which follows this prompt."""

    prompt: tuple[tuple[int, ...], ...]
    check: tuple[int, ...]


@dataclass(frozen=True)
class AnswerCall:
    """A call to choose among (value, letter) tokens: the value only, the letter of a given value, or both."""

    prompt: tuple[tuple[int, ...], ...]
    offered: tuple[tuple[int, int], ...]
    value_only: bool = False
    given_value: int | None = None


Call = DrawCall | PlanCall | CheckCall | AnswerCall


@dataclass
class _Trunk:
    """The pieces up to the last picture, and the last request that was answered with a picture."""

    pieces: list[list[int]]
    last_request: str = ""


def read(request: Request, vocabulary: Vocabulary, codes: Codes) -> Call:
    """The call that a request makes. Raises Unreadable or UnknownWord."""
    *before, last = request.history
    trunk = _trunk(before, vocabulary, codes)
    words, *notes = [part.text.strip() for part in last.parts if isinstance(part, Text)] or [""]
    if len(words.split()) and words.split()[0] == "check" and request.modality == "text":
        return _check(trunk, words.removeprefix("check").strip(), vocabulary)
    notes = [note for note in notes if note]
    note = notes[-1] if notes else ""
    if request.modality == "text" and note not in ("plan", "checklist"):
        return _answer(trunk, words, note, vocabulary)
    if not words and trunk.last_request:
        # A new draft is requested without new words, so the last request applies unchanged.
        trunk.pieces.pop()
        pieces = trunk.pieces
    else:
        pieces = [*trunk.pieces[:-1], [*trunk.pieces[-1], *layout.request(vocabulary, words)]]
    if request.modality == "text":
        return PlanCall(_frozen(pieces))
    plans = [each.removeprefix("plan").strip() for each in notes if each.startswith("plan ")]
    return DrawCall(_frozen([*pieces, layout.plan(vocabulary, plans[-1])] if plans else pieces))


def _frozen(pieces: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(piece) for piece in pieces)


def _trunk(history: Sequence[Message], vocabulary: Vocabulary, codes: Codes) -> _Trunk:
    trunk, asked = _Trunk([[BOS]]), ""
    for message in history:
        if message.role == "user":
            asked = next((part.text for part in message.parts if isinstance(part, Text)), "")
        pictures = [part for part in message.parts if isinstance(part, Image)]
        if message.role == "assistant" and pictures:
            trunk.pieces[-1] += layout.request(vocabulary, asked)
            trunk.pieces.append(layout.image(vocabulary, codes(pictures[-1])))
            trunk.last_request = asked
    return trunk


def _check(trunk: _Trunk, plan: str, vocabulary: Vocabulary) -> CheckCall:
    if len(trunk.pieces) < 2:
        raise Unreadable("there is no picture to check")
    *prompt, picture = trunk.pieces
    cells = (vocabulary.id_of[cell] for cell in vocabulary.cells)
    return CheckCall(_frozen([*prompt, layout.check(vocabulary, plan or None)]), (*picture, *cells))


def _answer(trunk: _Trunk, words: str, note: str, vocabulary: Vocabulary) -> AnswerCall:
    if "?" not in words:
        raise Unreadable(f"not a question: {words!r}")
    asked = layout.question(vocabulary, words)[:-1]
    listed = asked[asked.index(vocabulary.id_of["?"]) + 1 :]
    letters = {vocabulary.id_of[letter] for letter in LETTERS}
    offered = tuple(zip(listed[1::2], listed[::2], strict=False))
    if len(listed) % 2 or not offered or any(letter not in letters for _, letter in offered):
        raise Unreadable(f"the options are not letters with one value each: {words!r}")
    prompt = _frozen([*trunk.pieces[:-1], [*trunk.pieces[-1], *asked]])
    given = vocabulary.encode(note.removeprefix("answer"))
    return AnswerCall(prompt, offered, note == "answer", given[0] if given else None)
