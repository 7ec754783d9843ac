"""Dry runs: the real number of calls is between the least and the most that is estimated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from imug_tts.contracts import Strategy
from imug_tts.judges import BackboneJudge
from imug_tts.runs import Arm, Journal, Plan, count_journaled, plan_arm
from imug_tts.runs.dry_run import CallKind
from imug_tts.strategies import BestOfN, ChainOfThought, Direct, MajorityVote, SelfVerification
from imug_tts.testing.runs import ToyBenchmark, run
from imug_tts.testing.toys import CAPABILITIES, ToyBackbone

JUDGE = BackboneJudge()
GRADED = CallKind("scorer", "judge")
STRATEGIES: list[Strategy] = [
    Direct(),
    ChainOfThought(inner=Direct()),
    MajorityVote(inner=ChainOfThought(inner=Direct())),
    SelfVerification(inner=Direct(), judge=JUDGE),
    BestOfN(inner=SelfVerification(inner=ChainOfThought(inner=Direct()), judge=JUDGE), judge=JUDGE, n=3),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: str(strategy.name))
def test_a_run_asks_within_the_plan(tmp_path: Path, strategy: Strategy) -> None:
    model, scorer = ToyBackbone(), ToyBackbone(identity="judge")
    benchmark = ToyBenchmark(judged=True)
    arm = Arm(backbone=model, strategy=strategy, benchmark=benchmark, roles={"scorer": scorer})
    least, most = plan_arm(arm)
    assert (model.asked, scorer.asked) == ([], [])
    run(tmp_path, strategy, model, benchmark=benchmark, scorer=scorer)
    assert least.images <= model.calls("image") <= most.images
    asked = model.calls("image") + model.calls("text")
    assert _of_the_model(least) <= asked <= _of_the_model(most)
    assert least.calls[GRADED] <= scorer.calls("text") <= most.calls[GRADED]


def test_a_plan_without_verifier_is_exact(tmp_path: Path) -> None:
    strategy = ChainOfThought(inner=Direct())
    least, most = plan_arm(Arm(backbone=ToyBackbone(), strategy=strategy, benchmark=ToyBenchmark()))
    assert least == most
    assert least.calls == {CallKind("generator", "toy"): 24, CallKind("planner", "toy"): 24}
    assert least.images == 12


def test_all_questions_together_are_planned_as_one_call_a_candidate() -> None:
    model = ToyBackbone(capabilities=replace(CAPABILITIES, logits=False))
    strategy = BestOfN(inner=Direct(), judge=replace(JUDGE, ask="together"), n=3)
    least, most = plan_arm(Arm(backbone=model, strategy=strategy, benchmark=ToyBenchmark()))
    image_turns = 12
    verifier = CallKind("verifier", "toy")
    assert least.calls[verifier] == most.calls[verifier] == image_turns * (1 + 3)


def test_answers_alone_are_fewer_to_score() -> None:
    strategy = BestOfN(inner=Direct(), judge=JUDGE, n=4)
    arms = [
        Arm(
            backbone=ToyBackbone(),
            strategy=strategy,
            benchmark=ToyBenchmark(judged=True),
            roles={"scorer": ToyBackbone(identity="judge")},
            score_candidates=score_candidates,
        )
        for score_candidates in (True, False)
    ]
    assert [plan_arm(arm)[0].calls[GRADED] for arm in arms] == [48, 12]


def _of_the_model(plan: Plan) -> int:
    return sum(count for asked, count in plan.calls.items() if asked.model == "toy")


def test_what_the_journal_has_is_counted_and_nothing_is_asked(tmp_path: Path) -> None:
    strategy = BestOfN(inner=ChainOfThought(inner=Direct()), judge=JUDGE, n=3)
    model = ToyBackbone()
    few, all_of_them = ToyBenchmark(num_samples=2), ToyBenchmark()
    summary = run(tmp_path, strategy, model, benchmark=few)
    model.asked.clear()
    journal = Journal(tmp_path / "journal")
    for benchmark in (few, all_of_them):
        arm = Arm(backbone=model, strategy=strategy, benchmark=benchmark)
        assert count_journaled(arm, journal) == summary.spent.calls
    other = Arm(backbone=ToyBackbone(identity="other"), strategy=strategy, benchmark=few)
    assert count_journaled(other, journal) == 0
    assert not model.asked


def test_images_that_are_sent_are_counted() -> None:
    arm = Arm(backbone=ToyBackbone(), strategy=Direct(), benchmark=ToyBenchmark())
    judged = replace(arm, strategy=BestOfN(inner=Direct(), judge=JUDGE, n=4))
    assert plan_arm(arm)[0].sent["toy"] < plan_arm(judged)[0].sent["toy"]
