"""The official data files: what is written is read, and what is damaged is named."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from imug_tts.benchmarks.imug import Imug
from imug_tts.benchmarks.imug.reading import DataError, find_data, read_data
from imug_tts.benchmarks.imug.writing import write_data
from imug_tts.contracts import ConfigurationError
from imug_tts.dialogue import Image, Modality, Part, Question, Sample, Text
from imug_tts.scoring.mcq import DYNAMIC
from tests.benchmarks.imug_files import (
    PERSON,
    SAMPLES,
    as_hub_snapshot,
    edit,
    keys_of,
    records,
    write_records,
    write_small,
)

Change = Callable[[dict[str, Any]], object]

BENCHMARK = "benchmark.jsonl"
IMAGES = "image_references.jsonl"
DYNAMICS = "dynamic_references.jsonl"
GRID_FILE = "grid_gt/Geometric_Coloring__cubes_coloring__7.jsonl"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_small(tmp_path)


def problems_of(data: Path) -> tuple[str, ...]:
    with pytest.raises(DataError) as error:
        read_data(data)
    assert str(data) in str(error.value)
    return error.value.problems


def test_what_is_written_is_read(data: Path) -> None:
    found = read_data(data)
    assert found.samples == SAMPLES
    assert keys_of(found.samples) == keys_of(SAMPLES)


def test_the_root_holds_the_data_or_is_the_data(data: Path, tmp_path: Path) -> None:
    assert find_data(data) == find_data(data.parent) == data
    with pytest.raises(ConfigurationError, match=r"no benchmark.jsonl in .*benchmark.root=DIR"):
        find_data(tmp_path / "elsewhere")


visible = st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="/\\.")
names = st.builds(
    "{}{}".format, st.text(visible, min_size=1, max_size=7), st.sampled_from(["", ".", " b", ".c"])
)
texts = st.text(st.characters(codec="utf-8"), max_size=20) | st.just("one\u2028two\u0085three\r\nfour")
letters = st.sampled_from(["A", "B,C", "A-G", "AB", "is B"])


@st.composite
def questions(draw: st.DrawFn, number: int, earlier: list[Modality]) -> Question:
    parts: list[Part] = draw(st.lists(texts.map(Text) | st.just(PERSON), max_size=3))
    parts.insert(draw(st.integers(0, len(parts))), Text("something"))
    key: dict[str, Any]
    drawn = [turn for turn, modality in enumerate(earlier, 1) if modality == "image"]
    if draw(st.booleans()):
        kinds = [{"ref_turn": turn, "ref_type": "output"} for turn in drawn]
        kinds += [{"ref_turn": number, "ref_type": "input"}] if PERSON in parts else []
        references = draw(st.lists(st.sampled_from(kinds), max_size=3)) if kinds else []
        points = draw(st.lists(texts, min_size=1, max_size=3))
        key = {"evaluation_points": points, "references": references}
        return Question(number=number, modality="image", parts=tuple(parts), key=key)
    if draw(st.booleans()) and drawn:
        key = {"answer": draw(letters) + DYNAMIC, "ref_turns": drawn}
    else:
        key = {"answer": draw(letters), "ref_turns": []}
    return Question(number=number, modality="text", parts=tuple(parts), key=key)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    asked: list[Question] = []
    for number in range(1, draw(st.integers(1, 4)) + 1):
        asked.append(draw(questions(number, [question.modality for question in asked])))
    return Sample(
        sample_id=draw(names),
        sample_class="temporal_causal",
        domain="Botany",
        task=draw(names),
        system_prompt=draw(st.none() | texts.map("Be {}".format)),
        questions=tuple(asked),
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(samples(), min_size=1, max_size=3, unique_by=lambda sample: (sample.task, sample.sample_id)))
def test_any_samples_survive_writing_and_reading(tmp_path: Path, written: list[Sample]) -> None:
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    found = read_data(write_data(tmp_path, written))
    assert found.samples == tuple(written)
    assert keys_of(found.samples) == keys_of(tuple(written))


def rewritten(data: Path, change: Callable[[bytes], bytes]) -> Path:
    file = data / BENCHMARK
    file.write_bytes(change(file.read_bytes()))
    return data


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: b"\n" + text.replace(b"\n", b"\n \t\n\n"),
        lambda text: text.rstrip(b"\n"),
        lambda text: text.replace(b'"sample_id": "1"', b'"sample_id": 1'),
        lambda text: text.replace(b'"subdomain"', b'"category"'),
        lambda text: text.replace(b'"turn"', b'"source": {"web": null}, "turn"'),
    ],
    ids=["BOM", "CRLF", "blank lines", "no last newline", "number as id", "category", "other keys"],
)
def test_what_is_well_meant_is_read(data: Path, change: Callable[[bytes], bytes]) -> None:
    assert read_data(rewritten(data, change)).samples == SAMPLES


def test_a_line_separator_within_a_string_ends_no_line(data: Path) -> None:
    rewritten(data, lambda text: text.replace(b"Add a hat.", "Add\u2028a hat.".encode()))
    assert read_data(data).samples[0].questions[1].parts == (Text("Add\u2028a hat."),)


@pytest.mark.parametrize("keys", [["text", "image"], ["image", "text"]])
def test_one_part_may_hold_text_and_image_in_its_own_order(data: Path, keys: list[str]) -> None:
    def join(record: dict[str, Any]) -> None:
        text, image = record["tasks"][0]["input"]
        both = text | image
        record["tasks"][0]["input"] = [{key: both[key] for key in keys}]

    edit(data / BENCHMARK, 1, join)
    assert [part.modality for part in read_data(data).samples[0].questions[0].parts] == keys


def task(index: int, **changes: Any) -> Change:
    return lambda record: record["tasks"][index].update(changes)


def output(index: int, **changes: Any) -> Change:
    return lambda record: record["tasks"][index].update(output=changes)


def without(key: str) -> Change:
    return lambda record: record.pop(key)


DAMAGE: dict[str, tuple[str, int, Change, str, str]] = {
    "no domain": (BENCHMARK, 2, without("domain"), "domain", "is missing"),
    "no subdomain": (BENCHMARK, 2, without("subdomain"), "subdomain", "is missing"),
    "no tasks": (BENCHMARK, 2, without("tasks"), "tasks", "is missing"),
    "empty tasks": (BENCHMARK, 2, lambda r: r.update(tasks=[]), "tasks", "at least 1 item"),
    "tasks no list": (BENCHMARK, 2, lambda r: r.update(tasks={}), "tasks", "valid list"),
    "id is true": (BENCHMARK, 2, lambda r: r.update(sample_id=True), "sample_id", "is True; .*valid string"),
    "id leads away": (BENCHMARK, 2, lambda r: r.update(sample_id="../x"), "sample_id", "leads elsewhere"),
    "domain leads away": (BENCHMARK, 2, lambda r: r.update(domain="a/b"), "domain", "leads elsewhere"),
    "domain no text": (BENCHMARK, 2, lambda r: r.update(domain=3), "domain", "is 3; .*valid string"),
    "prompt no text": (BENCHMARK, 1, lambda r: r.update(system_prompt=[]), "system_prompt", r"is \[\]"),
    "turn skipped": (BENCHMARK, 1, task(2, turn=4), r"tasks\[2\].turn", "is 4; .*must be 3"),
    "turn twice": (BENCHMARK, 1, task(1, turn=1), r"tasks\[1\].turn", "is 1; .*must be 2"),
    "turn zero": (BENCHMARK, 1, task(0, turn=0), r"tasks\[0\].turn", "is 0; .*greater than or equal to 1"),
    "turn as text": (BENCHMARK, 1, task(0, turn="1"), r"tasks\[0\].turn", "is '1'; .*valid integer"),
    "no modality": (
        BENCHMARK,
        1,
        lambda r: r["tasks"][1].pop("modality"),
        r"tasks\[1\].modality",
        "is missing",
    ),
    "other modality": (BENCHMARK, 1, task(1, modality="video"), r"tasks\[1\].modality", "'text' or 'image'"),
    "no input": (BENCHMARK, 1, task(1, input=[]), r"tasks\[1\].input", "at least 1 item"),
    "empty part": (BENCHMARK, 1, task(1, input=[{}]), r"tasks\[1\]", "input has neither text nor image"),
    "empty text": (BENCHMARK, 1, task(1, input=[{"text": ""}]), r"tasks\[1\]", "neither text nor image"),
    "part of a kind": (
        BENCHMARK,
        1,
        task(1, input=[{"text": "x"}, {"img": "y"}]),
        r"tasks\[1\].input\[1\].img",
        "'text' or 'image'",
    ),
    "text no text": (BENCHMARK, 1, task(1, input=[{"text": 5}]), r"tasks\[1\].input\[0\].text", "is 5"),
    "no answer": (BENCHMARK, 1, output(0), r"tasks\[0\]", "output.answer is missing"),
    "no letter": (BENCHMARK, 1, output(0, answer="H"), r"tasks\[0\].output.answer", "is 'H'; .*letter A-G"),
    "answer a list": (BENCHMARK, 1, output(0, answer=["A"]), r"tasks\[0\].output.answer", "valid string"),
    "no points": (BENCHMARK, 1, output(1, answer="A"), r"tasks\[1\]", "output.evaluation_points is missing"),
    "empty points": (
        BENCHMARK,
        1,
        output(1, evaluation_points=[]),
        r"tasks\[1\].output.evaluation_points",
        "at least 1 item",
    ),
    "point no text": (
        BENCHMARK,
        1,
        output(1, evaluation_points=["a", None]),
        r"tasks\[1\].output.evaluation_points\[1\]",
        "is None",
    ),
    "image not there": (
        BENCHMARK,
        1,
        task(1, input=[{"text": "x", "image": "no.jpg"}]),
        r"tasks\[1\].input\[0\].image",
        "is 'no.jpg'; there is no such file in images/",
    ),
    "image absolute": (
        BENCHMARK,
        1,
        task(1, input=[{"image": "/etc/passwd"}]),
        r"tasks\[1\].input\[0\].image",
        "is '/etc/passwd'; it must be the name of a file",
    ),
    "image above": (
        BENCHMARK,
        1,
        task(1, input=[{"image": "../benchmark.jsonl"}]),
        r"tasks\[1\].input\[0\].image",
        "it must be the name of a file",
    ),
    "image a folder": (
        BENCHMARK,
        1,
        task(1, input=[{"image": "."}]),
        r"tasks\[1\].input\[0\].image",
        "it is not a file",
    ),
    "references of nobody": (
        IMAGES,
        1,
        lambda r: r.update(sample_id="9"),
        r"reference_links\[0\].turn_idx",
        "Apparel/hats/9 is not in benchmark.jsonl",
    ),
    "references of no turn": (
        IMAGES,
        1,
        lambda r: r["reference_links"][1].update(turn_idx=4),
        r"reference_links\[1\].turn_idx",
        "there is no turn 4 of Apparel/hats/1",
    ),
    "references of a question": (
        IMAGES,
        1,
        lambda r: r["reference_links"][0].update(turn_idx=1),
        r"reference_links\[0\].turn_idx",
        "turn 1 of Apparel/hats/1 is answered by text, not by image",
    ),
    "references twice": (
        IMAGES,
        1,
        lambda r: r["reference_links"][1].update(turn_idx=2),
        r"reference_links\[1\].turn_idx",
        "turn 2 of Apparel/hats/1 is there already",
    ),
    "reference to a later input": (
        IMAGES,
        1,
        lambda r: r["reference_links"][0]["refs"][0].update(ref_turn=3),
        r"reference_links\[0\].refs\[0\].ref_turn",
        "is 3; the input of that turn comes after",
    ),
    "reference to its own output": (
        IMAGES,
        1,
        lambda r: r["reference_links"][1]["refs"][1].update(ref_turn=3),
        r"reference_links\[1\].refs\[1\].ref_turn",
        "is 3; the output of that turn comes after",
    ),
    "reference to a text": (
        IMAGES,
        1,
        lambda r: r["reference_links"][1]["refs"][1].update(ref_turn=1),
        r"reference_links\[1\].refs\[1\].ref_turn",
        "is 1; the output of that turn has no image",
    ),
    "reference to no input image": (
        IMAGES,
        1,
        lambda r: r["reference_links"][1]["refs"][0].update(ref_turn=2),
        r"reference_links\[1\].refs\[0\].ref_turn",
        "is 2; the input of that turn has no image",
    ),
    "reference of a kind": (
        IMAGES,
        1,
        lambda r: r["reference_links"][0]["refs"][0].update(ref_type="both"),
        r"reference_links\[0\].refs\[0\].ref_type",
        "is 'both'; .*'input' or 'output'",
    ),
    "dynamic of nobody": (
        DYNAMICS,
        1,
        lambda r: r.update(subdomain="weeds"),
        "turn_idx",
        "Botany/weeds/1 is not in benchmark.jsonl",
    ),
    "dynamic of a drawing": (DYNAMICS, 1, lambda r: r.update(turn_idx=1), "turn_idx", "answered by image"),
    "dynamic of itself": (
        DYNAMICS,
        1,
        lambda r: r.update(ref_turn_idxs=[1, 2]),
        r"ref_turn_idxs\[1\]",
        "is 2; it must come before turn 2",
    ),
    "dynamic on nothing": (DYNAMICS, 1, lambda r: r.update(ref_turn_idxs=[]), "ref_turn_idxs", "at least 1"),
    "static with dynamic references": (
        DYNAMICS,
        1,
        lambda r: r.update(domain="Geometric_Coloring", subdomain="cubes_coloring", sample_id=7),
        "turn_idx",
        "the answer of turn 2 of Geometric_Coloring/cubes_coloring/7 has no <DYNAMIC>",
    ),
    "grid cell": (
        GRID_FILE,
        1,
        lambda r: r["grid"][1].__setitem__(1, "b"),
        r"grid\[1\]\[1\]",
        "is 'b'; .*'0', '1', 'r' or 'g'",
    ),
    "grid row": (GRID_FILE, 1, lambda r: r["grid"][1].pop(), r"grid\[1\]", "at least 3 items"),
    "grid rows": (GRID_FILE, 1, lambda r: r["grid"].append(["0"] * 3), "grid", "at most 3 items"),
    "grid of a question": (
        GRID_FILE,
        1,
        lambda r: r.update(turn=2),
        "turn",
        "answered by text, not by image",
    ),
    "grid of no turn": (GRID_FILE, 1, lambda r: r.update(turn=3), "turn", "there is no turn 3"),
}


@pytest.mark.parametrize(("file", "line", "change", "key", "complaint"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_named(data: Path, file: str, line: int, change: Change, key: str, complaint: str) -> None:
    edit(data / file, line, change)
    expected = re.compile(f"{re.escape(file)}, line {line}, {key}: .*{complaint}")
    assert any(expected.match(problem) for problem in problems_of(data)), problems_of(data)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"domain": "A"', "not JSON"),
        (b"[1, 2]", "not a JSON object but a list"),
        (b"nonsense", "not JSON"),
        (b'{"domain": NaN}', "NaN is not a JSON value"),
        (b'{"domain": "A", "domain": "B"}', "key 'domain' stands twice"),
        (b'{"domain": "\xff"}', "not UTF-8"),
        (b'{"domain": "\\ud800"}', "a string has half of a surrogate pair"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
@pytest.mark.parametrize("file", [BENCHMARK, IMAGES, DYNAMICS, GRID_FILE])
def test_a_line_that_is_no_object_is_named(data: Path, file: str, line: bytes, complaint: str) -> None:
    before = (data / file).read_bytes()
    number = before.count(b"\n") + 1
    (data / file).write_bytes(before + line + b"\n")
    (problem,) = problems_of(data)
    assert problem.startswith(f"{file}, line {number}: {complaint}")


def test_each_sample_stands_once(data: Path) -> None:
    for file in (BENCHMARK, IMAGES):
        write_records(data / file, records(data / file)[:1] + records(data / file))
    assert problems_of(data) == (
        f"{BENCHMARK}, line 2, sample_id: Apparel/hats/1 is in line 1 already",
        f"{IMAGES}, line 2, sample_id: Apparel/hats/1 is in line 1 already",
    )


def test_a_dynamic_question_needs_references(data: Path) -> None:
    (data / DYNAMICS).write_text("\n")
    (problem,) = problems_of(data)
    assert problem.startswith(f"{DYNAMICS}: no line is about turn 2 of Botany/natural_growth/1")


def test_grid_files_and_samples_belong_together(data: Path) -> None:
    (data / GRID_FILE).rename(data / "grid_gt" / "Geometric_Coloring__cubes_coloring__8.jsonl")
    assert problems_of(data) == (
        "grid_gt/Geometric_Coloring__cubes_coloring__8.jsonl: it belongs to no sample of benchmark.jsonl",
        f"{GRID_FILE}: there is no such file in {data}",
    )


@pytest.mark.parametrize("file", [IMAGES, DYNAMICS])
def test_a_file_that_is_missing_is_named(data: Path, file: str) -> None:
    (data / file).unlink()
    assert problems_of(data)[0] == f"{file}: there is no such file in {data}"


def test_an_array_is_not_taken_for_lines(data: Path) -> None:
    rewritten(data, lambda text: b"[\n" + text.rstrip().replace(b"\n", b",\n") + b"\n]\n")
    assert problems_of(data) == (f"{BENCHMARK} is one JSON array; it must have one object a line",)


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_a_benchmark_without_records_is_refused(tmp_path: Path, content: bytes) -> None:
    write_data(tmp_path, [])
    (tmp_path / "data" / BENCHMARK).write_bytes(content)
    assert problems_of(tmp_path / "data")[0].startswith(BENCHMARK)


def test_a_sample_that_cannot_be_read_is_not_missed_elsewhere_too(data: Path) -> None:
    edit(data / BENCHMARK, 3, without("tasks"))
    (problem,) = problems_of(data)
    assert problem == f"{BENCHMARK}, line 3, tasks: is missing"


def test_many_problems_are_counted_and_the_first_shown(data: Path) -> None:
    (data / BENCHMARK).write_bytes(b"{}\n" * 30)
    with pytest.raises(DataError) as error:
        read_data(data)
    assert len(error.value.problems) == 120
    assert "120 problems" in str(error.value)
    assert "and 100 more" in str(error.value)
    assert f"{BENCHMARK}, line 5, tasks: is missing" in str(error.value)
    assert "line 6," not in str(error.value)


def first_image(data: Path) -> Path:
    return sorted((data / "images").iterdir())[0]


def test_an_empty_image_is_named(data: Path) -> None:
    first_image(data).write_bytes(b"")
    (problem,) = problems_of(data)
    assert problem.endswith("the file is empty")


def test_links_may_not_lead_out_of_the_folder(data: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(PERSON.read())
    image = first_image(data)
    image.unlink()
    image.symlink_to(outside)
    (problem,) = problems_of(data)
    assert re.search(f"line 1, .*it is a link that leads out of {data}", problem)
    image.unlink()
    inside = data / "kept.png"
    outside.rename(inside)
    image.symlink_to(inside)
    assert read_data(data).samples == SAMPLES


def test_a_folder_of_images_elsewhere_is_outside(data: Path, tmp_path: Path) -> None:
    (data / "images").rename(tmp_path / "elsewhere")
    (data / "images").symlink_to(tmp_path / "elsewhere")
    assert "leads out of" in problems_of(data)[0]


def test_files_of_a_hub_snapshot_are_links_to_its_blobs(data: Path, tmp_path: Path) -> None:
    snapshot = as_hub_snapshot(data, tmp_path / "hub")
    assert read_data(find_data(snapshot)).samples == SAMPLES


def test_the_identity_is_that_of_the_lines_and_not_of_the_place(data: Path, tmp_path: Path) -> None:
    identity = Imug(root=data).identity
    elsewhere = shutil.copytree(data, tmp_path / "copy" / "data")
    assert Imug(root=elsewhere.parent, domains=["Apparel"]).identity == identity
    for file in (BENCHMARK, IMAGES, DYNAMICS, GRID_FILE):
        changed = shutil.copytree(data, tmp_path / file.replace("/", "_"))
        (changed / file).write_bytes((changed / file).read_bytes() + b"\n")
        assert Imug(root=changed).identity != identity


def test_the_identity_is_also_that_of_the_images(data: Path) -> None:
    identity = Imug(root=data).identity
    (data / "images" / "unused.png").write_bytes(PERSON.read())
    assert Imug(root=data).identity == identity
    first, second = sorted((data / "images").glob("[A-Z]*"))
    second.write_bytes(Image.from_pixels(np.full((6, 8, 3), 201, np.uint8)).read())
    changed = Imug(root=data, domains=["Apparel"]).identity
    assert changed != identity
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    assert Imug(root=data).identity not in (identity, changed)


def test_images_that_vanish_before_they_are_hashed_are_named(data: Path) -> None:
    benchmark = Imug(root=data)
    benchmark.samples()
    gone = first_image(data)
    gone.unlink()
    with pytest.raises(DataError, match=rf"images/{re.escape(gone.name)}: it cannot be read"):
        assert benchmark.identity


def encoded(form: str) -> bytes:
    buffer = io.BytesIO()
    Pillow.new("RGB", (8, 6)).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (encoded("WEBP"), "it is a WebP image; servers and judges take PNG and JPEG"),
        (encoded("GIF"), "it is a GIF image"),
        (encoded("BMP"), "it is a BMP image"),
        (encoded("TIFF"), "it is a TIFF image"),
        (encoded("AVIF"), "it is an AVIF image"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "it is a Git LFS pointer .*git lfs pull",
        ),
        (b"<!DOCTYPE html><title>404</title>", "it is a page of HTML"),
        (b"\x89PN", "it is neither PNG nor JPEG"),
        (b"words", "it is neither PNG nor JPEG"),
    ],
)
def test_an_image_that_no_judge_takes_is_named_before_anything_is_paid(
    data: Path, content: bytes, complaint: str
) -> None:
    first_image(data).write_bytes(content)
    (problem,) = problems_of(data)
    key = re.escape(f"{BENCHMARK}, line 1, tasks[0].input[1].image: is '{first_image(data).name}'")
    assert re.match(f"{key}; {complaint}", problem)


def test_a_jpeg_may_be_called_png(data: Path) -> None:
    first_image(data).write_bytes(encoded("JPEG"))
    assert read_data(data).samples[0].questions[0].parts[1] == Image.from_bytes(encoded("JPEG"))


def test_images_are_not_read_before_they_are_asked_for(data: Path) -> None:
    part = read_data(data).samples[0].questions[0].parts[1]
    assert isinstance(part, Image)
    first_image(data).unlink()
    with pytest.raises(FileNotFoundError):
        part.read()


def test_a_benchmark_that_is_there_is_not_overwritten(data: Path) -> None:
    with pytest.raises(FileExistsError, match="another folder"):
        write_small(data.parent)
