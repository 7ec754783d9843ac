"""Self-Verification stops at the first accepted round, and otherwise answers with the best round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pytest

from imug_tts.contracts import ConfigurationError, Judge, Scope
from imug_tts.dialogue import Message, Part, Point, Response, Text, Turn, Verdict
from imug_tts.judges import BackboneJudge
from imug_tts.prompts import load
from imug_tts.runs import Budget
from imug_tts.strategies import BestOfN, Direct, SelfVerification
from imug_tts.testing.toys import TableJudge, ToyBackbone, answer, turn_of

FEEDBACK = load("default")["feedback"].format(failed="- the star is missing")


def rounds(n: int) -> list[Part]:
    """What rounds 0 to n - 1 draw from seeds of their own."""
    response = answer(SelfVerification(inner=Direct(), judge=TableJudge(scores={}), max_rounds=n))
    outputs = [candidate.output for candidate in response.candidates]
    assert len(set(outputs)) == n
    return [output for output in outputs if output is not None]


def judge_of(*scores: float | None, points: tuple[str, ...] = ()) -> TableJudge:
    """Scores the rounds; with points, each of them fails unless the score is 1."""
    return TableJudge(scores=dict(zip(rounds(len(scores)), scores, strict=True)), points=points)


STAR_MISSING = judge_of(0.1, 0.2, points=("the star is missing",))


@pytest.mark.parametrize(
    ("scores", "drawn", "chosen"),
    [
        ((0.9, 0.1, 0.1), 1, 0),
        ((0.1, 0.5, 0.9), 2, 1),
        ((0.3, 0.1, 0.2), 3, 0),
        ((0.1, 0.3, 0.3), 3, 1),
        ((None, 0.0, None), 3, 1),
        ((None, None, 0.2), 3, 2),
        ((None, None, None), 3, 0),
    ],
)
def test_it_ends_with_the_accepted_round_else_with_the_best(
    scores: tuple[float | None, ...], drawn: int, chosen: int
) -> None:
    response = answer(SelfVerification(inner=Direct(), judge=judge_of(*scores)))
    assert [c.output for c in response.candidates] == rounds(3)[:drawn]
    assert response.chosen == chosen
    assert response.output == rounds(3)[chosen]
    assert response.strategy == "self_verify"
    assert ("no round was accepted" in response.note) == (max(s or 0 for s in scores) < 0.5)


@dataclass(frozen=True)
class PointJudge(Judge):
    """Judges each output by the probabilities of its points, of which the score is the mean."""

    points: Mapping[Part, tuple[float, ...]]
    name: str = "points"

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        assert response.output is not None
        points = tuple(Point(f"point {n}", p) for n, p in enumerate(self.points[response.output]))
        score = fmean(point.probability for point in points)
        return Verdict(status="ok", judge=self.name, score=score, points=points)


def verified(*points: tuple[float, ...], threshold: float = 0.5) -> Response:
    """What is answered when the rounds are judged by these points."""
    judge = PointJudge(dict(zip(rounds(len(points)), points, strict=True)))
    return answer(SelfVerification(inner=Direct(), judge=judge, max_rounds=len(points), threshold=threshold))


def test_a_round_is_not_accepted_while_a_point_fails_whatever_the_mean() -> None:
    response = verified((1, 1, 1, 1, 1, 0, 0, 0), (0,) * 8)
    assert len(response.candidates) == 2
    assert (response.chosen, response.note) == (0, "no round was accepted")


def test_the_threshold_is_that_of_each_point() -> None:
    assert len(verified((0.8, 0.9, 0.95), (0.0,), threshold=0.8).candidates) == 1
    assert len(verified((0.79, 1.0, 1.0), (0.0,), threshold=0.8).candidates) == 2


def test_an_accepted_round_is_the_answer_even_if_an_earlier_one_has_a_higher_mean() -> None:
    response = verified((1.0, 1.0, 1.0, 0.4), (0.6, 0.6, 0.6, 0.6), (0.0,))
    assert [c.verdict.score for c in response.candidates if c.verdict] == pytest.approx([0.85, 0.6])
    assert (response.chosen, response.note) == (1, "")


def test_without_an_accepted_round_the_highest_mean_is_the_answer() -> None:
    assert verified((0.9, 0.0), (0.9, 0.4), (0.2, 0.9)).chosen == 1


def test_round_0_is_what_direct_draws() -> None:
    assert rounds(2)[0] == answer(Direct()).output


def test_feedback_names_the_failed_points_to_the_next_round_alone() -> None:
    backbone = ToyBackbone()
    verify = SelfVerification(inner=Direct(), judge=STAR_MISSING, refine="feedback", max_rounds=2)
    response = answer(verify, backbone=backbone)
    first, second = backbone.asked
    assert first.history == turn_of().history
    assert second.history == turn_of().prompt(FEEDBACK)
    assert len(response.candidates) == 2


def test_edit_shows_the_model_its_draft() -> None:
    backbone = ToyBackbone()
    verify = SelfVerification(inner=Direct(), judge=STAR_MISSING, refine="edit", max_rounds=2)
    answer(verify, backbone=backbone)
    draft = Message("assistant", (rounds(1)[0],))
    assert backbone.asked[1].history == (*turn_of().history, draft, Message("user", (Text(FEEDBACK),)))


def test_the_judge_never_sees_drafts_or_feedback() -> None:
    backbone = ToyBackbone()
    verify = SelfVerification(inner=Direct(), judge=BackboneJudge(), refine="edit", threshold=1)
    response = answer(verify, backbone=backbone)
    assert len(response.candidates) == 3
    assert backbone.prompts_asked()["checklist"] == 1
    checks = [request.history for request in backbone.asked if request.form == "yes_no"]
    assert all(history[:3] == turn_of().history and len(history) == 5 for history in checks)


def test_without_failed_points_the_next_round_is_a_draw_from_another_seed() -> None:
    silent = judge_of(0.1, 0.2, 0.3)
    response = answer(SelfVerification(inner=Direct(), judge=silent, refine="feedback"))
    assert [c.output for c in response.candidates] == rounds(3)


def test_refused_rounds_are_skipped() -> None:
    backbone = ToyBackbone(refusal_rate=0.5)
    for seed in range(8):
        verify = SelfVerification(inner=Direct(), judge=BackboneJudge(), max_rounds=12, threshold=1)
        response = answer(verify, backbone=backbone, seed=seed)
        assert response.output is not None
        assert all(c.verdict is None for c in response.candidates if c.output is None)


def test_if_every_round_is_refused_so_is_the_response() -> None:
    verify = SelfVerification(inner=Direct(), judge=BackboneJudge())
    response = answer(verify, backbone=ToyBackbone(refusal_rate=1))
    assert (response.output, response.finish, len(response.candidates)) == (None, "refused", 3)


def test_out_of_images_it_ends_with_the_best_so_far() -> None:
    verify = SelfVerification(inner=Direct(), judge=judge_of(0.3, 0.1, 0.9))
    response = answer(verify, budget=Budget(images=2))
    assert (response.chosen, len(response.candidates)) == (0, 2)
    assert "out of budget in round 2" in response.note


def test_out_of_text_calls_it_draws_no_round_that_nobody_can_judge() -> None:
    verify = SelfVerification(inner=Direct(), judge=BackboneJudge(), threshold=1)
    backbone = ToyBackbone()
    response = answer(verify, backbone=backbone, budget=Budget(texts=6))
    assert [c.verdict is None for c in response.candidates] == [False, True]
    assert response.chosen == 0
    assert backbone.calls("image") == 2


def test_rounds_over_best_of_n_draw_other_candidates() -> None:
    inner = BestOfN(inner=Direct(), judge=TableJudge(scores={}), n=3)
    response = answer(SelfVerification(inner=inner, judge=TableJudge(scores={})))
    outputs = [leaf.output for branch in response.candidates for leaf in branch.candidates]
    assert len(set(outputs)) == 9


def test_text_turns_pass_by_unless_it_applies_to_them() -> None:
    turn = turn_of("text")
    judge = TableJudge(scores={})
    assert answer(SelfVerification(inner=Direct(), judge=judge), turn) == answer(Direct(), turn)
    verify = SelfVerification(inner=Direct(), judge=judge, applies_to=("text",), refine="feedback")
    assert len(answer(verify, turn).candidates) == 3


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"max_rounds": 0}, "max_rounds is 0"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"refine": "again"}, "refine is .again.; choose from: fresh, feedback, edit"),
        ({"judge": None}, "judge is None; it must be a Judge"),
    ],
)
def test_knobs_out_of_range_are_refused(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SelfVerification(**{"inner": Direct(), "judge": BackboneJudge(), **knobs})
