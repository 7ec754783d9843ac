"""Converts a history to the messages of transformers' chat templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from imug_tts.contracts import BackboneError
from imug_tts.dialogue import Image, Message, Text

__all__ = ["Chat", "chat_of", "newest_images"]


@dataclass(frozen=True)
class Chat:
    """Messages for `apply_chat_template`, and the images in the order of their marks."""

    messages: list[dict[str, Any]]
    images: list[Image]


def chat_of(history: Sequence[Message], marks: Sequence[str] = ()) -> Chat:
    """The history in the form {"role": ..., "content": [{"type": "image"} | {"type": "text", "text": ...}]}.

    Args:
        history: the messages; their order and the order of their parts are kept.
        marks: strings that stand for images in the rendered prompt, e.g. "<image>".

    Raises:
        BackboneError: a text contains one of the marks, so it would be taken for an image.
    """
    for part in (part for message in history for part in message.parts if isinstance(part, Text)):
        if found := next((mark for mark in marks if mark in part.text), None):
            raise BackboneError(
                f"a text of the history contains {found!r}, which stands for an image in this model's "
                "prompt; remove it from the text"
            )
    return Chat(
        messages=[{"role": m.role, "content": [_content(part) for part in m.parts]} for m in history],
        images=[part for message in history for part in message.parts if isinstance(part, Image)],
    )


def newest_images(history: Sequence[Message], count: int | None) -> tuple[Message, ...]:
    """The history with only its `count` newest images (None: all of them). Texts are kept."""
    images = [part for message in history for part in message.parts if isinstance(part, Image)]
    spare = 0 if count is None else max(0, len(images) - count)
    kept: list[Message] = []
    for message in history:
        parts = [part for part in message.parts if isinstance(part, Text) or (spare := spare - 1) < 0]
        kept.append(Message(message.role, tuple(parts)))
    return tuple(kept)


def _content(part: Text | Image) -> dict[str, Any]:
    return {"type": "text", "text": part.text} if isinstance(part, Text) else {"type": "image"}
