"""Failures of models and trackers, and wrong answers, during a run."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from imug_tts.calls import Call
from imug_tts.calls.seeds import branch_seed
from imug_tts.contracts import (
    Backbone,
    BackboneError,
    Candidate,
    ConfigurationError,
    ModelDown,
    ModelRole,
    PlannedRun,
    Record,
    Request,
    Sampling,
    Summary,
    Tracker,
)
from imug_tts.dialogue import Message, Text
from imug_tts.judges import BackboneJudge
from imug_tts.runs import Arm, Conversation, Journal, Run, execute, plan_arm
from imug_tts.strategies import BestOfN, ChainOfThought, Direct
from imug_tts.testing.runs import Listener, ToyBenchmark, records, run
from imug_tts.testing.toys import CAPABILITIES, ToyBackbone

Failure = Callable[[Request], Exception | None]


def words_of(request: Request) -> str:
    """The user's last words."""
    return " ".join(part.text for part in request.history[-1].parts if isinstance(part, Text))


@dataclass
class Fragile(ToyBackbone):
    """Raises what `failure` gives for any request of a batch; answers `confused` image turns in words."""

    failure: Failure | None = field(default=None, init=False)
    confused: str | None = field(default=None, init=False)

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        for request in requests:
            error = None if self.failure is None else self.failure(request)
            if error is not None:
                raise error
        made = super().generate(requests)
        return [
            [Candidate(output=Text("Here is your star!"))] * len(candidates)
            if self.confused is not None and self.confused in words_of(request)
            else candidates
            for request, candidates in zip(requests, made, strict=True)
        ]


def fragile(failure: Failure | None = None, confused: str | None = None, max_batch: int = 16) -> Fragile:
    model = Fragile(replace(CAPABILITIES, max_batch=max_batch))
    model.failure = failure
    model.confused = confused
    return model


def outcomes(folder: Path) -> Counter[str]:
    return Counter(record["outcome"] for record in records(folder))


def on(words: str, error: Exception) -> Failure:
    return lambda request: error if words in words_of(request) else None


@pytest.mark.parametrize("max_batch", [1, 16])
def test_an_image_turn_that_is_answered_in_words_fails_alone_and_is_not_journaled(
    tmp_path: Path, max_batch: int
) -> None:
    summary = run(tmp_path, Direct(), fragile(confused="turn 3 of 2", max_batch=max_batch))
    assert outcomes(tmp_path) == {"scored": 22, "model_error": 1}
    [failed] = [record for record in records(tmp_path) if record["outcome"] != "scored"]
    assert (failed["sample_id"], failed["turn"]) == ("2", 3)
    assert failed["error"] == "BackboneError: the model was asked for image and returned text"
    assert (summary.missing, summary.failed) == (2, 1)
    assert "Here is your star!" not in journal_text(tmp_path)
    assert run(tmp_path, Direct(), fragile(max_batch=max_batch)).scored == 24


def journal_text(folder: Path) -> str:
    return "".join(path.read_text() for path in (folder / "journal" / "calls").iterdir())


def test_a_journal_that_holds_an_answer_in_words_to_an_image_turn_recovers(tmp_path: Path) -> None:
    sample = ToyBenchmark().samples()[0]
    history = (Message("user", sample.questions[0].parts),)
    seed = branch_seed(0, sample.name, 1, ())
    call = Call(history, "image", seed, Sampling(temperature=1.0, max_tokens=512))
    journal = Journal(tmp_path / "journal")
    journal.append([(call.identity("toy"), Candidate(output=Text("Here is your star!")))])
    journal.close()
    model = ToyBackbone()
    assert run(tmp_path, Direct(), model).scored == 24
    assert any(request.history == history for request in model.asked)
    run(tmp_path / "clean", Direct())
    assert records(tmp_path) == records(tmp_path / "clean")
    (tmp_path / "turns.jsonl").unlink()
    again = ToyBackbone()
    assert run(tmp_path, Direct(), again).scored == 24
    assert again.asked == []


@pytest.mark.parametrize("max_batch", [1, 16])
@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA out of memory"),
        MemoryError("no memory"),
        KeyError("steps"),
        AssertionError("shape (3, 64) is not (3, 128)"),
        BackboneError("the server said no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_exception_of_a_model_fails_the_request_alone(
    tmp_path: Path, error: Exception, max_batch: int
) -> None:
    summary = run(tmp_path, Direct(), fragile(on("turn 2 of 3", error), max_batch=max_batch))
    assert outcomes(tmp_path) == {"scored": 21, "model_error": 1}
    [failed] = [record for record in records(tmp_path) if record["outcome"] == "model_error"]
    assert str(error) in failed["error"]
    assert [reason for reason in summary.failures if str(error)[:8] in reason]
    log = (tmp_path / "log.txt").read_text()
    assert log.startswith("turn 2 of toys/shapes/3: Traceback")
    assert f"{type(error).__name__}" in log
    assert "in generate" in log
    assert run(tmp_path, Direct(), fragile(max_batch=max_batch)).scored == 24


