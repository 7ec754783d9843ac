"""Grades of DriveBench: rubrics, totals, letters; what the official code reads, and what is right."""

from __future__ import annotations

import string
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imug_tts.backbones.openai_chat import OpenAIChat
from imug_tts.benchmarks.drivebench import DriveBench
from imug_tts.benchmarks.drivebench.choices import accuracy, chosen, official_choice, options_of
from imug_tts.benchmarks.drivebench.kinds import KINDS, Kind
from imug_tts.benchmarks.drivebench.points import official_points, read_points
from imug_tts.benchmarks.drivebench.rubrics import RUBRICS, Sheet, judge_message
from imug_tts.benchmarks.drivebench.synthetic import write_synthetic
from imug_tts.contracts import JudgeError, NoScorer, Score
from imug_tts.dialogue import Text
from imug_tts.scoring.replies import UnreadableReply
from imug_tts.testing.chat_server import ChatServer, Reply, chat_server, completion
from imug_tts.testing.toys import within

STATES = {"A": "Going ahead", "B": "Turn left", "C": "Turn right"}


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> DriveBench:
    root = tmp_path_factory.mktemp("drive")
    write_synthetic(root, 2)
    return DriveBench(root=root)


def graded(
    drive: DriveBench,
    kind: Kind,
    answer: str,
    replies: Sequence[str | Reply],
    journal: Path | None = None,
) -> tuple[Score, ChatServer]:
    """The score of an answer by an endpoint that gives these replies in turn, the last for ever."""
    sample = next(sample for sample in drive.samples() if sample.sample_class == kind)

    def reply(number: int, body: dict[str, Any]) -> Reply:
        said = replies[min(number, len(replies) - 1)]
        return said if isinstance(said, Reply) else completion(said)

    with chat_server(reply) as server:
        scorer = OpenAIChat(base_url=server.base_url, model="judge")
        score = within(
            lambda scope: drive.score(sample, [Text(answer)], scope.as_scorer()),
            scorer=scorer,
            journal=journal,
        )
        return score, server


@pytest.mark.parametrize("kind", KINDS)
def test_a_rubric_has_100_points_and_a_judge_sees_all_of_it(kind: Kind) -> None:
    rubric = RUBRICS[kind]
    assert rubric.points == 100
    message = judge_message(kind, Sheet("Where to {x}?", "Left.", "Right.", "a red bus"))
    for criterion in rubric.criteria:
        assert message.count(f"{criterion.title} ({criterion.points} points):") == 2  # guide and form
        assert criterion.guide in message
    assert all(words in message for words in ("Where to {x}?", "Left.", "Right.", "Total Score: "))
    assert ("a red bus" in message) == rubric.shows_object


@given(st.integers(0, 100), st.sampled_from(["{}", "{}/100", "{} points", "**{}**", "{} out of 100."]))
def test_every_total_in_range_is_read(points: int, form: str) -> None:
    for line in ("Total Score: {}", "**Total Score:** {}", "### total score (100 points): {}"):
        reply = (
            f"1. Answer Correctness (50 points): 50\n{line.format(form.format(points))}\n\nBrief Summary: so"
        )
        assert read_points(reply) == points
        assert read_points(f"<think>Total Score: 3</think>{reply}") == points


@given(st.integers(max_value=-1) | st.integers(min_value=101))
def test_a_total_out_of_range_is_never_a_score(points: int) -> None:
    with pytest.raises(UnreadableReply, match="from 0 to 100"):
        read_points(f"Total Score: {points}")


@given(st.text(alphabet=string.printable))
def test_any_reply_is_a_total_in_range_or_unreadable(reply: str) -> None:
    for text in (reply, f"Total Score: {reply}"):
        with suppress(UnreadableReply):
            assert 0 <= read_points(text) <= 100


@pytest.mark.parametrize(
    ("reply", "official", "points"),
    [
        ("Total Score: 85", 85, 85),
        ("Total Score: 85/100", 85, 85),
        ("**Total Score:** 85", None, 85),  # the official evaluation ends here
        ("Total Score (100 points): 85", None, 85),
        ("total score: 85", None, 85),
        ("Total Score: 50 + 10 + 15 = 75", 50, None),
        ("Total Score: 85.5", 85, None),
        ("Total Score: 850", 850, None),
        ("Total Score: 1000", None, None),
        ("Total Score: -5", None, None),
        ("Total Score: 40\nNo: Total Score: 60\nTotal Score: 60", 40, None),
        ("Total Score: 60\nTotal Score: 60", 60, 60),
        ("<think>Total Score: 10</think>Total Score: 60", 10, 60),
        ("I cannot grade this.", None, None),
    ],
)
def test_what_the_official_code_reads_and_what_is_a_score(
    reply: str, official: int | None, points: int | None
) -> None:
    assert official_points(reply) == official
    if points is None:
        with pytest.raises(UnreadableReply):
            read_points(reply)
    else:
        assert read_points(reply) == points


def test_options_are_read_from_the_question() -> None:
    listed = " ".join(f"{letter}. {text}." for letter, text in STATES.items())
    assert options_of(f"What is it doing? Please select from the following options: {listed}") == STATES
    long = "A. The ego vehicle is going straight. It is not fast.\nB. The ego vehicle is not moving."
    assert options_of(long)["A"] == "The ego vehicle is going straight. It is not fast"
    assert options_of("What is it doing?") == {}


