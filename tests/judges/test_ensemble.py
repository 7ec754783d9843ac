"""The ensemble judge: averages over members, and the effect of a member that fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imug_tts.composition import label
from imug_tts.contracts import ConfigurationError, Judge, JudgeError, Ranker, Scope
from imug_tts.dialogue import Image, Part, Response, Turn, Verdict
from imug_tts.judges import BackboneJudge, EnsembleJudge, OpenAIJudge
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.toys import TableJudge, ToyBackbone, answer, picture, turn_of, within

DRAWN = [picture(name) for name in "abcd"]


def table(*scores: float | None, name: str = "table") -> TableJudge:
    return TableJudge(scores=dict(zip(DRAWN, scores, strict=False)), name=name)


@dataclass(frozen=True)
class Down(Judge):
    """A judge that cannot be reached."""

    name: str = "down"

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        raise JudgeError("the verifier failed: no connection")


@dataclass(frozen=True)
class Order(Ranker):
    """Ranks candidates by a table, as a comparison of all."""

    scores: Mapping[Part, float]
    name: str = "order"

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        raise JudgeError("compares")

    async def rank(self, turn: Turn, responses: Sequence[Response], scope: Scope) -> list[Verdict]:
        found = [self.scores[response.output] for response in responses if response.output is not None]
        return [Verdict(status="ok", judge=self.name, kind="rank", score=score) for score in found]


def ranked(judge: EnsembleJudge, outputs: Sequence[Image] = DRAWN) -> list[Verdict]:
    async def run(scope: Scope) -> list[Verdict]:
        responses = [Response(strategy="direct", output=output) for output in outputs]
        return await judge.rank(turn_of(), responses, scope)

    return within(run)


def scores_of(verdicts: Sequence[Verdict]) -> list[float | None]:
    return [None if verdict.score is None else round(verdict.score, 6) for verdict in verdicts]


def test_mean_rank_is_the_mean_share_of_candidates_that_each_one_beats() -> None:
    # Shares of the first member: 0, 1/3, 2/3, 1; of the second, with a tie: 1, 1/2, 1/2, 0.
    ensemble = EnsembleJudge(members=(table(0.1, 0.2, 0.3, 0.4), table(0.9, 0.5, 0.5, 0.1)))
    assert scores_of(ranked(ensemble)) == [0.5, round(5 / 12, 6), round(7 / 12, 6), 0.5]


def test_mean_z_keeps_how_far_apart_scores_are() -> None:
    ensemble = EnsembleJudge(members=(table(0.0, 0.0, 0.0, 1.0), table(0.3, 0.2, 0.1, 0.0)), combine="mean_z")
    verdicts = ranked(ensemble)
    # z of the first: -1/sqrt(3), three times, and sqrt(3); of the second: (3, 1, -1, -3) / sqrt(5).
    expected = [(-(3**-0.5) + each / 5**0.5) / 2 for each in (3, 1, -1)] + [(3**0.5 - 3 / 5**0.5) / 2]
    assert scores_of(verdicts) == [round(each, 6) for each in expected]
    assert {verdict.kind for verdict in verdicts} == {"rank"}


@given(
    scores=st.lists(st.floats(0, 1), min_size=4, max_size=4),
    scale=st.floats(0.001, 1000),
    shift=st.floats(-10, 10),
)
def test_no_members_scale_changes_the_order(scores: list[float], scale: float, shift: float) -> None:
    rounded = [round(score, 3) for score in scores]
    stretched = [round(score, 3) * scale + shift for score in scores]
    other = table(0.4, 0.1, 0.3, 0.2)
    assert [v.score for v in ranked(EnsembleJudge(members=(table(*rounded), other)))] == [
        v.score for v in ranked(EnsembleJudge(members=(Stretched(stretched), other)))
    ]


@dataclass(frozen=True)
class Stretched(Judge):
    """A judge with a scale of its own."""

    values: Sequence[float]
    name: str = "stretched"

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        assert isinstance(response.output, Image)
        value = self.values[DRAWN.index(response.output)]
        return Verdict(status="ok", judge=self.name, kind="reward", score=round(value, 9))


def test_only_candidates_that_every_member_scored_are_ranked() -> None:
    ensemble = EnsembleJudge(members=(table(0.1, None, 0.3, 0.4), table(0.9, 0.5, 0.4, 0.3, name="second")))
    verdicts = ranked(ensemble)
    assert scores_of(verdicts) == [0.5, None, 0.5, 0.5]
    assert verdicts[1].status == "unparsable"
    assert verdicts[1].detail == "table: no score (unparsable)\nsecond: said 0.5"


def test_a_candidate_that_no_member_scores_stays_unranked() -> None:
    verdicts = ranked(EnsembleJudge(members=(table(0.1, None, 0.2, 0.3), table(0.2, None, 0.1, 0.3))))
    assert (verdicts[1].status, verdicts[1].score) == ("unparsable", None)


def test_a_member_that_scores_nothing_leaves_all_unranked_and_the_others_do_not_rank_alone() -> None:
    silent = table(None, None, None, None, name="silent")
    verdicts = ranked(EnsembleJudge(members=(table(0.1, 0.2, 0.3, 0.4), silent)))
    assert {verdict.status for verdict in verdicts} == {"unparsable"}
    assert scores_of(verdicts) == [None] * 4
    assert all("silent: no score" in verdict.detail for verdict in verdicts)
    assert "table: said 0.4" in verdicts[3].detail


def test_a_member_that_is_down_fails_the_turn_and_is_named() -> None:
    with pytest.raises(JudgeError, match=r"down, a member of the ensemble: .*no connection"):
        ranked(EnsembleJudge(members=(table(0.1, 0.2, 0.3, 0.4), Down())))


def test_rankers_and_judges_of_one_can_be_members() -> None:
    order = Order(scores={DRAWN[0]: 3.0, DRAWN[1]: 2.0, DRAWN[2]: 1.0, DRAWN[3]: 0.0})
    verdicts = ranked(EnsembleJudge(members=(order, table(0.2, 0.2, 0.2, 0.2))))
    assert scores_of(verdicts) == [0.75, round((2 / 3 + 0.5) / 2, 6), round((1 / 3 + 0.5) / 2, 6), 0.25]


def test_best_of_n_takes_the_ensembles_choice_and_its_members_calls_are_shared_with_other_arms() -> None:
    backbone = ToyBackbone()
    alone = answer(BestOfN(inner=Direct(), judge=BackboneJudge(), n=4), backbone=backbone)
    in_ensemble = ToyBackbone()
    ensemble = EnsembleJudge(members=(BackboneJudge(), BackboneJudge(max_questions=1)))
    response = answer(BestOfN(inner=Direct(), judge=ensemble, n=4), backbone=in_ensemble)
    scores = [c.verdict.score for c in response.candidates if c.verdict is not None]
    assert response.chosen == scores.index(max(s for s in scores if s is not None))
    assert in_ensemble.calls("text") == backbone.calls("text")  # the second member asks nothing new
    assert [c.output for c in response.candidates] == [c.output for c in alone.candidates]


def test_labels_name_the_members_and_one_member_is_no_ensemble() -> None:
    ensemble = EnsembleJudge(members=(BackboneJudge(), OpenAIJudge()))
    assert "judge=ensemble(backbone-openai)" in label(BestOfN(inner=Direct(), judge=ensemble))
    with pytest.raises(ConfigurationError, match="members"):
        EnsembleJudge(members=(BackboneJudge(),))
