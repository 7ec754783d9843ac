"""The official /infer protocol of IMUG-Bench, as both of its sides write and read it.

    POST /infer {"history": [{"role", "content": [{"type": "text", "text"} | {"type": "image", "image"}]}],
                 "output_mode": "text_only" | "image_only", "temperature": float}
    -> {"response": {"text": str} | {"image": base64 of a PNG} | {"error": str}}

The history ends with the user's message. There is no number of candidates and no usage: N candidates are
N calls. Some servers read a whole number `seed` beside these keys, and the others pass over it. Images may
carry a `data:` prefix, as the official client and servers allow.

A server may go beyond the protocol, and announces at GET /health what it does:

    "seeds": true    the request's `seed` decides what is drawn: another seed is another candidate, and the
                     same seed gives the same one again
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
    """Bytes that are not what the protocol says. The message says what is wrong with them."""


class ResponseError(RuntimeError):
    """The server answered with `response.error`: its model failed."""


@dataclass(frozen=True, kw_only=True)
class RequestBody:
    """The JSON of a request, made piece by piece: no more than one image of it is in memory at once.

    Its length and its pieces raise BackboneError where the file of an image cannot be read.
    """

    history: Sequence[Message]
    modality: Modality
    temperature: float
    seed: int | None = None
    """Not sent when None."""
    yes_no: bool = False
    """Whether P(yes) is wanted; only for servers that announce it."""

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            yield piece if isinstance(piece, bytes) else _base64(piece)

    def __len__(self) -> int:
        """The number of bytes; reads no image."""
        return sum(len(p) if isinstance(p, bytes) else _base64_length(p) for p in self._pieces)

    @cached_property
    def _pieces(self) -> Sequence[bytes | Image]:
        """The images, and the bytes of JSON between them."""
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
    """The answer in a response.

    Raises:
        ResponseError: the server says that its model failed, and why.
        ProtocolError: it is no such answer: not JSON, another modality, empty, or a broken PNG.
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
    """P(yes) in a response that `read_response` could read; None where the answer is neither yes nor no.

    Raises:
        ProtocolError: it is no number from 0 to 1.
    """
    p_yes = json.loads(body)["response"].get("p_yes")
    if p_yes is None:
        return None
    if isinstance(p_yes, bool) or not isinstance(p_yes, int | float) or not 0 <= p_yes <= 1:
        raise ProtocolError(f"`response.p_yes` is {shortened(repr(p_yes))}; it must be a number from 0 to 1")
    return float(p_yes)


def write_response(part: Part, p_yes: float | None = None) -> dict[str, Any]:
    """The response that carries an answer, as plain JSON values; with P(yes) where it is known."""
    if isinstance(part, Text):
        known = {} if p_yes is None else {"p_yes": p_yes}
        return {"response": {"text": part.text, **known}}
    return {"response": {"image": base64.b64encode(part.read()).decode()}}


def read_image(
    value: str, *, formats: tuple[str, ...] = ("PNG", "JPEG"), max_pixels: int = MAX_PIXELS
) -> Image:
    """The image in a base64 text, decoded in full to see that it is one.

    Raises:
        ProtocolError: it is not base64, not of these formats, too large, damaged or cut off.
    """
    try:
        characters = "".join((value.partition(",")[2] or value).split())  # some write it in lines
        encoded = base64.b64decode(characters, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError(f"an image is not base64: {error}") from error
    try:
        check_image(encoded, formats=formats, max_pixels=max_pixels)
    except BrokenImage as error:
        raise ProtocolError(f"an image {error}") from error
    return Image.from_bytes(encoded, is_whole=True)


def shortened(text: str, longest: int = _MAX_REASON) -> str:
    """The text, or its beginning and how long it was."""
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"


def described(body: bytes) -> str:
    """What a body says, or what it is, for a message: its text, "gzip data of 80 bytes", "nothing"."""
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
