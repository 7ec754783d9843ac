"""Parses and checks the body of an /infer request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from imug_tts.dialogue import MAX_PIXELS, Image, Message, Modality, Part, Role, Text
from imug_tts.infer_protocol import OUTPUT_MODES, ProtocolError, read_image
from imug_tts.knobs import component, knob

__all__ = ["InferRequest", "Limits", "read_request"]

_MODALITIES = {mode: modality for modality, mode in OUTPUT_MODES.items()}


@component
class Limits:
    """Limits on the size of one request, and on the number of requests in flight."""

    requests: int = knob(
        "Most requests in flight, waiting ones included; more are refused with status 503.",
        default=64,
        ge=1,
        runtime=True,
    )
    megabytes: int = knob("Largest body of a request in megabytes.", default=128, ge=1, runtime=True)
    messages: int = knob("Most messages in a history.", default=100, ge=1, runtime=True)
    characters: int = knob("Most characters in all texts of a history.", default=200_000, ge=1, runtime=True)
    images: int = knob("Most images in a history.", default=64, ge=1, runtime=True)
    pixels: int = knob(
        "Most pixels of one image, width times height.", default=MAX_PIXELS, ge=1, runtime=True
    )


@dataclass(frozen=True, kw_only=True)
class InferRequest:
    """A parsed request for the answer to the last message of `history`."""

    history: tuple[Message, ...]
    modality: Modality
    temperature: float | None
    """None if the request does not set it; the server then uses its own."""
    seed: int | None = None
    """None if the request does not set it; the server then uses its own."""
    yes_no: bool = False
    """Whether the request asks for P(yes)."""


class _Content(BaseModel):
    type: Literal["text", "image"]
    text: str | None = None
    image: str | None = None


class _Message(BaseModel):
    role: Role
    content: list[_Content] = Field(min_length=1)


class _Request(BaseModel):
    history: list[_Message] = Field(min_length=1)
    output_mode: Literal["text_only", "image_only"] = "image_only"
    temperature: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    form: Literal["free", "yes_no"] = "free"


def read_request(body: bytes, limits: Limits) -> InferRequest:
    """Parse and check the body of a request; return the request, with all images decoded and verified.

    Raises:
        ProtocolError: the request is wrong; the message says where and how.
    """
    try:
        request = _Request.model_validate_json(body)
    except ValidationError as error:
        raise ProtocolError("; ".join(_problems(error))) from error
    _check_roles([message.role for message in request.history])
    _check_sizes(request.history, limits)
    return InferRequest(
        history=tuple(_message(message, f"history.{n}", limits) for n, message in enumerate(request.history)),
        modality=_MODALITIES[request.output_mode],
        temperature=request.temperature,
        seed=request.seed,
        yes_no=request.form == "yes_no" and request.output_mode == "text_only",
    )


def _problems(error: ValidationError) -> Iterator[str]:
    """Yield the first five validation errors, without the input, which may be megabytes long."""
    for problem in error.errors(include_url=False, include_input=False, include_context=False)[:5]:
        place = ".".join(map(str, problem["loc"]))
        yield f"{place}: {problem['msg']}" if place else problem["msg"]


def _check_roles(roles: Sequence[Role]) -> None:
    if roles[-1] != "user":
        raise ProtocolError(f"history ends with a message of the {roles[-1]}; it must end with the user's")
    if "system" in roles[1:]:
        raise ProtocolError("history: a system message may only be the first")


def _check_sizes(history: Sequence[_Message], limits: Limits) -> None:
    items = [item for message in history for item in message.content]
    sizes = {
        "messages": len(history),
        "images": sum(item.type == "image" for item in items),
        "characters": sum(len(item.text or "") for item in items if item.type == "text"),
    }
    for name, size in sizes.items():
        if size > getattr(limits, name):
            raise ProtocolError(f"history has {size} {name}; the most is {getattr(limits, name)}")


def _message(message: _Message, place: str, limits: Limits) -> Message:
    parts = (_part(item, f"{place}.content.{n}", limits) for n, item in enumerate(message.content))
    return Message(message.role, tuple(parts))


def _part(item: _Content, place: str, limits: Limits) -> Part:
    value = item.text if item.type == "text" else item.image
    if value is None:
        raise ProtocolError(f"{place} is of type {item.type} and has no {item.type}")
    return Text(value) if item.type == "text" else _image(value, place, limits)


def _image(value: str, place: str, limits: Limits) -> Image:
    try:
        return read_image(value, max_pixels=limits.pixels)
    except ProtocolError as error:
        raise ProtocolError(f"{place}: {error}") from error
