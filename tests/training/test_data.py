"""Records of training: what is read, and what is refused with file, line and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imug_tts.contracts import ConfigurationError
from imug_tts.training.data import read_records


def record(**changed: Any) -> dict[str, Any]:
    asked = {"role": "user", "content": "<image><image>What moves?"}
    answered = {"role": "assistant", "content": "A car."}
    plain = {"messages": [asked, answered], "images": ["a.png", "b.jpg"], "question_type": "planning"}
    return plain | changed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.jpg"):
        Image.new("RGB", (4, 4), "red").save(tmp_path / name)
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    return tmp_path


def written(folder: Path, *records: object) -> Path:
    path = folder / "triad.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in records), encoding="utf-8")
    return path


def test_records_are_read_with_absolute_paths_of_images(folder: Path) -> None:
    found = read_records(written(folder, record(), record(question_type="perception")))
    assert [one.question_type for one in found] == ["planning", "perception"]
    assert found[0].images == [str(folder / "a.png"), str(folder / "b.jpg")]
    assert [message.role for message in found[0].messages] == ["user", "assistant"]


def test_a_system_message_may_come_first(folder: Path) -> None:
    told = {"role": "system", "content": "You drive."}
    assert len(read_records(written(folder, record(messages=[told, *record()["messages"]])))) == 1


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"question_type": "driving"}, "line 2, question_type: .*'perception', 'reasoning' or 'planning'"),
        ({"images": ["a.png"]}, "line 2.*images: there are 1, but the user's messages have <image> 2 times"),
        ({"images": ["a.png", "none.png"]}, r"line 2, images\[1\]: .*none.png cannot be read: No such file"),
        ({"images": ["cut.png", "b.jpg"]}, r"line 2, images\[0\]: .*cut.png is not a whole PNG"),
        ({"messages": []}, "line 2.*messages: roles are none; they must be user and assistant in turn"),
        ({"messages": record()["messages"][:1]}, "line 2.*messages: roles are user; they must be user and"),
        ({"messages": [{"role": "user", "content": 3}]}, r"line 2, messages\[0\]\.content: "),
        ({"pictures": []}, "line 2, pictures: "),
    ],
)
def test_a_wrong_record_is_named_by_file_line_and_key(
    folder: Path, changed: dict[str, Any], complaint: str
) -> None:
    path = written(folder, record(), record(**changed))
    with pytest.raises(ConfigurationError, match=f"triad.jsonl, {complaint}"):
        read_records(path)


def test_everything_that_is_wrong_is_said_at_once_up_to_twenty(folder: Path) -> None:
    path = written(folder, *[record(question_type="driving")] * 23)
    with pytest.raises(ConfigurationError) as raised:
        read_records(path)
    lines = str(raised.value).splitlines()
    assert len(lines) == 21
    assert "line 1," in lines[0]
    assert lines[-1] == "and 3 more"


def test_what_is_no_record_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"line 1: not a JSON object but a list; a line must be one"):
        read_records(written(folder, [record()]))
    with pytest.raises(ConfigurationError, match="has no record; it needs one JSON object a line"):
        read_records(written(folder))
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read_records(folder / "missing.jsonl")