@pytest.mark.parametrize(
    ("answer", "prediction", "official", "right"),
    [
        ("A", "A. Going ahead.", True, True),
        ("B", "(B)", True, True),
        ("B", "B. There is a car ahead.", False, True),  # the article is read as option A
        ("A", "B. There is a car ahead.", True, False),
        ("C", "The correct answer is C, because a truck blocks the lane.", False, True),
        ("A", "It is a car.", True, False),
        ("B", "Turn left", False, True),  # the words of the option
        ("C", "<think>A? B?</think>C", False, True),
        ("B", "A or B", False, False),
        ("A", "A or B", True, False),
        ("B", "I do not know.", False, False),
    ],
)
def test_the_official_rule_and_the_right_one(
    answer: str, prediction: str, official: bool, right: bool
) -> None:
    found = accuracy(answer, prediction, STATES)
    assert (found["official_right"], found["right"]) == (official, right)


def test_two_unreadable_answers_are_equal_by_the_official_rule_alone() -> None:
    assert official_choice("Going ahead.") == official_choice("No idea.") == ""
    found = accuracy("Going ahead.", "No idea.", STATES)
    assert (found["official_right"], found["right"]) == (True, False)


@given(st.sampled_from("ABC"), st.text(alphabet=string.printable))
def test_one_letter_at_most_is_chosen_and_it_is_an_option(letter: str, text: str) -> None:
    assert chosen(text, STATES) in ("", "A", "B", "C")
    assert chosen(f"{letter}. {STATES[letter]}.", STATES) == letter


def test_a_judge_is_asked_at_temperature_0_in_one_message(drive: DriveBench) -> None:
    score, server = graded(drive, "planning_vqa", "Slow down.", ["Total Score: 72"])
    assert score.value == 0.72
    assert {key: value for key, value in score.detail.items() if key != "question_sha256"} == {
        "kind": "planning_vqa",
        "capability": "planning",
        "points": 72,
        "official_points": 72,
        "num_replies": 1,
        "reply": "Total Score: 72",
    }
    (body,) = server.bodies
    assert (body["temperature"], body["max_completion_tokens"]) == (0.0, 3000)
    (message,) = body["messages"]
    assert message["role"] == "user"
    assert "Slow down." in str(message["content"])
    assert "Action Prediction Accuracy (40 points)" in str(message["content"])


def test_an_unreadable_reply_is_asked_again_and_the_official_reading_is_kept(drive: DriveBench) -> None:
    score, server = graded(drive, "behavior_mcq", "B", ["Total Score: 50 + 9 = 59", "Total Score: 59"])
    assert (score.value, score.detail["official_points"], score.detail["num_replies"]) == (0.59, 50, 2)
    again = str(server.bodies[1]["messages"][-1]["content"])
    assert "one whole number" in again
    assert "Total Score: N" in again
    assert "JSON" not in again


def test_what_stays_unreadable_has_no_score_and_keeps_what_is_known(drive: DriveBench) -> None:
    with pytest.raises(JudgeError, match="3 replies of the scorer could not be read") as failed:
        graded(drive, "behavior_mcq", "A. It is parked.", ["Total Score: 400"])
    assert failed.value.detail["official_points"] == 400
    assert failed.value.detail["chosen"] == "A"
    assert "points" not in failed.value.detail


def test_replies_of_an_earlier_invocation_that_could_not_be_read_do_not_stop_the_next(
    tmp_path: Path, drive: DriveBench
) -> None:
    for _ in range(2):
        with pytest.raises(JudgeError, match="3 replies of the scorer could not be read"):
            graded(drive, "planning_vqa", "Go.", ["Well."], tmp_path)
    score, server = graded(drive, "planning_vqa", "Go.", ["Total Score: 30"], tmp_path)
    assert (score.value, len(server.bodies)) == (0.3, 1)
    assert score.detail["official_points"] is None  # the first reply of all


def test_a_judge_that_refuses_is_not_asked_the_same_for_ever(drive: DriveBench) -> None:
    with pytest.raises(JudgeError, match="1 replies of the scorer could not be read: the scorer refused"):
        graded(drive, "planning_vqa", "Go.", [completion(None, refusal="I would rather not.")])


def test_without_a_judge_a_letter_is_right_or_wrong_all_the_same(drive: DriveBench) -> None:
    sample = next(sample for sample in drive.samples() if sample.sample_class == "perception_mcq")
    right = sample.questions[0].key["answer"]
    with pytest.raises(NoScorer) as unscored:
        within(lambda scope: drive.score(sample, [Text(f"{right}.")], scope.as_scorer()))
    assert unscored.value.detail["right"]


def test_a_judge_is_told_what_the_object_looks_like(tmp_path: Path, drive: DriveBench) -> None:
    _, server = graded(drive, "perception_mcq", "A", ["Total Score: 1"])
    sample = next(sample for sample in drive.samples() if sample.sample_class == "perception_mcq")
    look = sample.questions[0].key["description"]
    assert look
    assert look in str(server.bodies[0]["messages"])
    write_synthetic(tmp_path, 2)
    blind = DriveBench(root=tmp_path, descriptions=None)
    assert "names no object" in blind.samples()[0].questions[0].key["description"]
    assert blind.identity != DriveBench(root=tmp_path).identity
