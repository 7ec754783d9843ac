"""Damage in the official data files is named: the file, the line, the key, the value and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imug_tts.benchmarks.imug.reading import read_data
from imug_tts.benchmarks.imug.writing import write_data
from imug_tts.jsonl import DataError
from tests.benchmarks.imug_files import (
    BENCHMARK,
    DYNAMICS,
    GRID_FILE,
    IMAGES,
    edit,
    problems_of,
    records,
    rewritten,
    write_records,
    write_small,
)

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_small(tmp_path)


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
        "turn 2 of Apparel/hats/1 occurs twice",
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
        (b'{"domain": "A", "domain": "B"}', "key 'domain' occurs twice"),
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
    assert problem.startswith(f"{DYNAMICS}: no line for turn 2 of Botany/natural_growth/1")


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
    assert problems_of(data) == (f"{BENCHMARK} is one JSON array; it must have one object per line",)


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
