"""Messages whose images are data URLs, as chat endpoints take them."""

from __future__ import annotations

import base64
from typing import Any, Final

from imug_tts.contracts import BackboneError
from imug_tts.dialogue import Image, Part, Text
from imug_tts.images import kind_of
from imug_tts.json_images import json_pieces, reading

__all__ = ["content", "data_urls"]

_MIME: Final = {"PNG": b"image/png", "JPEG": b"image/jpeg"}


def content(part: Part) -> dict[str, Any]:
    """A part of a message; an image stands in it as itself, for `data_urls`."""
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": part}}


def data_urls(frame: Any) -> bytes:
    """The JSON of `frame`, with each image as its data URL.

    Raises:
        BackboneError: an image cannot be read, or is neither PNG nor JPEG.
    """
    pieces = json_pieces(frame, "url")
    return b"".join(_data_url(piece) if isinstance(piece, Image) else piece for piece in pieces)


def _data_url(image: Image) -> bytes:
    with reading(image):
        encoded = image.read()
    mime = _MIME.get(kind_of(encoded) or "")
    if mime is None:
        raise BackboneError(f"image {image.sha256[:12]} is neither PNG nor JPEG")
    return b"data:%s;base64,%s" % (mime, base64.b64encode(encoded))
