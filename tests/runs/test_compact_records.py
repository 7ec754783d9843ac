"""Compressed records: repeated values are stored once per line, and readers get the full record."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.__main__ import main as analyse
from analysis.label.__main__ import main as label
from imug_tts.contracts import Cost, Scope, Score
from imug_tts.dialogue import Image, Part, Point, Sample, Text, Verdict
from imug_tts.judges import BackboneJudge, OpenAIJudge
from imug_tts.records import RecordError, line_of, read_turns, record_of
from imug_tts.runs import Arm, Run, execute
from imug_tts.scoring.image import score_image
from imug_tts.strategies import BestOfN, ChainOfThought, Direct, SelfVerification
from imug_tts.testing.chat_server import Reply, chat_server, completion
from imug_tts.testing.runs import Listener, ToyBenchmark
from imug_tts.testing.toys import ToyBackbone

POINTS = ("The hat of the dog is red, as it was asked.", "Nothing else has changed since the turn before.")
QUESTIONS = (
    "Is there one dog, and does it wear a red hat?",
    "Are the tree and the house where they were in the image before?",
    "Is nothing in the image that was not asked for?",
)
REASONS = ('The hat is red, its "brim" as well; the ears of the dog cover it in part.', "A naïve tree.")


@dataclass(frozen=True)
class Graded(ToyBenchmark):
    """Images are graded by the scorer."""

    async def score(self, sample: Sample, outputs: Sequence[Part | None], scope: Scope) -> Score:
        target = outputs[-1]
        if isinstance(target, Text):
            return Score(value=float(len(target.text) % 2), detail={"expected": "A"})
        assert isinstance(target, Image)
        return await score_image(scope, references=[], target=target, instruction="draw", points=POINTS)


def clerk(number: int, body: dict[str, Any]) -> Reply:
    """Writes a checklist, answers its questions, and grades images, with reasons that contain quotes."""
    last = body["messages"][-1]["content"][-1]["text"]
    if "evaluation_results" in last:
        results = [{"point_id": k, "score": (number + k) % 6, "reason": r} for k, r in enumerate(REASONS, 1)]
        reply = json.dumps({"evaluation_results": results}, ensure_ascii=False)
        return completion(f"```json\n{reply}\n```")
    if "checklist" in last.lower():
        return completion("\n".join(QUESTIONS))
    is_wrong = number % 3 == 0 and "house" in last
    return completion("No, the house has moved to the left." if is_wrong else "yes")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Arms whose judge and scorer stand behind an endpoint, and one that judges itself."""
    folder = tmp_path_factory.mktemp("study")
    with chat_server(clerk) as server:
        judge = OpenAIJudge(base_url=server.base_url, model="judge", max_attempts=1, patience_s=0)
        strategies = {
            "best": BestOfN(inner=ChainOfThought(inner=Direct()), judge=judge, n=4),
            "verified": SelfVerification(inner=Direct(), judge=BackboneJudge(), max_rounds=3),
        }
        runs = [
            Run(
                arm=Arm(
                    backbone=ToyBackbone(),
                    strategy=strategy,
                    benchmark=Graded(num_samples=8),
                    roles={"scorer": judge.asked_model},
                ),
                folder=folder / name,
                config={},
            )
            for name, strategy in strategies.items()
        ]
        execute(runs, journal=folder / "journal", trackers=[Listener()])
    return folder


def in_the_old_form(study: Path, to: Path) -> Path:
    """The same study with every record written as it is."""
    for folder in ("best", "verified"):
        (to / folder).mkdir(parents=True)
        for path in (study / folder).iterdir():
            if path.is_dir() or path.name == "turns.jsonl":
                continue
            (to / folder / path.name).write_bytes(path.read_bytes())
        (to / folder / "images").symlink_to(study / folder / "images")
        lines = [json.dumps(line.record, separators=(",", ":")) + "\n" for line in read_turns(study / folder)]
        (to / folder / "turns.jsonl").write_text("".join(lines))
    return to


def test_a_judged_run_takes_forty_per_cent_fewer_bytes(study: Path, tmp_path: Path) -> None:
    old = in_the_old_form(study, tmp_path / "old")
    now, before = ((folder / "best" / "turns.jsonl").stat().st_size for folder in (study, old))
    assert now <= 0.6 * before


def test_a_question_a_reason_and_a_score_stand_once_on_a_line(study: Path) -> None:
    line = (study / "best" / "turns.jsonl").read_text().splitlines()[0]
    for said in (*POINTS, *QUESTIONS, "cover it in part"):
        assert line.count(said) == 1, said


def test_records_of_both_forms_are_equal(study: Path, tmp_path: Path) -> None:
    old = in_the_old_form(study, tmp_path / "old")
    for name in ("best", "verified"):
        read = [[json.dumps(line.record) for line in read_turns(folder / name)] for folder in (study, old)]
        assert read[0] == read[1]
    record = next(line.record for line in read_turns(study / "best") if "house has" in str(line.record))
    candidates = record["response"]["candidates"]
    verdict = next(each["verdict"] for each in candidates if each["verdict"]["failed"])
    assert verdict["detail"].splitlines()[1] == f"0.000 {QUESTIONS[1]}"
    assert verdict["failed"] == [f"{QUESTIONS[1]} the house has moved to the left."]
    graded = json.loads(candidates[0]["score_detail"]["reply"].strip("`json\n"))["evaluation_results"]
    assert [each["reason"] for each in graded] == list(REASONS)


