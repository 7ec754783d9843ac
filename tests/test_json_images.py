"""JSON in pieces around images equals the output of a JSON encoder."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imug_tts.dialogue import Image
from imug_tts.json_images import json_pieces

tricky = st.sampled_from(['"url":"\0"', 'url":"\0', "\\u0000", '\\"url\\":\\"\\u0000'])
texts = st.one_of(st.text(), st.just("\0"), tricky)
# A URL may hold a null character, and must not be one.
urls = st.one_of(st.text(min_size=2), st.text(st.characters(exclude_characters="\0"), max_size=1), tricky)
images = st.binary(min_size=1, max_size=4).map(Image.from_bytes)
frames = st.lists(
    st.one_of(
        st.fixed_dictionaries({"text": texts}),
        st.fixed_dictionaries({"url": images}),
        st.fixed_dictionaries({"url": urls, "n": st.integers()}),
    ),
    max_size=8,
)


@given(frames)
def test_any_frame_reads_as_it_was(frame: list[dict[str, object]]) -> None:
    written = b"".join(
        piece.sha256.encode() if isinstance(piece, Image) else piece for piece in json_pieces(frame, "url")
    )
    wanted = [{k: v.sha256 if isinstance(v, Image) else v for k, v in each.items()} for each in frame]
    assert json.loads(written) == wanted


def test_what_json_has_not_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        list(json_pieces({"url": object()}, "url"))
