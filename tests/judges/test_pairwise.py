"""The pairwise judge: both orders, ties, unreadable replies, and order of completion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imug_tts.composition import check_composition
from imug_tts.contracts import (
    MODEL_ROLES,
    BackboneError,
    Candidate,
    ConfigurationError,
    JudgeError,
    Request,
    Scope,
    TimedOut,
)
from imug_tts.dialogue import Image, Message, Part, Response, Text, Verdict
from imug_tts.judges import BackboneJudge, PairwiseJudge
from imug_tts.prompts import load
from imug_tts.runs import Budget
from imug_tts.strategies import BestOfN, Direct, SelfVerification
from imug_tts.testing.toys import ToyBackbone, answer, turn_of, within

Choice = Callable[[Part, Part], str]
COMPARE = load("default")["compare"]


@dataclass
class Referee(ToyBackbone):
    """Replies to a comparison by a choice between the two outputs that it is shown."""

    choose: Choice = lambda first, second: "first"

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        drawn = super().generate(requests)
        return [
            [Candidate(output=Text(self.choose(*_shown(request))))] * len(candidates)
            if _compares(request)
            else candidates
            for request, candidates in zip(requests, drawn, strict=True)
        ]


def _compares(request: Request) -> bool:
    return request.history[-1].parts[-1] == Text(COMPARE)


def _shown(request: Request) -> tuple[Part, Part]:
    parts = request.history[-1].parts
    return parts[-4], parts[-2]


def prefer(strength: Callable[[Part], float]) -> Choice:
    """The stronger one wherever it stands; of equals the first."""
    return lambda first, second: "First, clearly." if strength(first) >= strength(second) else "second"


def drawing(index: int) -> Image:
    return Image.from_bytes(bytes([index]))


def verdicts(choose: Choice, n: int = 3, shuffle: int | None = None) -> list[Verdict]:
    responses = [Response(strategy="direct", output=drawing(index)) for index in range(n)]

    async def run(scope: Scope) -> list[Verdict]:
        return await PairwiseJudge().rank(turn_of(), responses, scope)

    return within(run, turn_of(), Referee(choose=choose), shuffle=shuffle)


def index_of(part: Part) -> float:
    assert isinstance(part, Image)
    return part.read()[0]


def test_a_score_is_the_share_of_wins() -> None:
    ranked = verdicts(prefer(index_of), 4)
    assert [verdict.score for verdict in ranked] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert ranked[1].detail == "1 against 0, 0 against 2, 0 against 3"
    assert {verdict.judge for verdict in ranked} == {"pairwise"}


@pytest.mark.parametrize("place", ["first", "second"])
def test_a_choice_that_follows_the_place_is_a_tie(place: str) -> None:
    assert [verdict.score for verdict in verdicts(lambda one, other: place)] == [0.5, 0.5, 0.5]


def test_what_the_verifier_sees() -> None:
    backbone = Referee()
    responses = [Response(strategy="direct", output=drawing(index)) for index in (0, 1)]
    turn = turn_of().note("a plan")

    async def run(scope: Scope) -> list[Verdict]:
        return await PairwiseJudge().rank(turn, responses, scope)

    within(run, turn, backbone)
    request = turn.history[-1].parts
    orders = [(drawing(0), drawing(1)), (drawing(1), drawing(0))]
    assert [asked.history for asked in backbone.asked] == [
        (
            *turn.history[:-1],
            Message("user", (*request, Text("First answer:"), a, Text("Second answer:"), b, Text(COMPARE))),
        )
        for a, b in orders
    ]


def test_a_pair_that_cannot_be_read_does_not_count() -> None:
    def choose(first: Part, second: Part) -> str:
        return (
            "Hard to say."
            if {index_of(first), index_of(second)} == {0, 1}
            else prefer(index_of)(first, second)
        )

    ranked = verdicts(choose)
    assert [verdict.score for verdict in ranked] == [0, 0, 1]
    assert ranked[0].detail == "0 against 2"


def test_what_is_said_against_the_first_is_no_preference_for_it() -> None:
    replies = iter(
        [
            "The first image lacks the star, so the second is better.",
            "The second image lacks the star, so the first is better.",
        ]
    )
    assert [verdict.score for verdict in verdicts(lambda first, second: next(replies), 2)] == [0, 1]


def test_a_candidate_without_a_readable_pair_is_unranked_and_the_choice_says_so() -> None:
    assert [v.status for v in verdicts(lambda first, second: "Hard to say.")] == ["unparsable"] * 3
    response = answer(
        BestOfN(inner=Direct(), judge=PairwiseJudge(max_reasks=1)),
        backbone=Referee(choose=lambda first, second: "neither"),
    )
    assert response.chosen == 0
    assert "no candidate could be ranked" in response.note


def test_what_cannot_be_read_is_asked_again() -> None:
    replies = iter(["hm", "The first one.", "second"])
    ranked = verdicts(lambda first, second: next(replies), 2)
    assert [verdict.score for verdict in ranked] == [1, 0]


@settings(max_examples=25)
@given(strengths=st.lists(st.integers(0, 3), min_size=2, max_size=5), shuffle=st.integers(0, 1000))
def test_ranks_do_not_depend_on_the_order_of_completion(strengths: list[int], shuffle: int) -> None:
    choose = prefer(lambda part: strengths[int(index_of(part))])
    ranked = verdicts(choose, len(strengths), shuffle)
    assert ranked == verdicts(choose, len(strengths))
    scores = [verdict.score or 0 for verdict in ranked]
    assert scores.index(max(scores)) == strengths.index(max(strengths))
    assert sum(scores) == pytest.approx(len(strengths) / 2)


def test_best_of_n_takes_the_winner_and_leaves_refusals_out() -> None:
    backbone = Referee(choose=prefer(hash), refusal_rate=0.4)
    response = answer(BestOfN(inner=Direct(), judge=PairwiseJudge(), n=6), backbone=backbone)
    drawn = [candidate for candidate in response.candidates if candidate.output is not None]
    assert 2 <= len(drawn) < 6
    assert response.output == max((c.output for c in drawn if c.output), key=hash)
    assert all((c.verdict is None) == (c.output is None) for c in response.candidates)


def test_one_candidate_is_compared_with_nothing() -> None:
    backbone = Referee()
    response = answer(BestOfN(inner=Direct(), judge=PairwiseJudge(), n=1), backbone=backbone)
    assert (response.chosen, backbone.calls("text")) == (0, 0)


def test_candidates_that_nobody_can_afford_to_compare_stay_unranked() -> None:
    response = answer(BestOfN(inner=Direct(), judge=PairwiseJudge(), n=3), budget=Budget(texts=5))
    assert [candidate.verdict for candidate in response.candidates] == [None] * 3
    assert "no candidate could be ranked" in response.note


@pytest.mark.parametrize(
    ("error", "raised"), [(BackboneError("down"), JudgeError), (TimedOut("late"), TimedOut)]
)
def test_a_verifier_that_fails_is_a_judge_error(error: BackboneError, raised: type[Exception]) -> None:
    def choose(first: Part, second: Part) -> str:
        raise error

    with pytest.raises(raised, match=str(error)):
        verdicts(choose)


def test_it_cannot_check_one_answer_and_says_what_can() -> None:
    models = dict.fromkeys(MODEL_ROLES, ToyBackbone())
    alone = SelfVerification(inner=Direct(), judge=PairwiseJudge())
    with pytest.raises(ConfigurationError, match="judge=backbone"):
        check_composition(alone, models)
    mixed = BestOfN(inner=SelfVerification(inner=Direct(), judge=BackboneJudge()), judge=PairwiseJudge())
    check_composition(mixed, models)


@pytest.mark.parametrize("knobs", [{"compare_tokens": 0}, {"max_reasks": -1}, {"reask_temperature": 0}])
def test_knobs_out_of_range_are_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(knobs))} is"):
        PairwiseJudge(**knobs)
