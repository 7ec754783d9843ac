"""Image scores by a judge on a real endpoint: its input, and which replies give a score."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imug_tts.backbones.openai_chat import OpenAIChat
from imug_tts.contracts import JudgeError, NoScorer, Score
from imug_tts.dialogue import Image
from imug_tts.scoring.image import score_image
from imug_tts.scoring.replies import UnreadableReply, json_object
from imug_tts.testing.chat_server import ChatServer, Reply, chat_server, completion
from imug_tts.testing.toys import within

BEFORE, TARGET = (Image.from_pixels(np.full((4, 4, 3), shade, np.uint8)) for shade in (9, 99))
POINTS = ("the hat is red", "the dog is there", "nothing else changed")


def graded(*scores: object, **changes: object) -> str:
    """A reply that gives the points these scores; `changes` overwrites fields of the first result."""
    results: list[dict[str, object]] = [
        {"point_id": number, "score": score, "reason": f"because {number}"}
        for number, score in enumerate(scores, 1)
    ]
    results[0].update(changes)
    return json.dumps({"evaluation_results": results})


def scored(replies: Sequence[str | Reply], max_attempts: int = 1) -> tuple[Score, ChatServer]:
    """The score of TARGET by an endpoint that gives these replies in turn, the last for ever."""

    def reply(number: int, body: dict[str, Any]) -> Reply:
        said = replies[min(number, len(replies) - 1)]
        return said if isinstance(said, Reply) else completion(said)

    with chat_server(reply) as server:
        scorer = OpenAIChat(base_url=server.base_url, model="judge", max_attempts=max_attempts)
        score = within(
            lambda scope: score_image(
                scope.as_scorer(),
                references=[("Image_1 (turn 1, output)", BEFORE)],
                target=TARGET,
                instruction="put a {red} hat on the dog",
                points=POINTS,
            ),
            scorer=scorer,
        )
        return score, server


def test_the_score_is_the_mean_over_five_and_the_whole_reply_is_kept() -> None:
    reply = graded(5, 3, 4.5)
    score, _ = scored([reply])
    assert score.value == pytest.approx(12.5 / 15)
    assert score.detail == {
        "points": [5, 3, 4.5],
        "point_texts": list(POINTS),
        "reasons": ["because 1", "because 2", "because 3"],
        "reply": reply,
    }


def test_the_judge_sees_references_then_the_target_then_instruction_and_numbered_points() -> None:
    _, server = scored([graded(5, 5, 5)])
    [body] = server.bodies
    [message] = body["messages"]
    first, before, last, target, text = message["content"]
    assert (first["text"], last["text"]) == ("Image_1 (turn 1, output):", "Target image:")
    assert before["image_url"]["url"] != target["image_url"]["url"]
    assert "put a {red} hat on the dog" in text["text"]
    assert "1. the hat is red\n2. the dog is there\n3. nothing else changed" in text["text"]
    assert '{"evaluation_results": [{"point_id": 1,' in text["text"]
    assert body["temperature"] == 0.1


@pytest.mark.parametrize(
    "wrapped",
    [
        "```json\n{}\n```",
        "Let me see {{1}}. Here it is: {} I hope it helps.",
        "<think>a } b {{</think>{}",
        "\n {}",
    ],
)
def test_one_object_is_found_in_fences_and_between_words(wrapped: str) -> None:
    score, server = scored([wrapped.replace("{}", graded(5, 0, 1))])
    assert score.detail["points"] == [5, 0, 1]
    assert len(server.bodies) == 1


def test_points_in_another_order_and_ids_in_quotes_are_understood() -> None:
    results = [{"point_id": str(number), "score": number} for number in (3, 1, 2)]
    score, _ = scored([json.dumps({"evaluation_results": results})])
    assert score.detail["points"] == [1, 2, 3]
    assert score.detail["reasons"] == ["", "", ""]


UNREADABLE = {
    "empty": "",
    "words": "The image is good: 5 of 5.",
    "cut off": graded(5, 5, 5)[:-1],
    "cut within a point": graded(5, 5, 5)[:-20],
    "two objects": graded(5, 5, 5) + "\nor rather\n" + graded(0, 0, 0),
    "another key": json.dumps({"results": []}),
    "no list": json.dumps({"evaluation_results": {"1": 5}}),
    "no objects": json.dumps({"evaluation_results": [5, 5, 5]}),
    "point missing": graded(5, 5),
    "point too many": graded(5, 5, 5, 5),
    "point twice": graded(5, 5, 5, point_id=2),
    "point 0": graded(5, 5, 5, point_id=0),
    "no id": graded(5, 5, 5, point_id=None),
    "too high": graded(5, 5, 6),
    "below 0": graded(5, -1, 5),
    "not a number": graded(5, float("nan"), 5),
    "infinite": graded(5, float("inf"), 5),
    "text": graded(5, "5", 5),
    "truth": graded(5, True, 5),
    "nothing": graded(5, None, 5),
    "a list": graded(5, [5], 5),
    "key twice": graded(5, 5, 5).replace('"score": 5,', '"score": 5, "score": 0,', 1),
    "nested without end": '{"a":' * 5000,
}


@pytest.mark.parametrize("bad", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_is_no_full_score_is_asked_again_and_never_counts(bad: str) -> None:
    score, server = scored([bad, graded(5, 4, 3)])
    assert score.value == pytest.approx(0.8)
    assert len(server.bodies) == 2
    assert server.bodies[0]["seed"] != server.bodies[1]["seed"]


def test_the_judge_is_told_what_was_wrong() -> None:
    _, server = scored([graded(5, 5), graded(5, 5, 5)])
    asked, said, again = server.bodies[1]["messages"]
    assert asked == server.bodies[0]["messages"][0]
    assert said == {"role": "assistant", "content": graded(5, 5)}
    assert "each point_id from 1 to 3" in again["content"][0]["text"]


def test_a_refusal_is_asked_again_as_it_was() -> None:
    score, server = scored([completion(None, refusal="no"), graded(5, 5, 5)])
    assert score.value == 1
    assert server.bodies[0]["messages"] == server.bodies[1]["messages"]


def test_after_three_unreadable_replies_it_is_a_judge_error_that_shows_the_last() -> None:
    with pytest.raises(JudgeError, match=r"3 replies .* no JSON object; the last: 'dunno"):
        scored(["what?", "hm", "dunno" * 1000])
    with pytest.raises(JudgeError) as caught:
        scored(["dunno" * 1000])
    assert len(str(caught.value)) < 1000


def test_what_one_start_could_not_read_the_next_one_asks_anew(tmp_path: Path) -> None:
    """The replies of the first start are in the journal, and would be unreadable for ever."""

    def start(reply: str, expected_calls: int) -> Score:
        with chat_server(lambda number, body: completion(reply)) as server:
            scorer = OpenAIChat(base_url=server.base_url, model="judge")
            try:
                return within(
                    lambda scope: score_image(
                        scope, references=[], target=TARGET, instruction="a hat", points=POINTS
                    ),
                    scorer=scorer,
                    journal=tmp_path,
                )
            finally:
                assert len(server.bodies) == expected_calls

    for _ in range(2):
        with pytest.raises(JudgeError, match="3 replies"):
            start("hm", expected_calls=3)
    assert start(graded(5, 5, 5), expected_calls=1).value == 1
    assert start("hm", expected_calls=0).value == 1


@pytest.mark.parametrize("failure", [Reply(status=503), Reply(status=400), completion("", delay_s=3)])
def test_a_judge_that_fails_is_a_judge_error_and_no_score(failure: Reply) -> None:
    with chat_server(lambda n, body: failure) as server:
        scorer = OpenAIChat(
            base_url=server.base_url, model="judge", max_attempts=1, timeout_s=0.2, patience_s=1
        )
        with pytest.raises(JudgeError, match="scorer failed"):
            within(
                lambda scope: score_image(
                    scope, references=[], target=TARGET, instruction="a hat", points=POINTS
                ),
                scorer=scorer,
            )


def test_without_a_scorer_or_points_there_is_no_score() -> None:
    def scoring(points: Sequence[str]) -> Callable[[Any], Any]:
        return lambda scope: score_image(
            scope, references=[], target=TARGET, instruction="a hat", points=points
        )

    with pytest.raises(NoScorer):
        within(scoring(POINTS))
    with pytest.raises(JudgeError, match="without evaluation points"):
        within(scoring([]))


WORDS = st.text(st.characters(exclude_characters="{}"), max_size=30)
PLAIN = st.characters(exclude_characters="<>")
"""Marks such as <s> are no part of what a model says."""


@settings(max_examples=60)
@given(
    before=WORDS,
    after=WORDS,
    value=st.dictionaries(st.text(PLAIN, max_size=5), st.integers() | st.text(PLAIN, max_size=9)),
)
def test_an_object_is_read_back_from_any_words_around_it(
    before: str, after: str, value: dict[str, object]
) -> None:
    whole = {**value, "key": {"inner": value}}
    assert json_object(before + json.dumps(whole) + after, "key") == whole
    with pytest.raises(UnreadableReply, match="2 JSON objects"):
        json_object(json.dumps(whole) + before + json.dumps(whole), "key")


@pytest.mark.parametrize(
    "reasoning", ["<think>{}</think>", "{}</think>", "<reasoning>Draft: {}</reasoning>\n"]
)
def test_a_draft_in_the_reasoning_does_not_count(reasoning: str) -> None:
    draft, whole = {"key": 1, "why": "first thought"}, {"key": 2}
    reply = f"{reasoning.format(json.dumps(draft))}```json\n{json.dumps(whole)}\n```"
    assert json_object(reply, "key") == whole


def test_a_reply_that_was_cut_off_in_its_reasoning_holds_no_object() -> None:
    with pytest.raises(UnreadableReply, match="no JSON object"):
        json_object('<think>Draft: {"key": 1}', "key")
