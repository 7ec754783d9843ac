"""Flattens a history into one user message, because vLLM-Omni ignores all other messages on image turns.

    User: Draw a red kite.
    Assistant: (image 1)
    User: Make it blue.

A history of one user message stays as it is. A placeholder names each image that is not sent, so that the
words around it still make sense.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, Final, NamedTuple

from imug_tts.backbones.chat_messages import content_of
from imug_tts.dialogue import Image, Message, Part, Role, Text

__all__ = ["Flat", "chat_frame", "flattened", "with_fewer_images"]

_ROLE_NAMES: Final = {"system": "System", "user": "User", "assistant": "Assistant"}
_NOT_SHOWN: Final = Text("(an image that is not shown)")


class Flat(NamedTuple):
    """A history in one text, and the images that are sent with it, oldest first."""

    text: str
    images: tuple[Image, ...]


def flattened(history: Sequence[Message], most: int | None, *, mark: str, roles: bool) -> Flat:
    """The history as one text.

    Args:
        most: maximum number of images to keep, the newest ones; None for all.
        mark: the mark of an image in the text; if empty, kept images are numbered instead.
        roles: whether roles are written as the marks of chat templates instead of words.
    """
    kept = with_fewer_images(history, most)
    images = tuple(part for message in kept for part in message.parts if isinstance(part, Image))
    numbers = count(1)
    said = [_words(message, mark, numbers) for message in kept]
    if _is_plain(kept):
        return Flat(said[0], images)
    join = _in_marks if roles else _in_words
    return Flat(join([message.role for message in kept], said), images)


def _in_words(roles: Sequence[Role], said: Sequence[str]) -> str:
    return "\n".join(f"{_ROLE_NAMES[role]}: {words}" for role, words in zip(roles, said, strict=True))


def _in_marks(roles: Sequence[Role], said: Sequence[str]) -> str:
    """The messages joined with role marks. The server opens the first and closes the last message itself."""
    text = ""
    for number, (role, words) in enumerate(zip(roles, said, strict=True)):
        follows_system = number == 1 and roles[0] == "system"
        between = "\n" if follows_system else f"<|im_end|>\n<|im_start|>{role}\n"
        text += words if number == 0 else f"{between}{words}"
    return text


def with_fewer_images(history: Sequence[Message], most: int | None) -> list[Message]:
    """The history with its newest `most` images; placeholders name the others."""
    images = sum(isinstance(part, Image) for message in history for part in message.parts)
    left_out = 0 if most is None else max(0, images - most)
    kept = []
    for message in history:
        parts: list[Part] = []
        for part in message.parts:
            hidden = isinstance(part, Image) and left_out > 0
            left_out -= hidden
            parts.append(_NOT_SHOWN if hidden else part)
        kept.append(Message(message.role, tuple(parts)))
    return kept


def chat_frame(flat: Flat, around: tuple[str, str]) -> list[dict[str, Any]]:
    """The messages of a request with a flat history."""
    before, after = around
    text = content_of(Text(f"{before}{flat.text}{after}"))
    return [{"role": "user", "content": [text, *map(content_of, flat.images)]}]


def _is_plain(history: Sequence[Message]) -> bool:
    """Whether the history is a single user message, whose words need no role."""
    return len(history) == 1 and history[0].role == "user"


def _words(message: Message, mark: str, numbers: Iterator[int]) -> str:
    """The words of a message, with a mark for each image."""
    said = [
        _as_words(part.text, mark) if isinstance(part, Text) else mark or f"(image {next(numbers)})"
        for part in message.parts
    ]
    return " ".join(filter(None, said))


def _as_words(text: str, mark: str) -> str:
    """The text with image marks that a user wrote made harmless."""
    return text.replace(mark, mark.replace("<", "(").replace(">", ")")) if mark else text
