"""Best-of-N chooses the candidate that the judge ranks highest, and keeps all candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from imug_tts.contracts import BackboneError, ConfigurationError, Scope
from imug_tts.dialogue import Part, Response, Turn, Verdict
from imug_tts.judges import BackboneJudge
from imug_tts.runs import Budget
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.toys import TableJudge, ToyBackbone, answer, turn_of


def draws(n: int) -> list[Part]:
    """What candidates 0 to n - 1 of Direct are."""
    response = answer(BestOfN(inner=Direct(), judge=TableJudge(scores={}), n=n))
    outputs = [candidate.output for candidate in response.candidates]
    assert len(set(outputs)) == n
    return [output for output in outputs if output is not None]


def best_of(scores: Sequence[float | None], budget: Budget | None = None) -> Response:
    table = dict(zip(draws(len(scores)), scores, strict=True))
    return answer(BestOfN(inner=Direct(), judge=TableJudge(scores=table), n=len(scores)), budget=budget)


def test_the_highest_score_wins_and_every_candidate_keeps_its_verdict() -> None:
    response = best_of([0.2, 0.9, 0.5])
    assert response.chosen == 1
    assert response.output == response.candidates[1].output == draws(3)[1]
    assert [c.verdict.score for c in response.candidates if c.verdict] == [0.2, 0.9, 0.5]
    assert response.strategy == "best_of_3"


def test_candidate_0_is_what_direct_draws() -> None:
    assert draws(3)[0] == answer(Direct()).output


def test_ties_go_to_the_lowest_index_and_are_noted() -> None:
    response = best_of([0.2, 0.7, 0.7, 0.1])
    assert response.chosen == 1
    assert "tie between candidates 1, 2" in response.note


@pytest.mark.parametrize(
    ("scores", "chosen"), [([None, 0.0, None], 1), ([None, 0.1, 0.2], 2), ([0.0, None], 0)]
)
def test_an_unparsable_candidate_is_unranked_and_never_counts_as_0(
    scores: list[float | None], chosen: int
) -> None:
    assert best_of(scores).chosen == chosen


def test_if_none_is_ranked_the_first_is_returned_and_the_turn_says_so() -> None:
    response = best_of([None, None, None])
    assert response.chosen == 0
    assert "no candidate could be ranked" in response.note


def test_refused_candidates_are_not_eligible_nor_judged() -> None:
    backbone = ToyBackbone(refusal_rate=0.5)
    response = answer(BestOfN(inner=Direct(), judge=BackboneJudge(), n=12), backbone=backbone)
    refused = [c for c in response.candidates if c.output is None]
    assert 0 < len(refused) < 12
    assert all(c.verdict is None and c.finish == "refused" for c in refused)
    assert response.output is not None


def test_if_all_are_refused_so_is_the_response() -> None:
    response = answer(BestOfN(inner=Direct(), judge=BackboneJudge()), backbone=ToyBackbone(refusal_rate=1))
    assert (response.output, response.finish, response.chosen) == (None, "refused", None)
    assert len(response.candidates) == 4


def test_a_budget_of_fewer_images_draws_the_first_candidates_only() -> None:
    response = best_of([0.1, 0.2, 0.9, 0.3], Budget(images=2))
    assert [c.output for c in response.candidates] == draws(4)[:2]
    assert response.chosen == 1
    assert "the budget allowed 2 of 4 candidates" in response.note


def test_a_candidate_that_nobody_can_afford_to_judge_stays_unranked() -> None:
    judge = BackboneJudge()
    response = answer(BestOfN(inner=Direct(), judge=judge, n=2), budget=Budget(texts=5))
    # Shares of 3 and 2 calls: neither pays for a checklist and three questions.
    assert [c.verdict for c in response.candidates] == [None, None]
    assert response.output == answer(Direct()).output


def test_all_candidates_of_a_turn_share_one_checklist() -> None:
    backbone = ToyBackbone()
    answer(BestOfN(inner=Direct(), judge=BackboneJudge(), n=4), backbone=backbone)
    assert backbone.prompts_asked()["checklist"] == 1
    assert backbone.calls("image") == 4
    assert backbone.calls("text") == 1 + 4 * 3


def test_text_turns_pass_by_unless_it_applies_to_them() -> None:
    turn = turn_of("text")
    sampled = Direct(text_temperature=1.0)
    judge = TableJudge(scores={})
    assert answer(BestOfN(inner=sampled, judge=judge), turn) == answer(sampled, turn)
    both = answer(BestOfN(inner=sampled, judge=judge, applies_to=("image", "text")), turn)
    assert len(both.candidates) == 4


def test_an_oracle_names_itself() -> None:
    assert BestOfN(inner=Direct(), judge=TableJudge(scores={}, oracle=True)).name == "oracle_best_of_4"


def test_a_failing_judge_ends_the_turn_after_all_candidates_are_done() -> None:
    done: list[int] = []

    class Failing(TableJudge):
        async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
            if not done:
                done.append(0)
                raise BackboneError("down")
            verdict = await super().judge(turn, response, scope)
            done.append(1)
            return verdict

    with pytest.raises(BackboneError, match="down"):
        answer(BestOfN(inner=Direct(), judge=Failing(scores={})), shuffle=1)
    assert done == [0, 1, 1, 1]


def test_no_judge_or_no_candidates_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="judge is None; it must be a Judge"):
        BestOfN(inner=Direct(), judge=cast("Any", None))
    with pytest.raises(ConfigurationError, match="n is 0"):
        BestOfN(inner=Direct(), judge=BackboneJudge(), n=0)
