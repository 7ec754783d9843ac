"""A run from its configuration to its records, and what a second invocation does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imug_tts.contracts import (
    BackboneError,
    Candidate,
    ConfigurationError,
    Request,
    StorageError,
    Strategy,
    TimedOut,
)
from imug_tts.dialogue import Text
from imug_tts.judges import BackboneJudge
from imug_tts.runs import Arm, Budget, Conversation, Run, execute
from imug_tts.strategies import BestOfN, ChainOfThought, Direct, SelfVerification
from imug_tts.testing.runs import GOLD_IMAGE, Listener, ToyBenchmark, records, run
from imug_tts.testing.toys import ToyBackbone

NESTED = BestOfN(
    n=3,
    judge=BackboneJudge(),
    inner=SelfVerification(judge=BackboneJudge(), threshold=0.8, inner=ChainOfThought(inner=Direct())),
)


@dataclass
class Failing(ToyBackbone):
    """Fails on every request whose last words contain `poison`."""

    poison: str = field(default="", init=False)
    error: type[BackboneError] = field(default=BackboneError, init=False)

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        for request in requests:
            words = [part.text for part in request.history[-1].parts if isinstance(part, Text)]
            if self.poison and self.poison in " ".join(words):
                raise self.error("the model fell over")
        return super().generate(requests)


def test_every_planned_turn_has_one_record_in_planned_order(tmp_path: Path) -> None:
    tracker = Listener()
    summary = run(tmp_path, NESTED, tracker=tracker)
    found = [(r["sample_id"], r["turn"]) for r in records(tmp_path)]
    assert found == [(str(sample), turn) for sample in range(6) for turn in range(1, 5)]
    assert summary.planned == summary.scored == tracker.planned == len(tracker.turns) == 24
    assert summary.failed == 0


def test_a_record_says_what_was_asked_considered_and_paid(tmp_path: Path) -> None:
    run(tmp_path, NESTED)
    record = records(tmp_path)[0]
    assert record["strategy"] == "best_of_3+self_verify[threshold=0.8]+cot"
    assert record["outcome"] == "scored"
    assert record["input"] == [{"text": "turn 1 of 0"}]
    assert record["reference"] == GOLD_IMAGE.to_json()
    assert record["num_candidates"] == 3
    response = record["response"]
    assert response["output"] == response["candidates"][response["chosen"]]["output"]
    assert all("verdict" in c and "score" in c for c in response["candidates"])
    assert record["score"] == response["score"]
    assert record["images"] == record["cost"]["generator"]["images"] >= 3
    assert record["cost"]["judge"]["calls"] > 0


def test_every_image_of_the_records_is_in_the_run_folder(tmp_path: Path) -> None:
    run(tmp_path, NESTED)
    text = (tmp_path / "turns.jsonl").read_text()
    named = {piece.split('"')[0] for piece in text.split('"image":"')[1:]}
    there = {path.stem for path in (tmp_path / "images").iterdir()}
    assert named == there


def test_own_history_shows_the_models_outputs_and_gold_history_the_references(tmp_path: Path) -> None:
    own, gold = ToyBackbone(), ToyBackbone()
    run(tmp_path / "own", Direct(), own, journal=tmp_path / "journal-own")
    run(tmp_path / "gold", Direct(), gold, history="gold", journal=tmp_path / "journal-gold")

    def images_seen(backbone: ToyBackbone) -> set[object]:
        return {
            part
            for request in backbone.asked
            for message in request.history
            if message.role == "assistant"
            for part in message.parts
        }

    assert images_seen(gold) == {GOLD_IMAGE, Text("A")}
    assert GOLD_IMAGE not in images_seen(own)


def test_gold_history_without_references_is_refused_before_any_call(tmp_path: Path) -> None:
    backbone = ToyBackbone()
    with pytest.raises(ConfigurationError, match="history=gold needs reference outputs"):
        run(tmp_path, Direct(), backbone, benchmark=ToyBenchmark(references=False), history="gold")
    assert not backbone.asked


def test_a_finished_run_started_again_makes_no_call_and_changes_no_record(tmp_path: Path) -> None:
    run(tmp_path, NESTED)
    before = (tmp_path / "turns.jsonl").read_bytes()
    backbone, tracker = ToyBackbone(), Listener()
    summary = run(tmp_path, NESTED, backbone, tracker=tracker)
    assert not backbone.asked
    assert tracker.turns == [True] * 24
    assert summary.scored == 24
    assert (tmp_path / "turns.jsonl").read_bytes() == before


def test_lost_records_are_replayed_from_the_journal(tmp_path: Path) -> None:
    run(tmp_path, NESTED)
    before = records(tmp_path)
    lines = (tmp_path / "turns.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "turns.jsonl").write_bytes(b"".join(lines[:5]) + lines[5][:20])
    backbone = ToyBackbone()
    summary = run(tmp_path, NESTED, backbone)
    assert not backbone.asked
    assert summary.spent.calls == 0
    assert summary.intrinsic.calls > 0
    assert records(tmp_path) == before


def test_a_damaged_record_in_the_middle_is_named_and_replayed(tmp_path: Path) -> None:
    run(tmp_path, Direct())
    before = records(tmp_path)
    lines = (tmp_path / "turns.jsonl").read_text().splitlines()
    lines[6] = lines[6][:40]
    (tmp_path / "turns.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.warns(UserWarning, match=r"turns.jsonl, line 7: damaged"):
        run(tmp_path, Direct())
    assert records(tmp_path) == before


def test_runs_of_a_study_fill_batches_together_and_share_calls(tmp_path: Path) -> None:
    strategies: dict[str, Strategy] = {"direct": Direct(), "nested": NESTED}
    backbone, tracker = ToyBackbone(), Listener()
    runs = [
        Run(
            arm=Arm(backbone=backbone, strategy=strategy, benchmark=ToyBenchmark(num_samples=2)),
            folder=tmp_path / name,
            config={},
        )
        for name, strategy in strategies.items()
    ]
    summaries = execute(runs, journal=tmp_path / "journal", trackers=[tracker])
    assert [summary.scored for summary in summaries] == [8, 8]
    assert tracker.finished == ["direct", "nested"]
    assert tracker.planned == len(tracker.turns) == 16
    made = sum(len(request.seeds) for request in backbone.asked)
    assert sum(summary.spent.calls for summary in summaries) == made
    for name, strategy in strategies.items():
        run(tmp_path / "alone" / name, strategy, benchmark=ToyBenchmark(num_samples=2))
        assert records(tmp_path / name) == records(tmp_path / "alone" / name)


def test_arms_of_a_study_share_their_calls(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    run(tmp_path / "direct", Direct(), journal=journal, benchmark=ToyBenchmark(num_samples=1))
    backbone = ToyBackbone()
    best = BestOfN(n=4, judge=BackboneJudge(), inner=Direct())
    run(tmp_path / "best", best, backbone, journal=journal, benchmark=ToyBenchmark(num_samples=1))
    first_turn = [r for r in backbone.asked if r.modality == "image" and len(r.history) == 1]
    assert sum(len(request.seeds) for request in first_turn) == 3  # the fourth is direct's


@settings(max_examples=12)
@given(in_flight=st.integers(1, 9), num_samples=st.integers(1, 5))
def test_records_do_not_depend_on_how_many_dialogues_are_in_flight(
    tmp_path_factory: pytest.TempPathFactory, in_flight: int, num_samples: int
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    benchmark = ToyBenchmark(num_samples=num_samples)
    run(folder / "alone", NESTED, benchmark=benchmark, in_flight=1)
    run(folder / "together", NESTED, benchmark=benchmark, in_flight=in_flight)
    assert records(folder / "alone") == records(folder / "together")


def test_calls_of_one_history_are_one_request_and_batches_are_full(tmp_path: Path) -> None:
    backbone = ToyBackbone()
    run(tmp_path, BestOfN(n=4, judge=BackboneJudge(), inner=Direct()), backbone)
    drawn = [request for request in backbone.asked if request.modality == "image"]
    assert {len(request.seeds) for request in drawn} == {4}


@pytest.mark.parametrize(("error", "outcome"), [(BackboneError, "model_error"), (TimedOut, "timed_out")])
def test_a_failed_turn_ends_its_dialogue_alone_and_is_tried_again(
    tmp_path: Path, error: type[BackboneError], outcome: str
) -> None:
    model = Failing()
    model.poison, model.error = "turn 2 of 3", error
    summary = run(tmp_path, Direct(), model)
    assert (summary.planned, summary.scored, summary.failed) == (24, 21, 1)
    failed = [r for r in records(tmp_path) if r["outcome"] != "scored"]
    assert [(r["sample_id"], r["turn"], r["outcome"]) for r in failed] == [("3", 2, outcome)]
    assert failed[0]["score"] is None
    assert "the model fell over" in failed[0]["error"]

    again = Failing()
    summary = run(tmp_path, Direct(), again)
    assert summary.scored == 24
    assert len(again.asked) == 3  # turns 2 to 4 of one dialogue
    run(tmp_path / "whole", Direct(), Failing())
    assert records(tmp_path) == records(tmp_path / "whole")


def test_a_refusal_is_an_outcome_and_not_a_score_of_zero(tmp_path: Path) -> None:
    summary = run(tmp_path, Direct(), ToyBackbone(refusal_rate=1.0))
    assert summary.outcomes == {"refused": 6}
    assert summary.scores == {}


def test_a_folder_of_another_configuration_is_refused_with_the_difference(tmp_path: Path) -> None:
    run(tmp_path, Direct())
    with pytest.raises(ConfigurationError, match=r"another configuration \(identity.seed: 0 there, 1 here\)"):
        run(tmp_path, Direct(), seed=1)


def test_a_folder_made_by_other_weights_is_refused(tmp_path: Path) -> None:
    run(tmp_path, Direct())
    with pytest.raises(ConfigurationError, match=r"backbone: 'toy' there, 'toy:2' here"):
        run(tmp_path, Direct(), ToyBackbone(identity="toy:2"))


def test_an_output_that_cannot_be_written_is_named_before_any_call(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    backbone = ToyBackbone()
    with pytest.raises(StorageError, match=r"cannot write to .*taken"):
        run(tmp_path / "taken" / "run", Direct(), backbone)
    assert not backbone.asked


def test_the_configuration_is_kept_beside_the_records(tmp_path: Path) -> None:
    run(tmp_path, Direct())
    assert (tmp_path / "config.yaml").read_text() == "seed: 0\n"
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["identity"] == {
        "backbone": {"name": "imug_tts.testing.toys:ToyBackbone"},
        "strategy": {"name": "direct"},
        "roles": {},
        "benchmark": {"name": "imug_tts.testing.runs:ToyBenchmark"},
        "budget": {},
        "score_candidates": True,
        "selection": {},
        "history": "own",
        "history_from": None,
        "seed": 0,
    }
    assert manifest["planned"][0]["modalities"] == ["image", "text", "image", "text"]


@pytest.mark.parametrize("strategy", [NESTED, BestOfN(n=8, judge=BackboneJudge(), inner=Direct())])
def test_budgets_hold_on_every_turn(tmp_path: Path, strategy: Strategy) -> None:
    run(tmp_path, strategy, budget=Budget(images=5, texts=7))
    for record in records(tmp_path):
        costs = record["cost"].values()
        assert sum(cost["images"] for cost in costs) <= 5
        assert sum(cost["calls"] - cost["images"] for cost in costs) <= 7
        assert record["outcome"] == "scored"


def test_a_conversation_remembers_what_was_said() -> None:
    backbone = ToyBackbone()
    chat = Conversation(backbone, BestOfN(n=2, judge=BackboneJudge(), inner=Direct()))
    first = chat.say("draw a star", modality="image")
    chat.say("what is it?")
    assert len(first.candidates) == 2
    assert [message.role for message in chat.history] == ["user", "assistant"] * 2
    assert backbone.asked[-1].history == tuple(chat.history[:3])
