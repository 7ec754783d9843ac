"""Rescoring gives the records of a run that was scored at once, with the same calls of the scorer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imug_tts.contracts import (
    Backbone,
    BackboneError,
    Candidate,
    ConfigurationError,
    History,
    Request,
    Sampling,
    Scope,
    Score,
    Summary,
)
from imug_tts.dialogue import Image, Message, Part, Sample, Text
from imug_tts.records import line_of, read_turns
from imug_tts.runs import Journal, Rescoring, Source, Transcript, execute, plan_scoring
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.runs import ToyBenchmark, records, run
from imug_tts.testing.toys import CAPABILITIES, TableJudge, ToyBackbone, picture

BEST_OF_3 = BestOfN(inner=Direct(), judge=TableJudge(scores={}), n=3)


@dataclass(frozen=True)
class Judged(ToyBenchmark):
    """A model scores every image beside all that was shown before it."""

    async def score(self, sample: Sample, outputs: Sequence[Part | None], scope: Scope) -> Score:
        if not isinstance(outputs[-1], Image):
            return await super().score(sample, outputs, scope)
        shown = tuple(part for part in outputs if part is not None)
        reply = await scope.ask("scorer", (Message("user", shown),), "text", Sampling(temperature=0.1))
        assert isinstance(reply.output, Text)
        score = sum(map(ord, reply.output.text)) % 101 / 100
        return Score(value=score, detail={"reply": reply.output.text, "shown": len(shown)})


class Flaky(Backbone):
    """Fails on requests that show one of some images."""

    identity = "judge"
    capabilities = CAPABILITIES

    def __init__(self, *refused: Part) -> None:
        self.refused = frozenset(refused)
        self.model = ToyBackbone()

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        if any(self.refused & set(message.parts) for each in requests for message in each.history):
            raise BackboneError("it fell over")
        return self.model.generate(requests)


def scorer() -> ToyBackbone:
    return ToyBackbone(identity="judge")


def rescore(
    folder: Path,
    source: Path | Source,
    model: Backbone | None,
    *,
    journal: Path | None = None,
    score_candidates: bool = True,
) -> Summary:
    work = Rescoring(
        folder=folder,
        config={},
        source=Source.of_run(source) if isinstance(source, Path) else source,
        benchmark=Judged(),
        scorer=model,
        score_candidates=score_candidates,
    )
    (summary,) = execute([work], journal=journal or folder / "journal")
    return summary


def manifest(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return read


@pytest.mark.parametrize("history", ["own", "gold", "swap"])
def test_a_run_scored_afterwards_is_the_run_scored_at_once(tmp_path: Path, history: History) -> None:
    run(tmp_path / "shown", Direct(), benchmark=Judged(), seed=5)
    shown = Transcript.of_run(tmp_path / "shown") if history == "swap" else None
    given: dict[str, Any] = {"benchmark": Judged(), "history": history, "transcript": shown, "seed": 3}
    at_once, afterwards = scorer(), scorer()
    run(tmp_path / "once", BEST_OF_3, scorer=at_once, **given)
    waiting = run(tmp_path / "waiting", BEST_OF_3, **given)
    summary = rescore(tmp_path / "scored", tmp_path / "waiting", afterwards)
    assert waiting.unscored == 12
    assert summary.scored == summary.planned == 24
    assert afterwards.calls("text") == at_once.calls("text")
    assert records(tmp_path / "scored") == records(tmp_path / "once")
    names = ("arm", "arm_identity", "models", "judges", "history", "history_from", "seed", "selection")
    there, here = manifest(tmp_path / "once"), manifest(tmp_path / "scored")
    assert {name: here[name] for name in names} == {name: there[name] for name in names}


def test_the_calls_of_a_run_and_of_scoring_are_the_same(tmp_path: Path) -> None:
    journal, model, again = tmp_path / "journal", scorer(), scorer()
    run(tmp_path / "once", BEST_OF_3, benchmark=Judged(), scorer=model, journal=journal)
    summary = rescore(tmp_path / "scored", tmp_path / "once", again, journal=journal)
    assert (summary.scored, again.asked) == (24, [])
    assert records(tmp_path / "scored") == records(tmp_path / "once")


def test_a_plan_counts_what_will_be_asked_and_what_is_known(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    run(tmp_path / "waiting", BEST_OF_3, benchmark=Judged(), journal=journal)
    source, model = Source.of_run(tmp_path / "waiting"), scorer()
    work = Rescoring(folder=tmp_path / "scored", config={}, source=source, benchmark=Judged(), scorer=model)
    before = plan_scoring(work, Journal(journal))
    assert (before.journaled, model.asked, work.folder.exists()) == (0, [], False)
    rescore(work.folder, source, model, journal=journal)
    assert before.calls == model.calls("text") == 36
    after = plan_scoring(work, Journal(journal))
    assert (after.calls, after.journaled) == (36, 36)


def test_answers_alone_are_scored_when_asked(tmp_path: Path) -> None:
    run(tmp_path / "waiting", BEST_OF_3, benchmark=Judged())
    model = scorer()
    rescore(tmp_path / "scored", tmp_path / "waiting", model, score_candidates=False)
    assert model.calls("text") == 12
    first = records(tmp_path / "scored")[0]
    assert ["score" in candidate for candidate in first["response"]["candidates"]] == [True, False, False]


def test_a_candidate_that_the_scorer_fails_on_costs_the_answer_nothing(tmp_path: Path) -> None:
    run(tmp_path / "waiting", BEST_OF_3, benchmark=Judged())
    first = records(tmp_path / "waiting")[0]["response"]["candidates"]
    spoiled = Source.of_run(tmp_path / "waiting").part(first[2]["output"])
    summary = rescore(tmp_path / "scored", tmp_path / "waiting", Flaky(spoiled))
    assert summary.scored == 24
    scored = records(tmp_path / "scored")[0]["response"]["candidates"]
    assert ["score" in candidate for candidate in scored] == [True, True, False]
    run(tmp_path / "once", BEST_OF_3, benchmark=Judged(), scorer=Flaky(spoiled))
    assert [r["score"] for r in records(tmp_path / "once")] == [
        r["score"] for r in records(tmp_path / "scored")
    ]


def test_a_judge_that_fails_says_why_and_is_asked_again(tmp_path: Path) -> None:
    run(tmp_path / "waiting", Direct(), benchmark=Judged())
    first = records(tmp_path / "waiting")[0]["response"]
    spoiled = Source.of_run(tmp_path / "waiting").part(first["output"])
    summary = rescore(tmp_path / "scored", tmp_path / "waiting", Flaky(spoiled))
    # the image of turn 1 is shown again at turn 3
    assert summary.failures == {"judge_error: JudgeError: the scorer failed: it fell over": 2}
    assert "Traceback" in (tmp_path / "scored" / "log.txt").read_text()
    again = rescore(tmp_path / "scored", tmp_path / "waiting", model := Flaky())
    assert (again.missing, again.failures, model.model.calls("text")) == (0, {}, 2)


def test_turns_without_an_answer_keep_their_outcome_and_their_reason(tmp_path: Path) -> None:
    run(tmp_path / "waiting", Direct(), ToyBackbone(refusal_rate=0.3), benchmark=Judged())
    summary = rescore(tmp_path / "scored", tmp_path / "waiting", scorer())
    assert summary.outcomes["refused"] > 0
    for before, after in zip(records(tmp_path / "waiting"), records(tmp_path / "scored"), strict=True):
        if before["outcome"] == "refused":
            assert before == {**after, "models": before["models"], "arm": before["arm"]}
        else:
            assert after["outcome"] == "scored"


def test_what_the_run_answers_later_is_scored_by_the_same_command(tmp_path: Path) -> None:
    waiting, scored = tmp_path / "waiting", tmp_path / "scored"
    run(waiting, Direct(), benchmark=Judged())
    whole = (waiting / "turns.jsonl").read_bytes()
    (waiting / "turns.jsonl").write_bytes(b"".join(whole.splitlines(keepends=True)[:6]))
    assert rescore(scored, waiting, scorer()).missing == 18
    (waiting / "turns.jsonl").write_bytes(whole)
    model = scorer()
    assert rescore(scored, waiting, model).missing == 0
    assert model.calls("text") == 9  # three image turns were there before


def test_responses_that_have_changed_are_scored_again(tmp_path: Path) -> None:
    run(tmp_path / "waiting", Direct(), benchmark=Judged())
    rescore(tmp_path / "scored", tmp_path / "waiting", scorer())
    old = records(tmp_path / "scored")[1]
    turns = tmp_path / "waiting" / "turns.jsonl"
    lines = [line.record for line in read_turns(turns.parent)]
    lines[1]["response"]["output"]["text"] = "Another"
    turns.write_bytes(b"".join(map(line_of, lines)))
    rescore(tmp_path / "scored", tmp_path / "waiting", scorer())
    new = records(tmp_path / "scored")[1]
    assert new["response"]["output"] == {"text": "Another"}
    assert new["score"] == sum(map(ord, "Another")) % 101 / 100 != old["score"]


def test_answers_from_elsewhere_are_scored_after_a_failed_turn_too(tmp_path: Path) -> None:
    names = [sample.name for sample in Judged().samples()]
    answers: dict[tuple[str, int], Part] = {(name, 2): Text("A") for name in names}
    answers |= {(name, turn): picture(f"{name} {turn}") for name in names for turn in (1, 3)}
    source = Source.of_answers("elsewhere", Judged(), answers, {(names[0], 4): "out of memory"})
    summary = rescore(tmp_path, source, scorer())
    assert summary.outcomes == {"scored": 18, "model_error": 6}
    first, *_, last = records(tmp_path)[:4]
    assert (first["strategy"], first["history"], first["num_candidates"]) == ("elsewhere", "own", 1)
    assert (last["error"], last["score"]) == ("out of memory", None)


def test_another_benchmark_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "waiting", Direct(), benchmark=Judged(identity="toy:2"))
    with pytest.raises(
        ConfigurationError, match="waiting answered the benchmark toy:2, but this one is toy:1"
    ):
        rescore(tmp_path / "scored", tmp_path / "waiting", scorer())


def test_a_swapped_history_must_be_there_as_it_was(tmp_path: Path) -> None:
    run(tmp_path / "shown", Direct(), benchmark=Judged())
    shown = Transcript.of_run(tmp_path / "shown")
    run(tmp_path / "waiting", Direct(), benchmark=Judged(), history="swap", transcript=shown, seed=1)
    (tmp_path / "shown").rename(tmp_path / "moved")
    with pytest.raises(ConfigurationError, match="name its folder: history_from=DIR"):
        Source.of_run(tmp_path / "waiting")
    assert Source.of_run(tmp_path / "waiting", tmp_path / "moved").transcript == shown
    run(tmp_path / "shown", Direct(), benchmark=Judged(), seed=2)
    with pytest.raises(ConfigurationError, match="now holds other outputs"):
        Source.of_run(tmp_path / "waiting")


def test_an_image_that_is_gone_is_named(tmp_path: Path) -> None:
    run(tmp_path / "waiting", Direct(), benchmark=Judged())
    sha256 = records(tmp_path / "waiting")[0]["response"]["output"]["image"]
    (tmp_path / "waiting" / "images" / f"{sha256}.png").unlink()
    with pytest.raises(ConfigurationError, match=f"{sha256}.png, which is missing"):
        rescore(tmp_path / "scored", tmp_path / "waiting", scorer())
