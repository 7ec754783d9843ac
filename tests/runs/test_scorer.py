"""A scoring model: called once for equal outputs, through the journal, and without effect on answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from imug_tts.contracts import Backbone, BackboneError, Candidate, Capabilities, Request
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.runs import ToyBenchmark, records, run
from imug_tts.testing.toys import CAPABILITIES, TableJudge, ToyBackbone

JUDGED = ToyBenchmark(judged=True)
ONE_AT_A_TIME = replace(CAPABILITIES, max_batch=1)
BEST_OF_3 = BestOfN(inner=Direct(), judge=TableJudge(scores={}), n=3)


@dataclass
class FlakyScorer(Backbone):
    """Fails on one image in `one_in`, for as long as it is down."""

    one_in: int = 2
    identity: str = "flaky"
    capabilities: Capabilities = ONE_AT_A_TIME
    down: bool = field(default=True, init=False)
    model: ToyBackbone = field(default_factory=ToyBackbone, init=False)

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        if self.down and int(requests[0].history[0].digest, 16) % self.one_in == 0:
            raise BackboneError("the judge is away")
        return self.model.generate(requests)


def outcomes(folder: Path) -> Counter[tuple[str, str]]:
    return Counter((record["modality"], record["outcome"]) for record in records(folder))


def test_without_a_scorer_turns_are_answered_and_wait(tmp_path: Path) -> None:
    summary = run(tmp_path, Direct(), benchmark=JUDGED)
    assert outcomes(tmp_path) == {("image", "unscored"): 12, ("text", "scored"): 12}
    assert (summary.scored, summary.unscored, summary.failed, summary.missing) == (12, 12, 0, 0)
    backbone = ToyBackbone()
    run(tmp_path, Direct(), backbone, benchmark=JUDGED)
    assert backbone.asked == []


def test_a_scorer_chosen_later_scores_what_was_answered(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    run(tmp_path / "waiting", Direct(), benchmark=JUDGED, journal=journal)
    backbone, scorer = ToyBackbone(), ToyBackbone(identity="judge")
    summary = run(tmp_path / "scored", Direct(), backbone, benchmark=JUDGED, scorer=scorer, journal=journal)
    assert backbone.asked == []
    assert (summary.scored, scorer.calls("text")) == (24, 12)


def test_equal_outputs_are_scored_once_whatever_the_arm(tmp_path: Path) -> None:
    journal, scorer = tmp_path / "journal", ToyBackbone(identity="judge")
    run(tmp_path / "direct", Direct(), benchmark=JUDGED, scorer=scorer, journal=journal)
    before = scorer.calls("text")
    run(tmp_path / "best", BEST_OF_3, benchmark=JUDGED, scorer=scorer, journal=journal)
    # every judge score is a tie, so Best-of-N chooses what direct drew: two more candidates a turn
    assert scorer.calls("text") == before + 2 * 12


def test_answers_alone_are_scored_when_asked(tmp_path: Path) -> None:
    scorer = ToyBackbone(identity="judge")
    run(tmp_path, BEST_OF_3, benchmark=JUDGED, scorer=scorer, score_candidates=False)
    assert scorer.calls("text") == 12
    image_turn = records(tmp_path)[0]
    scored = ["score" in candidate for candidate in image_turn["response"]["candidates"]]
    assert scored == [True, False, False]


def test_what_scoring_costs_is_no_cost_of_the_answer(tmp_path: Path) -> None:
    run(tmp_path, Direct(), benchmark=JUDGED, scorer=ToyBackbone(identity="judge"))
    image_turn, text_turn = records(tmp_path)[:2]
    assert image_turn["calls"] == 1
    assert image_turn["cost"]["scorer"]["calls"] == 1
    assert "scorer" not in text_turn["cost"]


def test_a_judge_that_fails_costs_the_turn_and_not_its_dialogue(tmp_path: Path) -> None:
    scorer = FlakyScorer()
    first = run(tmp_path, Direct(), benchmark=JUDGED, scorer=scorer)
    assert sum(first.outcomes.values()) == first.planned
    assert 0 < first.missing == outcomes(tmp_path)[("image", "judge_error")] < 12
    scorer.down = False
    backbone, scorer.model.asked = ToyBackbone(), []
    second = run(tmp_path, Direct(), backbone, benchmark=JUDGED, scorer=scorer)
    assert (second.missing, backbone.asked) == (0, [])
    assert scorer.model.calls("text") == first.missing


def test_an_answer_keeps_its_score_when_another_candidate_cannot_be_scored(tmp_path: Path) -> None:
    benchmark = ToyBenchmark(num_samples=20, judged=True)
    runs = {"direct": Direct(), "best": BestOfN(inner=Direct(), judge=TableJudge(scores={}), n=8)}
    unreadable = {name: FlakyScorer(one_in=16) for name in runs}
    for name, strategy in runs.items():
        run(tmp_path / name, strategy, benchmark=benchmark, scorer=unreadable[name])
    # every judge score is a tie, so that Best-of-N answers what Direct does, with seven others beside it
    direct, best = (records(tmp_path / name) for name in runs)
    assert [r["outcome"] for r in best] == [r["outcome"] for r in direct]
    assert [r["score"] for r in best] == [r["score"] for r in direct]
    lost = sum(r["outcome"] == "judge_error" for r in best)
    unscored = [
        candidate
        for record in best
        if record["modality"] == "image" and record["outcome"] == "scored"
        for candidate in record["response"]["candidates"]
        if "score" not in candidate
    ]
    assert 0 < lost < 6
    assert len(unscored) > 2 * lost
