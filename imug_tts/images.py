"""Checks that bytes are a complete image."""

from __future__ import annotations

import io
import re
from typing import Final

from imug_tts.dialogue import MAX_PIXELS

__all__ = ["HEAD_BYTES", "BrokenImage", "check_image", "kind_of", "why_not_sent"]

_PNG_END: Final = b"\0\0\0\0IEND\xaeB`\x82"
"""The last chunk of a PNG; Pillow does not notice if it is missing."""

HEAD_BYTES: Final = 16
"""Number of first bytes that identify the type of a file."""
_BEGINNINGS: Final = {
    rb"\x89PNG\r\n\x1a\n": "PNG",
    rb"\xff\xd8\xff": "JPEG",
    rb"RIFF....WEBP": "WebP",
    rb"GIF8": "GIF",
    rb"BM": "BMP",
    rb"II\*\0|MM\0\*": "TIFF",
    rb"....ftyp(avif|avis)": "AVIF",
    rb"....ftyp(heic|heix|mif1|msf1)": "HEIF",
    rb"\x1f\x8b": "gzip data",
    rb"\x28\xb5\x2f\xfd": "Zstandard data",
    rb"version https:/": "a Git LFS pointer (fetch the file: git lfs pull)",
    rb"\s*<": "HTML or XML",
}
_SENT: Final = ("PNG", "JPEG")


class BrokenImage(ValueError):
    """The bytes are no complete image. The message begins with a verb: "is not ...", "has ..."."""


def check_image(
    encoded: bytes, *, formats: tuple[str, ...] = ("PNG", "JPEG"), max_pixels: int = MAX_PIXELS
) -> None:
    """Decode an image completely, and verify the checksums of a PNG.

    Raises:
        BrokenImage: the bytes are no image of these formats, too large, damaged or cut off.
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
    except Exception as error:  # Pillow may raise anything for untrusted bytes
        raise BrokenImage(f"is not a whole {what}: {error}") from error


def kind_of(encoded: bytes) -> str | None:
    """Return the type of a file by its first bytes, e.g. "PNG" or "gzip data"; None if unknown."""
    head = encoded[:HEAD_BYTES]
    return next((kind for start, kind in _BEGINNINGS.items() if re.match(start, head, re.DOTALL)), None)


def why_not_sent(head: bytes) -> str:
    """Return why an image with these first `HEAD_BYTES` cannot be sent to models; empty for PNG and JPEG.

    Servers and judges accept these two formats, whatever the file's name. Nothing is decoded here.
    """
    kind = kind_of(head)
    if kind in _SENT:
        return ""
    found = kind or "neither PNG nor JPEG"
    return f"it is {found}; servers and judges take PNG and JPEG, so convert it or fetch it again"
