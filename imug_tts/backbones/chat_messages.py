"""Converts histories to the messages of chat endpoints: images are data URLs, and only user messages hold
images.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any, Final

from imug_tts.contracts import BackboneError
from imug_tts.dialogue import Image, Message, Part, Text
from imug_tts.images import kind_of
from imug_tts.json_images import json_pieces, reading

__all__ = ["content_of", "data_url", "encoded", "messages", "typed", "with_images_from_users"]

_MIME: Final = {"PNG": "image/png", "JPEG": "image/jpeg"}
_SHOWN_BELOW: Final = "(an image; it is shown in the next message)"
_ASSISTANTS: Final = "The assistant's image in the message before:"


def with_images_from_users(history: Sequence[Message]) -> Iterator[Message]:
    """The messages, with images of the assistant moved into the user's next message under a label.

    Messages of other roles than the user hold one text.
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


def messages(history: Sequence[Message]) -> Iterator[dict[str, Any]]:
    """The history as messages of a chat endpoint, where only user messages hold images."""
    for message in with_images_from_users(history):
        if message.role == "user":
            yield {"role": "user", "content": [content_of(part) for part in message.parts]}
        else:
            [text] = (part.text for part in message.parts if isinstance(part, Text))
            yield {"role": message.role, "content": text}


def content_of(part: Part) -> dict[str, Any]:
    """The content item of a part. An image remains an `Image`, which `encoded` turns into a data URL."""
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": part}}


def encoded(frame: Any) -> bytes:
    """The JSON of a request, with the images at keys `url` as data URLs.

    Raises:
        BackboneError: an image cannot be read, or is neither PNG nor JPEG.
    """
    pieces = json_pieces(frame, "url")
    return b"".join(data_url(piece) if isinstance(piece, Image) else piece for piece in pieces)


def data_url(image: Image) -> bytes:
    """The image as a data URL. Raises as `encoded`."""
    mime, content = typed(image)
    return b"data:%s;base64,%s" % (mime.encode(), base64.b64encode(content))


def typed(image: Image) -> tuple[str, bytes]:
    """The media type and the bytes of an image. Raises as `encoded`."""
    with reading(image):
        content = image.read()
    mime = _MIME.get(kind_of(content) or "")
    if mime is None:
        raise BackboneError(f"image {image.sha256[:12]} is neither PNG nor JPEG")
    return mime, content
