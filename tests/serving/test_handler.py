"""The request handler: requests share a broker, equal requests get equal answers, failures give a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from imug_tts.contracts import BackboneError, Candidate, ConfigurationError, Request, SeedGuarantee, Strategy
from imug_tts.dialogue import Message, Modality, Text
from imug_tts.judges import BackboneJudge
from imug_tts.runs import Budget, Journal
from imug_tts.serving import RequestHandler, Served
from imug_tts.serving.reading import InferRequest
from imug_tts.strategies import BestOfN, Direct, MajorityVote, SelfVerification
from imug_tts.testing.toys import ToyBackbone


@dataclass
class Batching(ToyBackbone):
    """Also counts its batches, and fails when told to."""

    batches: list[int] = field(default_factory=list)
    broken: bool = False

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        self.batches.append(len(requests))
        if self.broken:
            raise BackboneError("out of paint " * 1000)
        return super().generate(requests)


def asking(text: str, modality: Modality = "image", temperature: float | None = None) -> InferRequest:
    return InferRequest(history=(Message("user", (Text(text),)),), modality=modality, temperature=temperature)


def answers(
    backbone: ToyBackbone, *asked: InferRequest, strategy: Strategy | None = None, **more: Any
) -> list[Any]:
    async def main() -> list[Any]:
        handler = RequestHandler(Served(backbone=backbone, strategy=strategy or Direct(), **more), Journal())
        try:
            return list(await asyncio.gather(*(handler.answer(one) for one in asked)))
        finally:
            await handler.stop()

    return asyncio.run(main())


def test_requests_of_many_clients_go_together() -> None:
    backbone = Batching()
    answered = answers(backbone, *(asking(str(n)) for n in range(16)))
    assert backbone.batches == [16]
    assert len({answer["response"]["image"] for answer in answered}) == 16


@pytest.mark.parametrize("strategy", [Direct(), BestOfN(n=3, judge=BackboneJudge(), inner=Direct())])
def test_the_same_request_gets_the_same_answer(strategy: Strategy) -> None:
    [first, again] = answers(ToyBackbone(), asking("a star"), asking("a star"), strategy=strategy)
    [from_another_server] = answers(ToyBackbone(), asking("a star"), strategy=strategy)
    [of_another_seed] = answers(ToyBackbone(), asking("a star"), strategy=strategy, seed=1)
    assert first == again == from_another_server != of_another_seed


def test_each_seed_of_a_request_is_a_candidate_of_its_own_that_comes_again() -> None:
    asked = [replace(asking("a star"), seed=seed) for seed in (1, 2, 1)]
    first, second, again = answers(ToyBackbone(), *asked)
    assert first == again != second


@pytest.mark.parametrize("strategy", [Direct(), SelfVerification(inner=Direct(), judge=BackboneJudge())])
def test_a_yes_no_question_is_answered_with_p_yes_where_the_model_has_it(strategy: Strategy) -> None:
    asked = replace(asking("is it red?", "text"), yes_no=True)
    backbone = ToyBackbone()
    [response] = answers(backbone, asked, strategy=strategy)
    assert 0 <= response["response"]["p_yes"] <= 1
    assert [request.form for request in backbone.asked] == ["yes_no"]
    without = ToyBackbone(capabilities=replace(backbone.capabilities, logits=False))
    [response] = answers(without, asked)
    assert set(response["response"]) == {"text"}


@pytest.mark.parametrize(("seeds", "logits"), [("exact", True), ("none", False)])
def test_what_goes_beyond_the_protocol_is_announced(seeds: SeedGuarantee, logits: bool) -> None:
    backbone = ToyBackbone(capabilities=replace(ToyBackbone().capabilities, seeds=seeds, logits=logits))
    about = RequestHandler(Served(backbone=backbone, strategy=Direct()), Journal()).about
    assert (about["seeds"], about["p_yes"]) == (logits, logits)


def test_the_temperature_asked_for_is_that_of_text_answers() -> None:
    strategy = SelfVerification(
        judge=BackboneJudge(), inner=Direct(image_temperature=0.9, text_temperature=0.1)
    )
    backbone = ToyBackbone()
    answers(
        backbone, asking("a", "text", 0.7), asking("b", "text"), asking("c", "image", 0.3), strategy=strategy
    )
    own = {"a": 0.7, "b": 0.1, "c": 0.9}
    for text, temperature in own.items():
        first = next(r for r in backbone.asked if r.history[0].parts == (Text(text),) and len(r.history) == 1)
        assert first.sampling.temperature == temperature


def test_a_temperature_at_which_the_strategy_cannot_work_is_refused() -> None:
    vote = MajorityVote(n=3, inner=Direct(text_temperature=0.7))
    with pytest.raises(ConfigurationError, match="3 identical answers"):
        answers(ToyBackbone(), asking("a", "text", 0.0), strategy=vote)


def test_failures_are_responses_with_a_short_reason() -> None:
    [failed] = answers(Batching(broken=True), asking("a star"))
    assert failed["response"]["error"].startswith("BackboneError: out of paint")
    assert len(failed["response"]["error"]) < 600
    [refused] = answers(ToyBackbone(refusal_rate=1.0), asking("a star"))
    assert refused == {"response": {"error": "the model refused"}}
    [poor] = answers(ToyBackbone(), asking("a", "text"), strategy=Direct(), budget=Budget(texts=1))
    assert "text" in poor["response"]


def test_a_strategy_that_cannot_work_is_not_served() -> None:
    with pytest.raises(ConfigurationError, match="identical answers"):
        answers(
            ToyBackbone(), strategy=BestOfN(n=2, judge=BackboneJudge(), inner=Direct(image_temperature=0))
        )
