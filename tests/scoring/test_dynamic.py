"""Right letters of dynamic questions: the official parsing case by case, and calls of the scorer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imug_tts.backbones.openai_chat import OpenAIChat
from imug_tts.contracts import Backbone, Candidate, JudgeError, Request
from imug_tts.dialogue import Image, Text
from imug_tts.scoring.dynamic import ReferencedTurn, Resolution, Unresolved, determined_answer, resolve
from imug_tts.scoring.replies import UnreadableReply
from imug_tts.testing.chat_server import ChatServer, Reply, chat_server, completion
from imug_tts.testing.toys import CAPABILITIES, within

OFFICIAL = Path(__file__).parent / "data" / "dynamic_official.jsonl"
CASES = [json.loads(line) for line in OFFICIAL.read_text().splitlines()]
DRAWN = Image.from_pixels(np.full((4, 4, 3), 9, np.uint8))
TURNS = [
    ReferencedTurn(1, (Text("Draw a plant."),), DRAWN),
    ReferencedTurn(2, (Text("What is it? A tree B fern"),), Text("B")),
]

QUESTION = "What grew? A leaves B roots C fruit D nothing"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['raw_answer']} {case['judge_text'][:40]}")
def test_the_official_reading_is_reproduced(case: dict[str, str]) -> None:
    if "error" in case:
        with pytest.raises(UnreadableReply):
            determined_answer(case["raw_answer"], case["judge_text"])
    else:
        assert determined_answer(case["raw_answer"], case["judge_text"]) == case["determined_answer"]


@pytest.mark.parametrize(
    ("reply", "letters"),
    [
        ('```json\n{"determined_answer": "c"}\n```', "AC"),
        ('{"determined_answer": ["B", "D"]}', "ABD"),
        ('{"determined_answer": null}', "AE"),
        ('{"determined_answer": "B", "determined_answer": "C"}', "AC"),
        ('I see {"x": {"determined_answer": "B"}}', "A"),
    ],
)
def test_the_official_reading_takes_the_outermost_braces_and_any_letters(reply: str, letters: str) -> None:
    assert determined_answer("A+<DYNAMIC>", reply) == letters


@pytest.mark.parametrize(
    "reply", ['{"a": 1} or {"determined_answer": "B"}', "{broken}", '{"a":' * 5000 + "}"]
)
def test_the_official_reading_fails_where_no_object_is(reply: str) -> None:
    with pytest.raises(UnreadableReply):
        determined_answer("A+<DYNAMIC>", reply)


def resolved(
    *replies: object, fixed: str = "", multiple_choice: bool = False, question: str = QUESTION
) -> tuple[Resolution, ChatServer]:
    """The resolution with an endpoint that determines these answers in turn, the last for ever."""
    return resolved_from([answering(reply) for reply in replies], fixed, multiple_choice, question)


def answering(letters: object) -> str:
    return json.dumps({"determined_answer": letters, "reasoning": "so"})


def resolved_from(
    texts: list[str], fixed: str = "", multiple_choice: bool = False, question: str = QUESTION
) -> tuple[Resolution, ChatServer]:

    def reply(number: int, body: dict[str, Any]) -> Reply:
        return completion(texts[min(number, len(texts) - 1)])

    with chat_server(reply) as server:
        resolution = within(
            lambda scope: resolve(
                scope.as_scorer(),
                turns=TURNS,
                question=(Text(question),),
                fixed=frozenset(fixed),
                multiple_choice=multiple_choice,
            ),
            scorer=OpenAIChat(base_url=server.base_url, model="judge"),
        )
        return resolution, server


def test_the_judge_sees_the_turns_with_their_answers_then_the_question() -> None:
    resolution, server = resolved("C", fixed="A")
    assert resolution.letters == {"A", "C"}
    assert json.loads(resolution.reply)["determined_answer"] == "C"
    [body] = server.bodies
    shown = [part.get("text", "image") for part in body["messages"][0]["content"]]
    assert shown[:-1] == [
        "Turn 1, the request:",
        "Draw a plant.",
        "Turn 1, the answer:",
        "image",
        "Turn 2, the request:",
        "What is it? A tree B fern",
        "Turn 2, the answer:",
        "B",
        "The question to decide:",
        QUESTION,
    ]
    assert "exactly one option is right" in shown[-1]
    assert body["temperature"] == 0.1


@pytest.mark.parametrize(
    ("reply", "fixed", "multiple_choice", "letters"),
    [
        ("b", "", False, "B"),
        (" C. ", "", False, "C"),
        ("B, D", "", True, "BD"),
        ("BD", "A", True, "ABD"),
        ("", "A", True, "A"),
    ],
)
def test_letters_are_read_and_united(reply: str, fixed: str, multiple_choice: bool, letters: str) -> None:
    resolution, server = resolved(reply, fixed=fixed, multiple_choice=multiple_choice)
    assert (resolution.letters, len(server.bodies)) == (frozenset(letters), 1)


@pytest.mark.parametrize(
    "reply", ["Cannot determine", "none", "N/A", "", "BC", "H", "E", None, True, ["B"], {"x": "B"}]
)
def test_what_names_no_option_is_asked_again_and_never_guessed(reply: object) -> None:
    resolution, server = resolved(reply, "D")
    assert (resolution.letters, len(server.bodies)) == (frozenset("D"), 2)
    with pytest.raises(Unresolved, match="3 replies"):
        resolved(reply)


@pytest.mark.parametrize(
    ("question", "letters"),
    [
        ("What grew?", "F"),
        ("Which of A to F grew?", "C"),
        ("What grew? Say A for a leaf and C for a root.", "B"),
        ("What grew? (A) leaves (B) roots (C) fruit", "C"),
    ],
)
def test_letters_are_refused_only_where_the_question_lists_its_options(question: str, letters: str) -> None:
    assert resolved(letters, question=question)[0].letters == set(letters)


@pytest.mark.parametrize(
    ("text", "official"),
    [
        (answering("Cannot determine"), "ACDE"),
        (answering("h"), "A"),
        (answering(True), "AE"),
        (answering("BC"), "ABC"),
        ('{"error": "I cannot see the image"}', "A"),
        ("B", None),
    ],
)
def test_what_the_official_resolver_reads_is_kept(text: str, official: str | None) -> None:
    kept, _ = resolved_from([text, answering("B")], fixed="A")
    assert (kept.letters, kept.official) == (frozenset("AB"), official or "AB")
    with pytest.raises(Unresolved) as error:
        resolved_from([text], fixed="A")
    assert error.value.official == official


def test_the_first_reply_that_the_official_resolver_reads_is_its_answer() -> None:
    resolution, _ = resolved_from(["no idea", answering("option B"), answering("C")])
    assert (resolution.letters, resolution.official) == (frozenset("C"), "B")


def test_no_json_is_no_answer() -> None:
    with pytest.raises(Unresolved, match="3 replies") as error:
        resolved_from(["B"], fixed="A")
    assert error.value.official is None


def test_the_reason_of_a_refusal_is_kept() -> None:
    refused = Candidate(output=None, finish="refused", reason="a person is shown")
    with pytest.raises(JudgeError, match="the scorer refused: a person is shown"):
        within(
            lambda scope: resolve(
                scope, turns=TURNS, question=(Text("?"),), fixed=frozenset(), multiple_choice=False
            ),
            scorer=Refuses(refused),
        )


@dataclass
class Refuses(Backbone):
    candidate: Candidate
    identity: str = "refuses"
    capabilities = CAPABILITIES

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        return [[self.candidate] * len(request.seeds) for request in requests]
