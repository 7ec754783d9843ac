"""Dynamic questions of IMUG-Bench from answers to records and official files, and chains of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from imug_tts.benchmarks.imug import Imug
from imug_tts.benchmarks.imug.scores import read_scores, write_scores
from imug_tts.benchmarks.imug.summary import official_summary
from imug_tts.benchmarks.imug.writing import write_data
from imug_tts.contracts import Backbone, Candidate, JudgeError, Request
from imug_tts.dialogue import Image, Part, Question, Sample, Text
from imug_tts.records import read_turns
from imug_tts.runs import Rescoring, Source, execute
from imug_tts.scoring import Scoring, mcq
from imug_tts.testing.runs import Listener
from imug_tts.testing.toys import CAPABILITIES, within

DRAWN = Image.from_pixels(np.full((8, 8, 3), 9, np.uint8))


def dynamic(number: int, *ref_turns: int, fixed: str = "") -> Question:
    text = f"Question {number}? A red B green C blue D none"
    key = {"answer": f"{fixed}{mcq.DYNAMIC}", "ref_turns": list(ref_turns)}
    return Question(number=number, modality="text", parts=(Text(text),), key=key)


def sample(task: str, *questions: Question) -> Sample:
    drawing = Question(
        number=1,
        modality="image",
        parts=(Text("Draw."),),
        key={"evaluation_points": ["it is there"], "references": []},
    )
    return Sample("1", "temporal_causal", "Botany", task, (drawing, *questions))


@dataclass
class Grader(Backbone):
    """Grades images with full marks; its answer to a dynamic question is that of the last question shown."""

    replies: Mapping[str, Sequence[object]]
    """Replies to each question in turn, the last for ever."""
    identity: str = "grader"
    asked: list[Request] = field(default_factory=list)
    capabilities = replace(CAPABILITIES, outputs=frozenset({"text"}))

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        return [[self._answer(request)] * len(request.seeds) for request in requests]

    def _answer(self, request: Request) -> Candidate:
        texts = [part.text for part in request.history[0].parts if isinstance(part, Text)]
        if "The question to decide:" not in texts:
            return said({"evaluation_results": [{"point_id": 1, "score": 5}]})
        self.asked.append(request)
        question = texts[texts.index("The question to decide:") + 1]
        replies = self.replies[question.split("?")[0]]
        return said(replies[min(len(request.history) // 2, len(replies) - 1)])

    def shown(self, question: str) -> list[str]:
        """The texts before and with a question, in the last call about it."""
        for request in reversed(self.asked):
            texts = [part.text for part in request.history[0].parts if isinstance(part, Text)]
            if texts[texts.index("The question to decide:") + 1].startswith(question):
                return texts
        raise AssertionError(question)


def said(value: object) -> Candidate:
    return Candidate(output=Text(value if isinstance(value, str) else json.dumps(value)))


def letters(answer: object) -> object:
    return {"determined_answer": answer, "reasoning": "so"}


def turns_of(
    folder: Path, samples: Sequence[Sample], answers: Mapping[int, Part], grader: Grader, rule: mcq.Rule
) -> list[dict[str, Any]]:
    """The records of a run that gives these answers in every dialogue."""
    benchmark = Imug(root=write_data(folder, samples), scoring=Scoring(mcq=rule))
    given = {(each.name, number): answers[number] for each in samples for number in answers}
    source = Source.of_answers("m", benchmark, given, {})
    scoring = Rescoring(source=source, benchmark=benchmark, scorer=grader, folder=folder / "run", config={})
    execute([scoring], journal=folder / "journal", trackers=[Listener()])
    return [line.record for line in read_turns(folder / "run")]


UNRESOLVED: list[tuple[object, str, str]] = [
    ({"error": "I cannot see it"}, "", ""),
    (letters(""), "", ""),
    (letters("H"), "", ""),
    (letters(None), "", "E"),
    (letters("Cannot determine"), "", "ACDE"),
    (letters("F"), "", "F"),
    ({"error": "I cannot see it"}, "B", "B"),
]


@pytest.mark.parametrize(("reply", "fixed", "official"), UNRESOLVED)
def test_a_reply_without_letters_leaves_the_turn_unscored_and_the_official_files_as_they_would_be(
    tmp_path: Path, reply: object, fixed: str, official: str
) -> None:
    grader = Grader({"Question 2": [reply]})
    answers: dict[int, Part] = {1: DRAWN, 2: Text("C, B")}
    turns = turns_of(tmp_path, [sample("growth", dynamic(2, 1, fixed=fixed))], answers, grader, "official")
    assert [turn["outcome"] for turn in turns] == ["scored", "judge_error"]
    assert (turns[1]["score"], "3 replies" in turns[1]["error"], len(grader.asked)) == (None, True, 3)
    write_scores(tmp_path / "official", "m", turns)
    written = {path.name: path.read_text() for path in (tmp_path / "official").rglob("*.jsonl")}
    [dynamic_answer] = [json.loads(line) for line in written["m_dynamic_answer.jsonl"].splitlines()]
    assert dynamic_answer["determined_answer"] == official
    [choices] = [json.loads(line) for line in written["m_mcq_score.jsonl"].splitlines()]
    assert choices["mcq_scores"] == [{"turn": 2, "score": mcq.official("C, B", official)}]
    assert official_summary({"m": turns}) == official_summary(read_scores(tmp_path / "official"))


def test_a_reply_that_was_asked_again_counts_for_us_and_the_first_one_for_the_official_files(
    tmp_path: Path,
) -> None:
    grader = Grader({"Question 2": [letters("option B and C"), letters("B")]})
    [_, turn] = turns_of(
        tmp_path, [sample("growth", dynamic(2, 1))], {1: DRAWN, 2: Text("B")}, grader, "official"
    )
    assert (turn["outcome"], turn["score"], turn["score_detail"]["expected"]) == ("scored", 1.0, "B")
    write_scores(tmp_path / "official", "m", [turn])
    [record] = read_scores(tmp_path / "official")["m"]
    assert (record["score"], record["score_detail"]["expected"]) == (0.0, "ABCD")


@pytest.mark.parametrize("rule", get_args(mcq.Rule))
def test_a_reply_in_letters_is_the_same_for_both(tmp_path: Path, rule: mcq.Rule) -> None:
    grader = Grader({"Question 2": [letters("B")]})
    [_, turn] = turns_of(tmp_path, [sample("growth", dynamic(2, 1))], {1: DRAWN, 2: Text("B")}, grader, rule)
    assert turn["score"] == 1.0
    assert "official_letters" not in turn["score_detail"]


CHAIN = (dynamic(2, 1), dynamic(3, 2), dynamic(4, 1, 2, 3), dynamic(5, 4))


def test_a_question_about_a_dynamic_question_is_shown_its_right_letters(tmp_path: Path) -> None:
    replies = {f"Question {number}": [letters(letter)] for number, letter in enumerate("CBDA", 2)}
    grader = Grader(replies)
    answers: dict[int, Part] = {1: DRAWN, **dict.fromkeys(range(2, 6), Text("A"))}
    turns = turns_of(tmp_path, [sample("growth", *CHAIN)], answers, grader, "official")
    assert [turn["score_detail"]["expected"] for turn in turns[1:]] == ["C", "B", "D", "A"]
    assert [turn["score_detail"].get("earlier") for turn in turns[1:]] == [
        None,
        {"2": "C"},
        {"2": "C", "3": "B"},
        {"2": "C", "3": "B", "4": "D"},
    ]
    assert not any(mcq.DYNAMIC in text for question in replies for text in grader.shown(question))
    shown = grader.shown("Question 4")
    assert [shown[shown.index(f"Turn {turn}, the answer:") + 1] for turn in (2, 3)] == ["C", "B"]
    # Each question is one call, whether its own turn or a later one asks.
    assert len(grader.asked) == 4


def test_letters_that_are_right_in_any_case_are_shown_too() -> None:
    plants = sample("natural_growth", dynamic(2, 1, fixed="A+"), dynamic(3, 2))
    grader = Grader({"Question 2": [letters("C")], "Question 3": [letters("B")]})
    outputs: list[Part | None] = [DRAWN, Text("A"), Text("B")]
    score = within(lambda scope: Imug().score(plants, outputs, scope), scorer=grader)
    assert (score.value, score.detail["earlier"]) == (1.0, {"2": "AC"})


def test_a_chain_whose_first_question_has_no_letters_has_no_score() -> None:
    chain = sample("growth", dynamic(2, 1), dynamic(3, 2))
    grader = Grader({"Question 2": [{"error": "no"}], "Question 3": [letters("B")]})
    with pytest.raises(JudgeError, match=r"turn 3 of Botany/growth/1 depends on the right letters of turn 2"):
        within(lambda scope: Imug().score(chain, [DRAWN, Text("A"), Text("B")], scope), scorer=grader)
    with pytest.raises(JudgeError, match=r"turn 2 of .* beside the image of turn 1, which is missing"):
        within(lambda scope: Imug().score(chain, [None, Text("A"), Text("B")], scope), scorer=grader)
