"""Whether bytes from outside are a whole image."""

from __future__ import annotations

import io
from typing import Final

from imug_tts.dialogue import MAX_PIXELS

__all__ = ["BrokenImage", "check_image", "kind_of"]

_PNG_END: Final = b"\0\0\0\0IEND\xaeB`\x82"
"""A whole chunk; Pillow does not miss it."""

_BEGINNINGS: Final = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"RIFF": "WebP",
    b"GIF8": "GIF",
    b"\x1f\x8b": "gzip data",
    b"\x28\xb5\x2f\xfd": "Zstandard data",
}


class BrokenImage(ValueError):
    """Bytes that are no whole image. The message begins with a verb: "is not ...", "has ..."."""


def check_image(
    encoded: bytes, *, formats: tuple[str, ...] = ("PNG", "JPEG"), max_pixels: int = MAX_PIXELS
) -> None:
    """Decode in full, with the checksums of a PNG.

    Raises:
        BrokenImage: it is of none of these formats, too large, damaged or cut off.
    """
    from PIL import Image as Pillow

    what = " or ".join(formats)
    kind = kind_of(encoded)
    if kind not in formats:
        raise BrokenImage(f"is not a whole {what}: it {f'is {kind}' if kind else 'begins otherwise'}")
    try:
        with Pillow.open(io.BytesIO(encoded), formats=formats) as opened:
            width, height = opened.size
            if width * height > max_pixels:
                raise BrokenImage(f"has {width}x{height} pixels; the most is {max_pixels} in all")
            if opened.format == "PNG" and _PNG_END not in encoded:
                raise BrokenImage("is not a whole PNG: it has no end")
            opened.verify()  # the checksums of a PNG
        with Pillow.open(io.BytesIO(encoded), formats=formats) as opened:
            opened.load()
    except BrokenImage:
        raise
    except Exception as error:  # Pillow promises no closed set for bytes from outside
        raise BrokenImage(f"is not a whole {what}: {error}") from error


def kind_of(encoded: bytes) -> str | None:
    """What bytes are by their beginning, e.g. "PNG" or "gzip data"; None where that does not tell."""
    return next((kind for start, kind in _BEGINNINGS.items() if encoded.startswith(start)), None)
