"""Turns of IMUG-Bench that a judge model scores: what it is shown, and what its reply is worth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from imug_tts.benchmarks.imug import Imug
from imug_tts.contracts import Backbone, Candidate, JudgeError, NoScorer, Request, Score
from imug_tts.dialogue import Image, Part, Sample, Text
from imug_tts.scoring import Scoring
from imug_tts.testing.toys import CAPABILITIES, within
from tests.benchmarks.imug_files import PERSON, edit, write_small

HAT, RED_HAT, SEED = (Image.from_pixels(np.full((8, 8, 3), shade, np.uint8)) for shade in (9, 99, 199))


@dataclass
class Judge(Backbone):
    """Says what it is told to, and keeps what it was asked."""

    reply: object
    identity: str = "judge"
    asked: list[Request] = field(default_factory=list)
    capabilities = replace(CAPABILITIES, outputs=frozenset({"text"}))

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        self.asked.extend(requests)
        return [[Candidate(output=Text(json.dumps(self.reply)))] * len(r.seeds) for r in requests]

    @property
    def images(self) -> list[Part]:
        """The images that it saw, in order."""
        return [p for m in self.asked[-1].history for p in m.parts if isinstance(p, Image)]

    @property
    def text(self) -> str:
        return "\n".join(p.text for m in self.asked[-1].history for p in m.parts if isinstance(p, Text))


def points(*scores: int) -> object:
    graded = [{"point_id": n, "score": score, "reason": "so"} for n, score in enumerate(scores, 1)]
    return {"evaluation_results": graded}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_small(tmp_path)


def score(
    benchmark: Imug, sample: Sample, outputs: Sequence[Part | None], judge: Judge | None = None
) -> Score:
    return within(lambda scope: benchmark.score(sample, outputs, scope), scorer=judge)


def test_an_image_is_judged_beside_its_references_in_order(small: Path) -> None:
    benchmark, judge = Imug(root=small), Judge(points(5, 2))
    hats = benchmark.samples()[0]
    scored = score(benchmark, hats, [Text("A"), HAT, RED_HAT], judge)
    assert scored.value == pytest.approx(0.7)
    assert judge.images == [PERSON, HAT, RED_HAT]
    for words in ("Make it red.", "it is there", "nothing else is"):
        assert words in judge.text
    assert "Add a hat." not in judge.text


def test_an_image_without_references_is_judged_alone(small: Path) -> None:
    benchmark, judge = Imug(root=small), Judge(points(4, 4))
    growth = benchmark.samples()[1]
    assert score(benchmark, growth, [SEED], judge).value == pytest.approx(0.8)
    assert judge.images == [SEED]


def test_a_judge_finds_the_letters_of_a_dynamic_question(small: Path) -> None:
    judge = Judge({"determined_answer": "C", "reasoning": "so"})
    benchmark = Imug(root=small, scoring=Scoring(mcq="corrected"))
    growth = benchmark.samples()[1]
    scored = score(benchmark, growth, [SEED, Text("A,C")], judge)
    assert (scored.value, scored.detail["expected"], scored.detail["dynamic"]) == (0.75, "AC", True)
    assert judge.images == [SEED]
    assert "What did you draw?" in judge.text
    assert "Draw a seed." in judge.text


def test_the_official_rule_reads_no_joined_letters_of_a_judge_either(small: Path) -> None:
    judge = Judge({"determined_answer": "C", "reasoning": "so"})
    benchmark = Imug(root=small)
    assert score(benchmark, benchmark.samples()[1], [SEED, Text("A,C")], judge).value == 0


def test_a_judge_sees_the_right_letters_of_a_question_before(small: Path) -> None:
    edit(
        small / "benchmark.jsonl",
        1,
        lambda record: record["tasks"].append(
            {"turn": 4, "modality": "text", "input": [{"text": "Now?"}], "output": {"answer": "<DYNAMIC>"}}
        ),
    )
    lines = (small / "dynamic_references.jsonl").read_text()
    link = {
        "domain": "Apparel",
        "subdomain": "hats",
        "sample_id": "1",
        "turn_idx": 4,
        "ref_turn_idxs": [3, 1],
    }
    (small / "dynamic_references.jsonl").write_text(lines + json.dumps(link))
    benchmark, judge = Imug(root=small), Judge({"determined_answer": "D", "reasoning": "so"})
    hats = benchmark.samples()[0]
    assert score(benchmark, hats, [None, None, RED_HAT, Text("D")], judge).value == 1
    assert RED_HAT in judge.images
    assert judge.text.index("Who is this?") < judge.text.index("Make it red.") < judge.text.index("Now?")


def test_without_a_judge_what_needs_one_is_unscored(small: Path) -> None:
    benchmark = Imug(root=small)
    hats, growth, _ = benchmark.samples()
    with pytest.raises(NoScorer):
        score(benchmark, hats, [Text("B"), HAT])
    with pytest.raises(NoScorer):
        score(benchmark, growth, [HAT, Text("A")])


def test_what_a_judge_must_see_must_be_there(small: Path) -> None:
    benchmark, judge = Imug(root=small), Judge(points(5, 5))
    hats, growth, _ = benchmark.samples()
    with pytest.raises(JudgeError, match=r"turn 3 of Apparel/hats/1 .* image of turn 2, which is missing"):
        score(benchmark, hats, [Text("B"), None, RED_HAT], judge)
    with pytest.raises(JudgeError, match=r"turn 2 of Botany/natural_growth/1 .* image of turn 1"):
        score(benchmark, growth, [None, Text("A")], judge)
    assert not judge.asked
    assert score(benchmark, hats, [None, HAT], judge).value == 1  # turn 1 is no reference by its answer
