"""Whether bytes from outside are a whole image."""

from __future__ import annotations

import io
import re
from typing import Final

from imug_tts.dialogue import MAX_PIXELS

__all__ = ["HEAD_BYTES", "BrokenImage", "check_image", "kind_of", "why_not_sent"]

_PNG_END: Final = b"\0\0\0\0IEND\xaeB`\x82"
"""A whole chunk; Pillow does not miss it."""

HEAD_BYTES: Final = 16
"""So many first bytes tell what a file is."""
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
    head = encoded[:HEAD_BYTES]
    return next((kind for start, kind in _BEGINNINGS.items() if re.match(start, head, re.DOTALL)), None)


def why_not_sent(head: bytes) -> str:
    """Why an image with these first `HEAD_BYTES` cannot be shown to models; empty for PNG and JPEG.

    Servers and judges take these two formats, whatever the file is called. Nothing is decoded here.
    """
    kind = kind_of(head)
    if kind in _SENT:
        return ""
    found = kind or "neither PNG nor JPEG"
    return f"it is {found}; servers and judges take PNG and JPEG, so convert it or fetch it again"
