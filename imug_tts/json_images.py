"""Images in requests: JSON that holds them as long texts, and what happens when a file of one is gone.

The JSON is written around its images, because an encoder would look at every character of them.
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
    """The JSON of `frame`, in which images are values of `key`: the bytes between them, and the images.

    Raises:
        TypeError: it holds something that JSON has not.
    """
    images: list[Image] = []

    def mark(part: object) -> str:
        if not isinstance(part, Image):
            raise TypeError(f"{type(part).__name__} is nothing that JSON has")
        images.append(part)
        return _MARK

    text = json.dumps(frame, separators=(",", ":"), default=mark).encode()
    # No text looks like a mark behind its key, because quotation marks in texts are escaped.
    start = b'"%s":"' % key.encode()
    between = text.replace(start + rb'\u0000"', start + b'\0"').split(b"\0")
    for piece, image in zip_longest(between, images):
        yield piece
        if image is not None:
            yield image


@contextmanager
def reading(image: Image) -> Iterator[None]:
    """Makes an image that cannot be read a failure of the call that shows it.

    Raises:
        BackboneError: an `OSError` was raised inside; names the file.
    """
    try:
        yield
    except OSError as error:
        raise BackboneError(f"{image.source!s} cannot be read: {error.strerror}") from error
