"""Right letters of dynamic questions: the official reading case by case, and a judge that is asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imug_tts.backbones.openai_chat import OpenAIChat
from imug_tts.contracts import JudgeError
from imug_tts.dialogue import Image, Text
from imug_tts.scoring.dynamic import ReferencedTurn, Resolution, determined_answer, resolve
from imug_tts.scoring.mcq import Rule
from imug_tts.scoring.replies import UnreadableReply
from imug_tts.testing.chat_server import ChatServer, Reply, chat_server, completion
from imug_tts.testing.toys import within

OFFICIAL = Path(__file__).parent / "data" / "dynamic_official.jsonl"
CASES = [json.loads(line) for line in OFFICIAL.read_text().splitlines()]
DRAWN = Image.from_pixels(np.full((4, 4, 3), 9, np.uint8))
TURNS = [
    ReferencedTurn(1, (Text("Draw a plant."),), DRAWN),
    ReferencedTurn(2, (Text("What is it? A tree B fern"),), Text("B")),
]


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
    *replies: object, fixed: str = "", multiple_choice: bool = False, rule: Rule = "corrected"
) -> tuple[Resolution, ChatServer]:
    """The resolution with an endpoint that determines these answers in turn, the last for ever."""
    texts = [json.dumps({"determined_answer": reply, "reasoning": "so"}) for reply in replies]

    def reply(number: int, body: dict[str, Any]) -> Reply:
        return completion(texts[min(number, len(texts) - 1)])

    with chat_server(reply) as server:
        resolution = within(
            lambda scope: resolve(
                scope.as_scorer(),
                turns=TURNS,
                question=(Text("What grew? A leaves B roots C fruit"),),
                fixed=frozenset(fixed),
                multiple_choice=multiple_choice,
                rule=rule,
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
        "What grew? A leaves B roots C fruit",
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


@pytest.mark.parametrize("reply", ["Cannot determine", "none", "", "BC", "H", None, True, ["B"], {"x": "B"}])
def test_what_names_no_option_is_asked_again_and_never_guessed(reply: object) -> None:
    resolution, server = resolved(reply, "D")
    assert (resolution.letters, len(server.bodies)) == (frozenset("D"), 2)
    with pytest.raises(JudgeError, match="3 replies"):
        resolved(reply)


@pytest.mark.parametrize(
    ("reply", "letters"), [("Cannot determine", "ACDE"), ("", ""), ("BC", "BC"), (True, "E"), (["B"], "B")]
)
def test_by_the_official_rule_it_is_read_as_the_official_resolver_does(reply: object, letters: str) -> None:
    resolution, server = resolved(reply, rule="official")
    assert ("".join(sorted(resolution.letters)), len(server.bodies)) == (letters, 1)


def test_by_either_rule_no_json_is_no_answer() -> None:
    def judge(rule: Rule) -> Sequence[str]:
        with chat_server(lambda n, body: completion("B")) as server:
            scorer = OpenAIChat(base_url=server.base_url, model="judge")
            resolution = within(
                lambda scope: resolve(
                    scope,
                    turns=TURNS,
                    question=(Text("?"),),
                    fixed=frozenset("A"),
                    multiple_choice=False,
                    rule=rule,
                ),
                scorer=scorer,
            )
            return sorted(resolution.letters)

    for rule in ("official", "corrected"):
        with pytest.raises(JudgeError, match="3 replies"):
            judge(rule)
