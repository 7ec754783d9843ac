"""Histories in the form of models that read images from users only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from imug_tts.dialogue import Image, Message, Part, Text

__all__ = ["with_images_from_users"]

_SHOWN_BELOW: Final = "(an image; it is shown in the next message)"
_ASSISTANTS: Final = "The assistant's image in the message before:"


def with_images_from_users(history: Sequence[Message]) -> Iterator[Message]:
    """The messages, in which an image of the assistant is moved into the user's next message, and labelled.

    Messages of others than users have one text.
    """
    moved: list[Part] = []
    for message in history:
        if message.role == "user":
            yield Message("user", (*moved, *message.parts))
            moved = []
            continue
        texts = [part.text for part in message.parts if isinstance(part, Text)]
        images = [part for part in message.parts if isinstance(part, Image)]
        if images:
            texts.append(_SHOWN_BELOW)
            moved += [Text(_ASSISTANTS), *images]
        yield Message(message.role, (Text("\n".join(texts)),))
