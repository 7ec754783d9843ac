"""How the pocket model reads a history: which call it is, and the token pieces of its prompt.

A prompt holds the requests and the pictures that answered them. Questions, plans and other notes of
earlier turns leave no tokens: the model was trained without. What stands behind the last user's words says
which call it is: "plan" or "checklist" (write a plan), "plan ..." (draw behind this plan), "answer" (say the
value), "answer ..." (say the letter of this value). A last message "check ..." asks for marks on the picture
before it.
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
    """A request that the model does not understand."""


@dataclass(frozen=True)
class DrawCall:
    """Draw behind this prompt."""

    prompt: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class PlanCall:
    """Write a plan behind this prompt."""

    prompt: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class CheckCall:
    """Mark the picture at the start of `check`, which stands behind this prompt."""

    prompt: tuple[tuple[int, ...], ...]
    check: tuple[int, ...]


@dataclass(frozen=True)
class AnswerCall:
    """Choose among (value, letter) tokens: only the value, only the letter of a given value, or both."""

    prompt: tuple[tuple[int, ...], ...]
    offered: tuple[tuple[int, int], ...]
    value_only: bool = False
    given_value: int | None = None


Call = DrawCall | PlanCall | CheckCall | AnswerCall


@dataclass
class _Trunk:
    """Pieces up to the last picture, and the last request that was answered with one."""

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
        # Asked to go on from a draft without a word on what to change: the request stands as it was.
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
