"""Direct makes one call; Chain-of-Thought plans first and answers given the plan."""

from __future__ import annotations

from typing import Any

import pytest

from imug_tts.contracts import ConfigurationError, OutOfBudget, Scope, Strategy
from imug_tts.dialogue import Image, Response, Text, Turn
from imug_tts.prompts import load
from imug_tts.runs import Budget
from imug_tts.strategies import BestOfN, ChainOfThought, Direct
from imug_tts.testing.toys import TableJudge, ToyBackbone, answer, turn_of

PROMPTS = load("default")


def test_direct_asks_the_generator_once_and_adds_nothing_to_the_history() -> None:
    backbone = ToyBackbone()
    response = answer(Direct(image_temperature=0.8), turn_of(), backbone)
    assert isinstance(response.output, Image)
    assert (response.strategy, response.candidates, response.plan) == ("direct", (), None)
    [request] = backbone.asked
    assert request.history == turn_of().history
    assert request.sampling.temperature == 0.8


def test_direct_reports_a_refusal() -> None:
    response = answer(Direct(), backbone=ToyBackbone(refusal_rate=1))
    assert (response.output, response.finish) == (None, "refused")


def test_direct_draws_text_greedily_by_default() -> None:
    turn = turn_of("text")
    assert answer(Direct(), turn, seed=1) == answer(Direct(), turn, seed=2)
    sampled = Direct(text_temperature=0.7)
    assert answer(sampled, turn, seed=1) != answer(sampled, turn, seed=2)


@pytest.mark.parametrize(("modality", "ask", "follow"), [("image", 0, 1), ("text", 2, 3)])
def test_the_answer_is_asked_for_after_the_plan(modality: str, ask: int, follow: int) -> None:
    names = ("plan", "follow_plan", "reason", "follow_reason")
    turn = turn_of("image" if modality == "image" else "text")
    backbone = ToyBackbone(reply=lambda history, seed: " the plan \n")
    response = answer(ChainOfThought(inner=Direct()), turn, backbone)
    assert (response.strategy, response.plan, response.keep_plan) == ("cot", "the plan", False)
    planned, answered = backbone.asked
    assert planned.history[-1].parts[-1] == Text(PROMPTS[names[ask]])
    assert answered.history[-1].parts[-1] == Text(PROMPTS[names[follow]].format(plan="the plan"))
    assert answered.history[:-1] == turn.history[:-1]


def test_a_plan_enters_the_history_only_when_asked() -> None:
    backbone = ToyBackbone(reply=lambda history, seed: "the plan")
    kept = answer(ChainOfThought(inner=Direct(), keep_plan=True), backbone=backbone)
    dropped = answer(ChainOfThought(inner=Direct()), backbone=backbone)
    assert kept.output is not None
    assert kept.history_parts == (Text("the plan"), kept.output)
    assert dropped.history_parts == (kept.output,)


def test_without_a_plan_the_inner_strategy_answers_as_alone() -> None:
    response = answer(ChainOfThought(inner=Direct()), backbone=ToyBackbone(reply=lambda history, seed: "  "))
    assert (response.plan, response.note) == (None, "no plan: the planner gave none")
    assert response.output == answer(Direct()).output


def test_out_of_text_calls_it_answers_with_the_plans_that_it_has() -> None:
    twice = ChainOfThought(inner=ChainOfThought(inner=Direct()))
    response = answer(twice, budget=Budget(texts=1))
    [below] = response.candidates
    assert response.plan is not None
    assert (below.plan, below.note) == (None, "no plan: out of budget")
    assert response.output == answer(ChainOfThought(inner=Direct())).output


def test_braces_in_a_plan_are_only_text() -> None:
    backbone = ToyBackbone(reply=lambda history, seed: "{plan} {0} {question!r}")
    assert answer(ChainOfThought(inner=Direct()), backbone=backbone).plan == "{plan} {0} {question!r}"


def test_a_turn_that_it_does_not_apply_to_passes_straight_to_the_inner_strategy() -> None:
    cot = ChainOfThought(inner=Direct(), applies_to=("image",))
    assert answer(cot, turn_of("text")) == answer(Direct(), turn_of("text"))


def test_the_trees_below_are_kept() -> None:
    inner = BestOfN(inner=Direct(), judge=TableJudge(scores={}), n=2)
    response = answer(ChainOfThought(inner=inner))
    [below] = response.candidates
    assert (response.strategy, response.chosen, below.strategy) == ("cot", 0, "best_of_2")
    assert response.output == below.output
    assert len(below.candidates) == 2
    twice = answer(ChainOfThought(inner=ChainOfThought(inner=Direct())))
    assert twice.plan != twice.candidates[0].plan is not None


def test_a_refusal_below_is_passed_on_and_nobodys_choice() -> None:
    response = answer(
        ChainOfThought(inner=ChainOfThought(inner=Direct())), backbone=ToyBackbone(refusal_rate=1)
    )
    assert (response.output, response.finish, response.chosen) == (None, "refused", None)


def test_nothing_left_for_the_answer_is_out_of_budget() -> None:
    cot = ChainOfThought(inner=BestOfN(inner=Direct(), judge=TableJudge(scores={}), n=2))
    assert answer(cot, budget=Budget(images=1)).output is not None

    class Drained(Strategy):
        name = "drained"

        async def respond(self, turn: Turn, scope: Scope) -> Response:
            raise OutOfBudget

    with pytest.raises(OutOfBudget):
        answer(ChainOfThought(inner=Drained()))


def test_notes_are_for_the_turn_alone() -> None:
    turn = turn_of()
    response = answer(ChainOfThought(inner=Direct()), turn)
    assert turn.notes == ()
    assert response.history_parts == (response.output,)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"plan_temperature": -0.1}, "plan_temperature is -0.1"),
        ({"plan_tokens": 0}, "plan_tokens is 0"),
        ({"applies_to": ()}, "applies_to"),
        ({"applies_to": ("video",)}, "video"),
    ],
)
def test_knobs_out_of_range_are_refused(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ChainOfThought(inner=Direct(), **knobs)


@pytest.mark.parametrize(
    "knobs", [{"image_temperature": -1}, {"text_temperature": float("nan")}, {"max_tokens": 0}]
)
def test_sampling_out_of_range_is_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(knobs))} is"):
        Direct(**knobs)