def test_out_of_memory_is_answered_with_smaller_batches(tmp_path: Path) -> None:
    @dataclass
    class Small(Fragile):
        def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
            if sum(len(request.seeds) for request in requests) > 3:
                raise RuntimeError("CUDA out of memory")
            return super().generate(requests)

    strategy = BestOfN(inner=Direct(), judge=BackboneJudge(), n=4)
    assert run(tmp_path / "small", strategy, Small()).scored == 24
    run(tmp_path / "large", strategy, Fragile())
    small, large = (records(tmp_path / name, without=["arm"]) for name in ("small", "large"))
    assert small == large


def test_a_run_in_which_nothing_succeeds_stops_with_that_error(tmp_path: Path) -> None:
    model = fragile(lambda request: RuntimeError("no such device"))
    benchmark = ToyBenchmark(num_samples=500)
    with pytest.raises(ModelDown, match=r"toy: .* failed one after the other.*no such device"):
        run(tmp_path, Direct(), model, benchmark=benchmark)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["scored"] == 0
    assert sum(summary["outcomes"].values()) < 100
    assert "no such device" in (tmp_path / "log.txt").read_text()
    assert run(tmp_path, Direct(), fragile(), benchmark=benchmark).missing == 0


@pytest.mark.parametrize("max_batch", [1, 16])
def test_a_model_that_worked_and_then_dies_stops_the_run_after_256_failures(
    tmp_path: Path, max_batch: int
) -> None:
    calls = []

    def dies(request: Request) -> Exception | None:
        calls.append(request)
        return RuntimeError("device lost") if len(calls) > 100 else None

    model = fragile(dies, max_batch=max_batch)
    with pytest.raises(ModelDown, match="device lost"):
        run(tmp_path, Direct(), model, benchmark=ToyBenchmark(num_samples=800))
    failed = outcomes(tmp_path)["model_error"]
    assert 200 <= failed < 400
    assert outcomes(tmp_path)["scored"] > 0
    assert (tmp_path / "summary.json").exists()


def test_failures_between_successes_stop_nothing(tmp_path: Path) -> None:
    model = fragile(lambda request: RuntimeError("hm") if "7" in words_of(request) else None)
    summary = run(tmp_path, Direct(), model, benchmark=ToyBenchmark(num_samples=900))
    assert summary.outcomes["model_error"] > 200


def test_reasons_that_differ_in_numbers_alone_are_counted_together(tmp_path: Path) -> None:
    def fails(request: Request) -> Exception | None:
        words = words_of(request)
        if words.startswith("turn 2") and words != "turn 2 of 5":
            return BackboneError(f"status 404: no model at request {words[-1]}8812")
        return BackboneError("out of paint") if words == "turn 3 of 5" else None

    summary = run(tmp_path, Direct(), fragile(fails))
    assert list(summary.failures.values()) == [5, 1]
    first, second = summary.failures
    assert first.startswith("model_error: BackboneError: status 404: no model at request")
    assert second == "model_error: BackboneError: out of paint"
    written = json.loads((tmp_path / "summary.json").read_text())
    assert written["failures"] == dict(summary.failures)


def test_a_refusal_is_final_and_keeps_the_providers_reason(tmp_path: Path) -> None:
    @dataclass
    class Careful(ToyBackbone):
        def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
            refusal = Candidate(output=None, finish="refused", reason="no weapons, says the provider")
            return [
                [refusal] * len(made) if words_of(request) == "turn 3 of 1" else made
                for request, made in zip(requests, super().generate(requests), strict=True)
            ]

    first, again = Careful(), Careful()
    summary = run(tmp_path, Direct(), first)
    assert (summary.refused, summary.unasked, summary.missing, summary.failed) == (1, 1, 0, 0)
    [refused] = [record for record in records(tmp_path) if record["outcome"] == "refused"]
    assert refused["error"] == refused["response"]["reason"] == "no weapons, says the provider"
    before = (tmp_path / "turns.jsonl").read_bytes()
    summary = run(tmp_path, Direct(), again)
    assert again.asked == []
    assert (summary.refused, summary.unasked, summary.missing) == (1, 1, 0)
    assert (tmp_path / "turns.jsonl").read_bytes() == before


@dataclass
class Clumsy(Tracker):
    """Raises in one of its methods."""

    method: str
    told: list[str] = field(default_factory=list)

    def start(self, runs: Sequence[PlannedRun]) -> None:
        self._tell("start")

    def call(self, run: PlannedRun) -> None:
        self._tell("call")

    def turn(self, run: PlannedRun, record: Record, replayed: bool) -> None:
        self._tell("turn")

    def finish(self, run: PlannedRun, summary: Summary, interrupted: bool) -> None:
        self._tell("finish")

    def close(self) -> None:
        self._tell("close")

    def _tell(self, method: str) -> None:
        self.told.append(method)
        if method == self.method:
            raise RuntimeError("no network")


