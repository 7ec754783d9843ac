"""Images in requests: JSON with base64 images in pieces, and errors for missing image files.

The JSON is encoded without its images, because an encoder would check every character of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any, Final

from imug_tts.contracts import BackboneError
from imug_tts.dialogue import Image

__all__ = ["json_pieces", "reading"]

_MARK: Final = "\0"


def json_pieces(frame: Any, key: str) -> Iterator[bytes | Image]:
    """Yield the JSON of `frame`, in which values of `key` may be images, as bytes and images in turn.

    Raises:
        TypeError: `frame` contains a value that JSON does not have.
    """
    images: list[Image] = []

    def mark(part: object) -> str:
        if not isinstance(part, Image):
            raise TypeError(f"{type(part).__name__} is not a JSON type")
        images.append(part)
        return _MARK

    text = json.dumps(frame, separators=(",", ":"), default=mark).encode()
    # A text cannot contain the key followed by a mark, because quotation marks in texts are escaped.
    start = b'"%s":"' % key.encode()
    between = text.replace(start + rb'\u0000"', start + b'\0"').split(b"\0")
    for piece, image in zip_longest(between, images):
        yield piece
        if image is not None:
            yield image


@contextmanager
def reading(image: Image) -> Iterator[None]:
    """Convert an error in reading an image into a failure of the call that sends it.

    Raises:
        BackboneError: an `OSError` was raised inside; names the file.
    """
    try:
        yield
    except OSError as error:
        raise BackboneError(f"{image.source!s} cannot be read: {error.strerror}") from error
