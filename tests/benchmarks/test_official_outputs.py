"""Model outputs in the official layout: read, written, and what becomes of damage."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from imug_tts.benchmarks.imug.outputs import Outputs, read_outputs, write_outputs
from imug_tts.contracts import ConfigurationError
from imug_tts.dialogue import Image, Part, Question, Sample, Text

PNG = Image.from_pixels(np.full((8, 9, 3), 77, np.uint8))
NAME = "Botany/growth/7"
RECORD: dict[str, Any] = {
    "sample_id": 7,
    "domain": "Botany",
    "subdomain": "growth",
    "system_prompt": "You draw.",
    "note": {"kept": [1, 2.50, None]},
    "tasks": [
        {
            "turn": 1,
            "modality": "image",
            "input": [{"text": "Draw."}],
            "output": {"evaluation_points": ["é"]},
        },
        {"turn": 2, "modality": "text", "input": [{"text": "Which?"}], "output": {"answer": "A"}},
        {"turn": 3, "modality": "text", "input": [{"text": "Sure?"}], "output": {"answer": "B"}},
    ],
}
ANSWERS: dict[tuple[str, int], Part] = {(NAME, 1): PNG, (NAME, 2): Text("A — 好\u2028"), (NAME, 3): Text("B")}


def encoded(form: str, width: int = 9, height: int = 8, mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Pillow.new(mode, (width, height)).save(buffer, format=form)
    return buffer.getvalue()


JPEG = encoded("JPEG")
BOMB = encoded("PNG", 9_400, 9_500, "1")
"""A small file with more pixels than are decoded."""


def sample_of(record: Mapping[str, Any]) -> Sample:
    questions = tuple(Question(task["turn"], task["modality"], (Text("?"),)) for task in record["tasks"])
    task = record.get("subdomain") or record["category"]
    return Sample(str(record["sample_id"]), "temporal_causal", record["domain"], task, questions)


def client_folder(root: Path, record: Mapping[str, Any], responses: Sequence[str | bytes]) -> Path:
    """What the official client leaves behind for one sample: pictures are bytes."""
    task = record.get("subdomain") or record["category"]
    folder = root.joinpath(record["domain"], task, f"question_{record['sample_id']}")
    folder.mkdir(parents=True)
    tasks = []
    for task, response in zip(record["tasks"], responses, strict=True):
        name = f"turn_{task['turn']}_output.png"
        if isinstance(response, bytes):
            (folder / name).write_bytes(response)
        tasks.append({**task, "model_response": name if isinstance(response, bytes) else response})
    result = {**record, "tasks": tasks}
    result.pop("system_prompt", None)
    (folder / "result.json").write_text(json.dumps(result, indent=2, ensure_ascii=False), encoding="utf-8")
    return folder


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_what_the_client_wrote_is_read_and_written_again_to_the_byte(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    legacy = {**RECORD, "category": RECORD["subdomain"], "sample_id": "8"}
    del legacy["subdomain"]
    client_folder(theirs, RECORD, [PNG.read(), "A — 好\u2028", "ERROR: HTTP 500: A fell over"])
    client_folder(theirs, legacy, ["ERROR: ", "B", "C"])
    outputs = read_outputs(theirs, [sample_of(RECORD), sample_of(legacy)])
    assert outputs.answers[NAME, 1] == PNG
    assert outputs.answers[NAME, 2] == Text("A — 好\u2028")
    assert outputs.failures == {(NAME, 3): "HTTP 500: A fell over", ("Botany/growth/8", 1): ""}
    write_outputs(ours, [RECORD, legacy], outputs)
    assert files(ours) == files(theirs)


texts = st.text(max_size=20).map(lambda text: re.sub(r"\A(ERROR:)+", "", text))
answers: dict[str, st.SearchStrategy[Part]] = {
    "text": texts.map(Text),
    "image": st.integers(0, 255).map(lambda grey: Image.from_pixels(np.full((2, 3, 3), grey, np.uint8))),
}


@st.composite
def exports(draw: st.DrawFn) -> tuple[list[dict[str, Any]], Outputs]:
    """Records and an answer or failure for each turn."""
    records: list[dict[str, Any]] = []
    found: dict[tuple[str, int], Part] = {}
    failed: dict[tuple[str, int], str] = {}
    for number in range(draw(st.integers(1, 3))):
        modalities = draw(st.lists(st.sampled_from(["text", "image"]), min_size=1, max_size=4))
        output = {"text": {"answer": "A"}, "image": {"evaluation_points": ["x"]}}
        tasks = [
            {"turn": n, "modality": kind, "input": [{"text": "?"}], "output": output[kind]}
            for n, kind in enumerate(modalities, 1)
        ]
        records.append({"domain": "D", "subdomain": "s", "sample_id": number, "tasks": tasks})
        for n, kind in enumerate(modalities, 1):
            key = f"D/s/{number}", n
            if draw(st.booleans()):
                found[key] = draw(answers[kind])
            else:
                failed[key] = draw(st.text(max_size=20))
    return records, Outputs(answers=found, failures=failed)


@settings(max_examples=60)
@given(export=exports())
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, export: tuple[list[dict[str, Any]], Outputs]
) -> None:
    records, outputs = export
    folder = tmp_path_factory.mktemp("export") / "m"
    write_outputs(folder, records, outputs)
    assert read_outputs(folder, [sample_of(record) for record in records]) == outputs


def test_turns_after_a_failed_one_are_failures_and_untried_samples_are_not_written(
    tmp_path: Path,
) -> None:
    other = {**RECORD, "sample_id": "9"}
    failed = Outputs(answers={(NAME, 1): PNG}, failures={(NAME, 2): "timed out"})
    write_outputs(tmp_path / "m", [RECORD, other], failed)
    read = read_outputs(tmp_path / "m", [sample_of(RECORD)])
    assert read.failures == {(NAME, 2): "timed out", (NAME, 3): "not tried, because an earlier turn failed"}
    assert not (tmp_path / "m/Botany/growth/question_9").exists()


def test_half_a_surrogate_pair_is_written_as_a_question_mark(tmp_path: Path) -> None:
    odd = Outputs(answers={**ANSWERS, (NAME, 3): Text("B \ud83d")}, failures={})
    write_outputs(tmp_path / "m", [RECORD], odd)
    assert read_outputs(tmp_path / "m", [sample_of(RECORD)]).answers[NAME, 3] == Text("B ?")


def test_pictures_are_read_on_demand_and_may_be_jpeg(tmp_path: Path) -> None:
    folder = client_folder(tmp_path, RECORD, [JPEG, "A", "B"])
    answer = read_outputs(tmp_path, [sample_of(RECORD)]).answers[NAME, 1]
    assert isinstance(answer, Image)
    assert answer.source == folder.resolve() / "turn_1_output.png"
    assert answer.read() == JPEG


def test_a_picture_of_another_name_counts_if_it_lies_beside_the_record(tmp_path: Path) -> None:
    folder = client_folder(tmp_path, RECORD, ["/elsewhere/out/picture.JPG", "A", "B"])
    assert read_outputs(tmp_path, [sample_of(RECORD)]).failures == {
        (NAME, 1): "picture.JPG: No such file or directory"
    }
    (folder / "picture.JPG").write_bytes(JPEG)
    assert not read_outputs(tmp_path, [sample_of(RECORD)]).failures


@pytest.mark.parametrize(
    ("response", "file"),
    [
        ("imgs/turn_1_output.png", "imgs/turn_1_output.png"),
        ("./a/b/../c/picture.jpeg", "a/c/picture.jpeg"),
        ("imgs/picture", "imgs/picture"),
        ("elsewhere/turn_1_output.png", "turn_1_output.png"),
        ("a text beside the picture", "turn_1_output.png"),
        ("imgs/missing.png", "missing.png"),
    ],
)
def test_a_picture_is_found_where_the_official_scorers_find_it(
    tmp_path: Path, response: str, file: str
) -> None:
    folder = client_folder(tmp_path, RECORD, [response, "A", "B"])
    for part in ("a/b", "a/c", "imgs"):
        (folder / part).mkdir(parents=True)
    (folder / file).write_bytes(PNG.read())
    outputs = read_outputs(tmp_path, [sample_of(RECORD)])
    assert not outputs.failures
    assert outputs.answers[NAME, 1] == PNG


def test_of_two_pictures_the_one_with_the_name_of_the_turn_counts(tmp_path: Path) -> None:
    folder = client_folder(tmp_path, RECORD, ["other.jpg", "A", "B"])
    (folder / "other.jpg").write_bytes(JPEG)
    (folder / "turn_1_output.png").write_bytes(PNG.read())
    assert read_outputs(tmp_path, [sample_of(RECORD)]).answers[NAME, 1] == PNG


@pytest.mark.parametrize(
    "addition", ['"time": NaN', '"cost": -Infinity', '"note": 1, "note": 2', '"log": "\\ud800"']
)
def test_what_the_official_scorers_pass_over_costs_no_dialogue(tmp_path: Path, addition: str) -> None:
    path = client_folder(tmp_path, RECORD, [PNG.read(), "A", "B"]) / "result.json"
    path.write_text(path.read_text("utf-8").replace("{", "{" + addition + ",", 1), "utf-8")
    assert set(read_outputs(tmp_path, [sample_of(RECORD)]).answers) == set(ANSWERS)


def test_half_a_surrogate_pair_in_an_answer_is_read_as_a_question_mark(tmp_path: Path) -> None:
    path = client_folder(tmp_path, RECORD, [PNG.read(), "A", "B"]) / "result.json"
    path.write_text(path.read_text("utf-8").replace('"A"\n', '"A \\ud83d"\n'), "utf-8")
    assert read_outputs(tmp_path, [sample_of(RECORD)]).answers[NAME, 2] == Text("A ?")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (PNG.read()[:-12], r"turn_1_output\.png is not a whole PNG: it has no end"),
        (PNG.read()[:40], r"turn_1_output\.png is not a whole PNG"),
        (JPEG[:-9], r"turn_1_output\.png is not a whole PNG or JPEG: .*[Tt]runcated"),
        (b"", r"turn_1_output\.png is not a whole PNG or JPEG"),
        (encoded("GIF"), r"turn_1_output\.png is not a whole PNG or JPEG"),
        (BOMB, r"turn_1_output\.png .*pixels"),
        ("turn_1_output.png", r"turn_1_output\.png: No such file"),
        ("I cannot draw.", r"an image is required, but the response is text: 'I cannot draw\.'"),
        ("ERROR: refused", "refused"),
        ("../other.png", r"other\.png: No such file"),
        ("a\0.png", r".*null byte"),
    ],
)
def test_a_picture_that_is_missing_or_damaged_is_a_failure(
    tmp_path: Path, response: str | bytes, reason: str
) -> None:
    (tmp_path / "Botany/growth").mkdir(parents=True)
    (tmp_path / "Botany/growth/other.png").write_bytes(PNG.read())
    client_folder(tmp_path, RECORD, [response, "A", "B"])
    outputs = read_outputs(tmp_path, [sample_of(RECORD)])
    assert list(outputs.failures) == [(NAME, 1)]
    assert re.match(reason, outputs.failures[NAME, 1])
    assert set(outputs.answers) == {(NAME, 2), (NAME, 3)}


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (b'{"tasks": [', "result.json: not JSON"),
        (b"[]", "result.json: not a JSON object"),
        (b"\xff", "result.json: not UTF-8"),
        (b"{}", "result.json: tasks must be a list of objects"),
        (b'{"tasks": [1]}', "result.json: tasks must be a list of objects"),
        (
            b'{"tasks": [{"turn": 1}, {"turn": 1}]}',
            "result.json: every task must have a turn number of its own",
        ),
        (b'{"tasks": [{"turn": "1"}]}', "result.json: every task must have a turn number of its own"),
        (b'{"tasks": [{"turn": 1, "model_response": 5}]}', "result.json has no model_response for this turn"),
        (b'{"tasks": []}', "result.json has no model_response for this turn"),
        (None, "result.json: No such file or directory"),
    ],
)
def test_a_damaged_record_fails_all_its_turns(tmp_path: Path, result: bytes | None, reason: str) -> None:
    other = {**RECORD, "sample_id": "9"}
    client_folder(tmp_path, other, [PNG.read(), "A", "B"])
    path = client_folder(tmp_path, RECORD, [PNG.read(), "A", "B"]) / "result.json"
    path.unlink() if result is None else path.write_bytes(result)
    outputs = read_outputs(tmp_path, [sample_of(RECORD), sample_of(other)])
    assert set(outputs.failures) == set(ANSWERS)
    assert all(found.startswith(reason) for found in outputs.failures.values())
    assert len(outputs.answers) == 3


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(PNG.read())
    folder = client_folder(tmp_path / "m", RECORD, ["turn_1_output.png", "A", "B"])
    os.symlink(tmp_path / "secret.png", folder / "turn_1_output.png")
    assert "a link to" in read_outputs(tmp_path / "m", [sample_of(RECORD)]).failures[NAME, 1]


def test_a_folder_of_pictures_may_not_be_a_link_either(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "1.png").write_bytes(PNG.read())
    folder = client_folder(tmp_path / "m", RECORD, ["imgs/1.png", "A", "B"])
    os.symlink(tmp_path / "secret", folder / "imgs")
    assert "a link to" in read_outputs(tmp_path / "m", [sample_of(RECORD)]).failures[NAME, 1]


def test_samples_of_another_benchmark_are_said_and_left_out(tmp_path: Path) -> None:
    client_folder(tmp_path, RECORD, [PNG.read(), "A", "B"])
    client_folder(tmp_path, {**RECORD, "domain": "Zoology"}, [PNG.read(), "A", "B"])
    with pytest.warns(UserWarning, match="1 samples are not of this benchmark .*: Zoology/growth/question_7"):
        outputs = read_outputs(tmp_path, [sample_of(RECORD)])
    assert outputs == Outputs(answers={**ANSWERS, (NAME, 2): Text("A")}, failures={})


def test_the_wrong_folder_is_an_error_that_says_which_one_is_meant(tmp_path: Path) -> None:
    client_folder(tmp_path / "m", RECORD, [PNG.read(), "A", "B"])
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigurationError, match="name the folder of one model"):
            read_outputs(folder, [sample_of(RECORD)])


@pytest.mark.parametrize("key", ["domain", "subdomain", "sample_id"])
@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "a\0b"])
def test_names_cannot_lead_out_of_the_folder(tmp_path: Path, key: str, name: str) -> None:
    record = {**RECORD, key: name}
    with pytest.raises(ConfigurationError, match="cannot name a file or folder"):
        read_outputs(tmp_path, [sample_of(record)])
    outputs = Outputs(answers={(sample_of(record).name, 1): PNG}, failures={})
    with pytest.raises(ConfigurationError, match=key):
        write_outputs(tmp_path / "m", [record], outputs)
    assert not list(tmp_path.iterdir())


def test_an_export_is_refused_into_a_folder_in_use_or_for_other_samples(tmp_path: Path) -> None:
    outputs = Outputs(answers=ANSWERS, failures={})
    with pytest.raises(ConfigurationError, match="has no sample Botany/growth/7"):
        write_outputs(tmp_path / "m", [], outputs)
    write_outputs(tmp_path / "m", [RECORD], outputs)
    with pytest.raises(ConfigurationError, match="is not empty"):
        write_outputs(tmp_path / "m", [RECORD], outputs)
