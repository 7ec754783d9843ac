"""The official /infer protocol of IMUG-Bench, for client and server.

    POST /infer {"history": [{"role", "content": [{"type": "text", "text"} | {"type": "image", "image"}]}],
                 "output_mode": "text_only" | "image_only", "temperature": float}
    -> {"response": {"text": str} | {"image": base64 of a PNG} | {"error": str}}

The history ends with a user message. The protocol has no number of candidates and no usage: N candidates are
N calls. Some servers accept an integer `seed` in the request; the others ignore it. Images may have a `data:`
prefix, as in the official client and servers.

A server may extend the protocol, and declares its extensions at GET /health:

    "seeds": true    the request's `seed` determines the image: another seed gives another candidate, and the
                     same seed gives the same candidate again
    "p_yes": true    a text request with `"form": "yes_no"` asks a question, and `response` has `p_yes` beside
                     `text`: P(yes) in [0, 1]
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from imug_tts.dialogue import MAX_PIXELS, Image, Message, Modality, Part, Text
from imug_tts.images import BrokenImage, check_image, kind_of
from imug_tts.json_images import json_pieces, reading

__all__ = [
    "OUTPUT_MODES",
    "ProtocolError",
    "RequestBody",
    "ResponseError",
    "described",
    "read_image",
    "read_p_yes",
    "read_response",
    "shortened",
    "write_response",
]

OUTPUT_MODES: Final[Mapping[Modality, str]] = {"text": "text_only", "image": "image_only"}

_MAX_REASON: Final = 500


class ProtocolError(ValueError):
    """A message violates the protocol; says how."""


class ResponseError(RuntimeError):
    """The server responded with `response.error`: its model failed."""


@dataclass(frozen=True, kw_only=True)
class RequestBody:
    """The JSON of a request, generated in pieces, so that only one of its images is in memory at once.

    Iteration and length raise BackboneError if the file of an image cannot be read.
    """

    history: Sequence[Message]
    modality: Modality
    temperature: float
    seed: int | None = None
    """Left out of the request if None."""
    yes_no: bool = False
    """Whether to request P(yes); only for servers that declare it."""

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            yield piece if isinstance(piece, bytes) else _base64(piece)

    def __len__(self) -> int:
        """Return the number of bytes; reads no image."""
        return sum(len(p) if isinstance(p, bytes) else _base64_length(p) for p in self._pieces)

    @cached_property
    def _pieces(self) -> Sequence[bytes | Image]:
        """The pieces of the request: images, and the bytes of JSON between them."""
        frame: dict[str, Any] = {
            "output_mode": OUTPUT_MODES[self.modality],
            "temperature": self.temperature,
            "history": [
                {"role": message.role, "content": [_content(part) for part in message.parts]}
                for message in self.history
            ],
        }
        frame |= {} if self.seed is None else {"seed": self.seed}
        frame |= {"form": "yes_no"} if self.yes_no else {}
        return list(json_pieces(frame, "image"))


def read_response(body: bytes, modality: Modality) -> Part:
    """Return the answer in a response.

    Raises:
        ResponseError: the server reports that its model failed, and why.
        ProtocolError: the body has no valid answer: not JSON, another modality, empty, or a broken PNG.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {described(body)}") from error
    response = answer.get("response") if isinstance(answer, dict) else None
    if not isinstance(response, dict):
        raise ProtocolError("not an object with a `response` object")
    if response.get("error"):
        raise ResponseError(shortened(str(response["error"])))
    value = response.get(modality)
    if not isinstance(value, str) or not value:
        raise ProtocolError(f"`response` has no {modality}; it has {sorted(response) or 'nothing'}")
    return Text(value) if modality == "text" else read_image(value, formats=("PNG",))


def read_p_yes(body: bytes) -> float | None:
    """Return P(yes) of a valid response; None if the answer is neither yes nor no.

    Raises:
        ProtocolError: the value is not a number from 0 to 1.
    """
    p_yes = json.loads(body)["response"].get("p_yes")
    if p_yes is None:
        return None
    if isinstance(p_yes, bool) or not isinstance(p_yes, int | float) or not 0 <= p_yes <= 1:
        raise ProtocolError(f"`response.p_yes` is {shortened(repr(p_yes))}; it must be a number from 0 to 1")
    return float(p_yes)


def write_response(part: Part, p_yes: float | None = None) -> dict[str, Any]:
    """Return the response with an answer, as plain JSON values; with P(yes) if it is given."""
    if isinstance(part, Text):
        known = {} if p_yes is None else {"p_yes": p_yes}
        return {"response": {"text": part.text, **known}}
    return {"response": {"image": base64.b64encode(part.read()).decode()}}


def read_image(
    value: str, *, formats: tuple[str, ...] = ("PNG", "JPEG"), max_pixels: int = MAX_PIXELS
) -> Image:
    """Return the image in a base64 text, after decoding it completely.

    Raises:
        ProtocolError: the text is not base64, or the image not of these formats, too large, damaged or cut
            off.
    """
    try:
        characters = "".join((value.partition(",")[2] or value).split())  # base64 may have line breaks
        encoded = base64.b64decode(characters, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError(f"an image is not base64: {error}") from error
    try:
        check_image(encoded, formats=formats, max_pixels=max_pixels)
    except BrokenImage as error:
        raise ProtocolError(f"an image {error}") from error
    return Image.from_bytes(encoded, is_whole=True)


def shortened(text: str, longest: int = _MAX_REASON) -> str:
    """Return the text, or its beginning and its length."""
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"


def described(body: bytes) -> str:
    """Return a description of a body for messages: its text, "gzip data of 80 bytes", or "nothing"."""
    if not body:
        return "nothing"
    try:
        if b"\0" not in body:
            return repr(shortened(body.decode()))
    except UnicodeDecodeError:
        pass
    return f"{kind_of(body) or 'binary data'} of {len(body)} bytes"


def _content(part: Part) -> dict[str, Any]:
    return {"type": "text", "text": part.text} if isinstance(part, Text) else {"type": "image", "image": part}


def _base64(image: Image) -> bytes:
    with reading(image):
        return base64.b64encode(image.read())


def _base64_length(image: Image) -> int:
    source = image.source
    with reading(image):
        size = source.stat().st_size if isinstance(source, Path) else len(source)
    return 4 * ((size + 2) // 3)
