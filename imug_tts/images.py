"""What bytes from outside are: a whole image, or one of which format."""

from __future__ import annotations

import io
import re
from typing import Final

from imug_tts.dialogue import MAX_PIXELS

__all__ = ["HEAD_BYTES", "BrokenImage", "check_image", "why_not_sent"]

_PNG_END: Final = b"\0\0\0\0IEND\xaeB`\x82"
"""A whole chunk; Pillow does not miss it."""

HEAD_BYTES: Final = 16
"""So many first bytes tell the format of an image."""
_SENT: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_OTHERS: Final = {
    rb"RIFF....WEBP": "a WebP image",
    rb"GIF8": "a GIF image",
    rb"BM": "a BMP image",
    rb"II\*\0|MM\0\*": "a TIFF image",
    rb"....ftyp(avif|avis)": "an AVIF image",
    rb"....ftyp(heic|heix|mif1|msf1)": "a HEIF image",
    rb"version https:/": "a Git LFS pointer (fetch the image: git lfs pull)",
    rb"\s*<": "a page of HTML or XML",
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


def why_not_sent(head: bytes) -> str:
    """Why an image with these first `HEAD_BYTES` cannot be shown to models; empty for PNG and JPEG.

    Servers and judges take these two formats, whatever the file is called. Nothing is decoded here.
    """
    if head.startswith(_SENT):
        return ""
    names = (name for pattern, name in _OTHERS.items() if re.match(pattern, head, re.DOTALL))
    found = next(names, "neither PNG nor JPEG")
    return f"it is {found}; servers and judges take PNG and JPEG, so convert it or fetch it again"