def test_tables_report_and_labels_are_the_same_for_both_forms(study: Path, tmp_path: Path) -> None:
    made = []
    for name in ("new", "old"):
        home = tmp_path / name / "study"  # pages name the study's folder
        in_the_old_form(study, home)
        if name == "new":
            for run in ("best", "verified"):
                (home / run / "turns.jsonl").write_bytes((study / run / "turns.jsonl").read_bytes())
        out, labels = tmp_path / name / "out", tmp_path / name / "labels"
        assert analyse([str(home), "--out", str(out), "--resamples", "100"]) == 0
        assert label([str(home), "--out", str(labels), "--n", "6"]) == 0
        made.append({**contents(out), **contents(labels)})
    assert made[0].keys() == made[1].keys()
    assert [name for name in made[0] if made[0][name] != made[1][name]] == []


def contents(folder: Path) -> dict[str, str]:
    """The files of a folder that hold words, but for the one that identifies the bytes that were read."""
    texts = {
        path.name: path.read_text()
        for path in folder.rglob("*")
        if path.suffix in (".csv", ".md", ".tex", ".json", ".html") and path.name != "made.json"
    }
    return {name: text.replace(str(folder.parent), "") for name, text in texts.items()}


def test_records_are_printed_whole(study: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "imug_tts.records", study / "best"], capture_output=True, text=True, check=True
    )
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    assert printed == [line.record for line in read_turns(study / "best")]


texts = st.sampled_from(
    ["", "yes", "0.5", "a plan that is long enough to be shared", 'with "quotes"\nand lines', "é" * 30]
)
images = st.sampled_from(["a" * 64, "b" * 64])
outputs: Any = st.none() | st.builds(dict, text=texts) | st.builds(dict, image=images)
details = st.none() | st.fixed_dictionaries(
    {"points": st.lists(st.integers(0, 5), max_size=3)},
    optional={
        "point_texts": st.lists(texts, max_size=3),
        "reasons": st.lists(texts, max_size=3),
        "reply": texts | st.lists(texts, max_size=3).map(lambda said: json.dumps(said, ensure_ascii=False)),
        "$": texts,
    },
)
points = st.builds(Point, texts, st.floats(0, 1), texts)
verdicts = st.builds(
    lambda points, detail, score: Verdict(
        status="ok",
        judge="backbone",
        score=score,
        points=tuple(points),
        detail=detail + "\n".join(f"{point.probability:.3f} {point.text}" for point in points),
    ).to_json(),
    st.lists(points, max_size=3),
    st.sampled_from(["", "neither yes nor no"]),
    st.floats(0, 1),
)
nodes = st.recursive(
    st.fixed_dictionaries(
        {"strategy": texts, "output": outputs, "finish": texts},
        optional={"plan": texts, "verdict": verdicts, "score": st.floats(0, 1), "score_detail": details},
    ),
    lambda inner: st.fixed_dictionaries(
        {"strategy": texts, "output": outputs, "candidates": st.lists(inner, max_size=4)},
        optional={"verdict": verdicts, "score_detail": details},
    ),
    max_leaves=6,
)
costs = st.builds(Cost, calls=st.integers(0, 2), seconds=st.sampled_from([0.0, 0.1])).map(Cost.to_json)
recorded = st.fixed_dictionaries(
    {
        "run": texts,
        "score_detail": details,
        "cost": st.dictionaries(st.sampled_from(["generator", "judge"]), costs | st.just({"calls": 1})),
        "input": st.lists(texts),
        "response": st.none() | nodes,
    }
)


@given(recorded)
def test_any_record_is_read_as_it_was_written(record: dict[str, Any]) -> None:
    assert json.dumps(record_of(line_of(record))) == json.dumps(record)
    assert record_of(json.dumps(record).encode()) == record


def test_a_line_of_a_later_form_is_refused_in_words(study: Path, tmp_path: Path) -> None:
    lines = (study / "best" / "turns.jsonl").read_text()
    (tmp_path / "turns.jsonl").write_text(lines.replace('"form":2', '"form":3', 1))
    with pytest.raises(RecordError, match=re.escape("line 1: damaged (form 3 is of a later version")):
        list(read_turns(tmp_path))


def test_a_reference_to_nothing_is_a_damaged_line(study: Path, tmp_path: Path) -> None:
    lines = (study / "best" / "turns.jsonl").read_text()
    (tmp_path / "turns.jsonl").write_text(re.sub(r'{"\$":\d+}', '{"$":99}', lines, count=1))
    with pytest.raises(RecordError, match=re.escape("line 1: damaged")):
        list(read_turns(tmp_path))