@pytest.mark.parametrize("method", ["start", "call", "turn", "finish", "close"])
def test_a_tracker_that_raises_is_told_nothing_more_and_the_run_goes_on(tmp_path: Path, method: str) -> None:
    clumsy, listener = Clumsy(method), Listener()
    arm = Arm(backbone=ToyBackbone(), strategy=Direct(), benchmark=ToyBenchmark())
    with pytest.warns(UserWarning, match="tracker Clumsy failed.*no network") as said:
        [summary] = execute(
            [Run(arm=arm, folder=tmp_path / "run", config={})],
            journal=tmp_path / "journal",
            trackers=[clumsy, listener],
        )
    assert len(said) == 1
    assert clumsy.told.count(method) == 1
    assert clumsy.told[-1] in (method, "close")
    assert (summary.scored, len(listener.turns), listener.finished) == (24, 24, ["run"])
    assert (tmp_path / "run" / "summary.json").exists()


JUDGED = ToyBenchmark(judged=True)


@pytest.mark.parametrize("role", ["planner", "verifier", "scorer"])
def test_a_run_does_not_go_on_with_another_model_in_a_role(tmp_path: Path, role: ModelRole) -> None:
    strategy = BestOfN(inner=ChainOfThought(inner=Direct()), judge=BackboneJudge(), n=2)

    def played_by(model: Backbone) -> Run:
        others: dict[ModelRole, Backbone] = {"scorer": ToyBackbone(identity="scorer"), role: model}
        arm = Arm(backbone=ToyBackbone(), strategy=strategy, benchmark=JUDGED, roles=others)
        return Run(arm=arm, folder=tmp_path / "run", config={})

    _check_owner(tmp_path, played_by)


def test_a_run_does_not_go_on_with_another_model_in_a_judge(tmp_path: Path) -> None:
    def played_by(model: Backbone) -> Run:
        strategy = BestOfN(inner=Direct(), judge=BackboneJudge(verifier=model), n=2)
        arm = Arm(backbone=ToyBackbone(), strategy=strategy, benchmark=ToyBenchmark())
        return Run(arm=arm, folder=tmp_path / "run", config={})

    _check_owner(tmp_path, played_by)


class Versioned(Backbone):
    """A model whose version is no knob, as that of weights in a folder."""

    capabilities = CAPABILITIES

    def __init__(self, version: int) -> None:
        self.toy = ToyBackbone()
        self._version = version

    @property
    def identity(self) -> str:
        return f"judge:{self._version}"

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        return self.toy.generate(requests)


def _check_owner(folder: Path, played_by: Callable[[Backbone], Run]) -> None:
    one, two = Versioned(1), Versioned(2)
    execute([played_by(one)], journal=folder / "journal")
    with pytest.raises(
        ConfigurationError, match=r"another configuration \(models\..*'judge:1' there, 'judge:2'"
    ):
        execute([played_by(two)], journal=folder / "journal")
    assert two.toy.asked == []
    execute([played_by(one)], journal=folder / "journal")


def test_a_conversation_says_what_it_cannot_use() -> None:
    with pytest.raises(
        ConfigurationError, match=r"'direct' is no Strategy; give an object, e\.g\. Direct\(\)"
    ):
        Conversation(ToyBackbone(), "direct")  # type: ignore[arg-type]
    with pytest.raises(
        ConfigurationError, match=r"'pocket' is no Backbone; give an object, e\.g\. load_backbone"
    ):
        Conversation("pocket", Direct())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="modality is 'picture'; choose from: text, image"):
        Conversation(ToyBackbone(), Direct()).say("draw", modality="picture")  # type: ignore[arg-type]


def test_everything_works_where_an_event_loop_runs_already(tmp_path: Path) -> None:
    arm = Arm(backbone=ToyBackbone(), strategy=Direct(), benchmark=ToyBenchmark())

    async def notebook() -> tuple[Any, ...]:
        chat = Conversation(ToyBackbone(), BestOfN(n=4, judge=BackboneJudge(), inner=Direct()))
        reply = chat.say("draw a red star at b2 , a seed at c3", modality="image")
        again = chat.say("what is it?")
        [summary] = execute([Run(arm=arm, folder=tmp_path / "run", config={})], journal=tmp_path / "journal")
        return reply, again, summary, plan_arm(arm)

    reply, again, summary, (least, most) = asyncio.run(notebook())
    assert (len(reply.candidates), summary.scored) == (4, 24)
    assert again.output is not None
    assert least == most
    assert sum(least.calls.values()) == 24
