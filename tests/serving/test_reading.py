"""Which requests are valid, and that the reason of a refusal names the place."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imug_tts.contracts import ConfigurationError
from imug_tts.dialogue import Image, Message, Part, Text
from imug_tts.infer_protocol import ProtocolError, RequestBody
from imug_tts.serving import Limits
from imug_tts.serving.reading import read_request
from imug_tts.testing.infer_servers import drawn

PICTURE = base64.b64encode(drawn(7)).decode()
LIMITS = Limits(messages=5, characters=20, images=2, pixels=64 * 64)


def says(text: str = "draw") -> dict[str, Any]:
    return {"type": "text", "text": text}


def shows(encoded: str = PICTURE) -> dict[str, Any]:
    return {"type": "image", "image": encoded}


def request(*contents: list[dict[str, Any]], **fields: Any) -> bytes:
    roles = ["user" if n % 2 == 0 else "assistant" for n in range(len(contents))]
    history = [{"role": role, "content": content} for role, content in zip(roles, contents, strict=True)]
    return json.dumps({"history": history, "output_mode": "text_only", **fields}).encode()


def jpeg() -> str:
    from PIL import Image as Pillow

    file = io.BytesIO()
    Pillow.new("RGB", (8, 8)).save(file, "JPEG")
    return base64.b64encode(file.getvalue()).decode()


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=3), st.booleans(), st.floats(0, 2))
def test_what_our_client_writes_is_read_back(texts: list[str], image: bool, temperature: float) -> None:
    parts: tuple[Part, ...] = (*map(Text, texts), Image.from_bytes(drawn(3)))
    history = (Message("system", (Text("be brief"),)), Message("user", parts))
    body = RequestBody(history=history, modality="image" if image else "text", temperature=temperature)
    asked = read_request(b"".join(body), Limits())
    assert (asked.history, asked.modality) == (history, "image" if image else "text")
    assert asked.temperature == temperature


def test_output_mode_and_temperature_may_be_left_out_as_on_official_servers() -> None:
    asked = read_request(json.dumps({"history": [{"role": "user", "content": [says()]}]}).encode(), LIMITS)
    assert (asked.modality, asked.temperature) == ("image", None)


def test_pictures_may_be_jpeg_and_carry_a_data_prefix() -> None:
    asked = read_request(request([shows(f"data:image/jpeg;base64,{jpeg()}"), shows()]), LIMITS)
    assert asked.history[0].parts[1] == Image.from_bytes(drawn(7))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"[]", "object"),
        (b"{}", "history: Field required"),
        (request(), "history: List should have at least 1 item"),
        (request([]), "history.0.content: List should have at least 1 item"),
        (request([says()], [says()]), "must end with the user's"),
        (request([{"type": "sound"}]), "history.0.content.0.type: Input should be 'text' or 'image'"),
        (
            request([says()], [says()], [{"type": "text"}]),
            "history.2.content.0 is of type text and has no text",
        ),
        (request([{"type": "image", "text": "x"}]), "history.0.content.0 is of type image and has no image"),
        (request([says("a" * 21)]), "21 characters; the most is 20"),
        (request(*[[says("a")]] * 7), "7 messages; the most is 5"),
        (request([shows(), shows(), shows()]), "3 images; the most is 2"),
        (request([says(), shows("?")]), "history.0.content.1: an image is not base64"),
        (request([shows(PICTURE[:-40])]), "not a whole PNG"),
        (request([shows(base64.b64encode(b"GIF89a").decode())]), "not a whole PNG or JPEG"),
        (request([says()], output_mode="video"), "output_mode: Input should be 'text_only' or 'image_only'"),
        (request([says()], temperature=-1), "temperature: Input should be greater than or equal to 0"),
        (request([says()], temperature=float("inf")), "temperature"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(body: bytes, words: str) -> None:
    with pytest.raises(ProtocolError) as error:
        read_request(body, LIMITS)
    assert words in str(error.value)
    assert PICTURE[:50] not in str(error.value)


def test_large_pictures_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(ProtocolError, match="64x64 pixels; the most is 100"):
        read_request(request([shows()]), Limits(pixels=100))


def test_a_system_message_is_the_first_or_none() -> None:
    history = [{"role": role, "content": [says()]} for role in ("user", "system", "user")]
    with pytest.raises(ProtocolError, match="may only be the first"):
        read_request(json.dumps({"history": history}).encode(), LIMITS)


@pytest.mark.parametrize("limit", ["requests", "megabytes", "messages", "characters", "images", "pixels"])
def test_limits_are_positive(limit: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{limit} is 0"):
        Limits(**{limit: 0})
