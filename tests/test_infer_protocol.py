"""Requests and responses of the official /infer protocol."""

from __future__ import annotations

import base64
import gzip
import io
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from imug_tts.contracts import (
    BackboneError,
    Request,
    Sampling,
)
from imug_tts.dialogue import Image, Message, Modality, Text
from imug_tts.infer_protocol import ProtocolError, RequestBody, read_image, read_response
from imug_tts.testing.infer_servers import (
    Reply,
    drawn,
    infer_server,
)
from tests.backbones.infer_calls import asking, client

PICTURE = Image.from_bytes(drawn(7))


def test_a_request_is_what_the_protocol_says(tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(drawn(3))
    history = (
        Message("system", (Text('Say "ä", please.\n'),)),
        Message("user", (Text("draw"), PICTURE, Text("like this"))),
        Message("assistant", (Image(None, file),)),
        Message("user", (Text("and now?"),)),
    )
    with infer_server() as server:
        request = Request(history=history, modality="text", seeds=(4,), sampling=Sampling(temperature=0.7))
        [[candidate]] = client(f"{server.url}/infer/").generate([request])
    assert isinstance(candidate.output, Text)
    assert (candidate.cost.calls, candidate.cost.images, candidate.p_yes) == (1, 0, None)
    assert json.loads(server.last) == {
        "output_mode": "text_only",
        "temperature": 0.7,
        "seed": 4,
        "history": [
            {"role": "system", "content": [{"type": "text", "text": 'Say "ä", please.\n'}]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "draw"},
                    {"type": "image", "image": base64.b64encode(drawn(7)).decode()},
                    {"type": "text", "text": "like this"},
                ],
            },
            {
                "role": "assistant",
                "content": [{"type": "image", "image": base64.b64encode(drawn(3)).decode()}],
            },
            {"role": "user", "content": [{"type": "text", "text": "and now?"}]},
        ],
    }


@given(
    st.lists(st.text() | st.binary().map(Image.from_bytes), min_size=1, max_size=4),
    st.sampled_from(["text", "image"]),
)
def test_the_length_of_a_body_is_known_before_it_is_made(
    parts: list[str | Image], modality: Modality
) -> None:
    message = Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))
    body = RequestBody(history=[message, message], modality=modality, temperature=1.0)
    whole = b"".join(body)
    assert len(whole) == len(body)
    assert len(json.loads(whole)["history"][1]["content"]) == len(parts)


@given(cut=st.integers(1, len(drawn(7)) - 1))
def test_every_truncated_picture_is_refused(cut: int) -> None:
    with pytest.raises(ProtocolError, match="not a whole PNG"):
        read_image(base64.b64encode(drawn(7)[:cut]).decode(), formats=("PNG",))


@given(place=st.integers(0, len(drawn(7)) - 1), flip=st.integers(1, 255))
def test_every_damaged_picture_is_refused(place: int, flip: int) -> None:
    damaged = bytearray(drawn(7))
    damaged[place] ^= flip
    with pytest.raises(ProtocolError):
        read_image(base64.b64encode(damaged).decode(), formats=("PNG",))


def test_a_picture_may_carry_a_data_prefix_and_not_too_many_pixels() -> None:
    encoded = base64.b64encode(drawn(7)).decode()
    assert read_image(f"data:image/png;base64,{encoded}") == PICTURE
    assert read_image(base64.encodebytes(drawn(7)).decode()) == PICTURE
    assert read_image("\t" + "\r\n ".join(encoded)) == PICTURE
    with pytest.raises(ProtocolError, match="64x64 pixels; the most is 4000"):
        read_image(encoded, max_pixels=4000)
    with pytest.raises(ProtocolError, match="not base64"):
        read_image("!" + encoded)


@pytest.mark.parametrize("kind", ["JPEG", "WebP", "GIF"])
def test_a_picture_of_another_kind_is_called_what_it_is(kind: str) -> None:
    file = io.BytesIO()
    Pillow.new("RGB", (8, 8)).save(file, kind)
    body = json.dumps({"response": {"image": base64.b64encode(file.getvalue()).decode()}}).encode()
    with pytest.raises(ProtocolError, match=f"an image is not a whole PNG: it is {kind}"):
        read_response(body, "image")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (gzip.compress(b'{"response":{"text":"A"}}', mtime=0), "not JSON: gzip data of"),
        (drawn(7), "not JSON: PNG of"),
        (b"", "not JSON: nothing"),
        (b"A", "not JSON: 'A'"),
    ],
)
def test_a_body_that_is_no_answer_is_called_what_it_is(body: bytes, words: str) -> None:
    with infer_server(lambda asked: Reply(body=body)) as server, pytest.raises(BackboneError, match=words):
        client(server, max_attempts=1).generate([asking("a star")])


@given(
    st.binary()
    | st.recursive(
        st.none() | st.text() | st.integers(),
        lambda x: (
            st.lists(x) | st.dictionaries(st.sampled_from(["response", "text", "image"]) | st.text(), x)
        ),
    ).map(lambda x: json.dumps(x).encode())
)
def test_whatever_comes_back_is_an_answer_or_a_protocol_error(body: bytes) -> None:
    with suppress(ProtocolError):
        assert read_response(body, "text").modality == "text"
