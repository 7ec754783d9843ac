"""Cases: the costs of calls, alone, in a batch, and in the sum over a turn."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final, NamedTuple

from imug_tts.calls import TurnScope
from imug_tts.contracts import Backbone, Candidate, Cost, Request, Scope
from imug_tts.dialogue import Modality, Turn
from imug_tts.testing.conformance.subject import SEEDS, Subject, demand, kept, picture
from imug_tts.testing.toys import within

__all__ = [
    "branches",
    "costs_are_counted",
    "costs_of_a_batch_are_those_of_single_calls",
    "shared_prompt_is_charged_once",
]

_COUNTED: Final = ("calls", "new_tokens", "denoise_steps", "nfe", "images")


def costs_are_counted(subject: Subject) -> list[str]:
    """Case: calls and images are counted; a local model also counts tokens and network evaluations."""
    for modality in subject.outputs:
        [candidate] = subject.ask(subject.request(modality))
        cost = candidate.cost
        demand(cost.calls >= 1, f"{modality}: cost.calls is {cost.calls}")
        images = int(modality == "image")
        demand(cost.images == images, f"{modality}: cost.images is {cost.images}, not {images}")
        if not subject.is_remote:
            _demand_counters(modality, cost)
    if subject.is_remote:
        return ["tokens are not demanded of a model on servers: many do not tell them"]
    return []


def _demand_counters(modality: Modality, cost: Cost) -> None:
    if modality == "image":
        demand(cost.nfe > 0, "image: cost.nfe is 0; count the evaluations of the network")
        return
    demand(cost.prompt_tokens + cost.cached_tokens > 0, "text: no token of the prompt is counted")
    demand(cost.new_tokens > 0, "text: cost.new_tokens is 0")


def costs_of_a_batch_are_those_of_single_calls(subject: Subject) -> list[str]:
    """Case: each candidate of N=4 costs what it costs alone, its full prompt included."""
    if subject.seeds == "none":
        return ["it declares seeds='none', so two calls may differ in length"]
    for modality in subject.outputs:
        request = subject.request(modality, before=subject.drawn(picture(1)), seeds=SEEDS)
        together = subject.ask(request)
        alone = [subject.ask(replace(request, seeds=(seed,)))[0] for seed in SEEDS]
        for one, other in zip(alone, together, strict=True):
            if kept(one) == kept(other):  # others may have another length, where seeds are best effort
                _demand_same_cost(modality, one, other)
    return []


def _demand_same_cost(modality: Modality, alone: Candidate, in_batch: Candidate) -> None:
    mine, others = _counts(alone.cost), _counts(in_batch.cost)
    demand(mine == others, f"{modality}: a candidate of N=4 costs {others}, and alone {mine}")


def _counts(cost: Cost) -> dict[str, int]:
    counted = {name: getattr(cost, name) for name in _COUNTED}
    return counted | {"prompt": cost.prompt_tokens + cost.cached_tokens}


def shared_prompt_is_charged_once(subject: Subject) -> list[str]:
    """Case: the ledger of a turn with N=4 holds the sum of four calls, but the prompt's tokens once."""
    if subject.is_remote:
        return ["a model on servers is charged what its provider counts"]
    for modality in subject.outputs:
        request = subject.request(modality, before=subject.drawn(picture(1)))
        turn = branches(subject, subject.backbone, request)
        sums = sum((candidate.cost for candidate in turn.candidates), turn.candidates[0].shared_cost)
        demand(_counts(turn.spent) == _counts(sums), f"{modality}: N=4 costs {turn.spent}, its calls {sums}")
        first = turn.candidates[0]
        prompt = (first.cost + first.shared_cost).prompt_tokens
        paid = turn.spent.prompt_tokens
        demand(paid <= prompt, f"{modality}: N=4 pays {paid} tokens of a prompt of {prompt}")
    return []


class Branches(NamedTuple):
    """The results of a turn's branches in order, and the cost of the turn."""

    seeds: list[int]
    candidates: list[Candidate]
    spent: Cost


def branches(subject: Subject, backbone: Backbone, request: Request, count: int = 4) -> Branches:
    """The result of asking one request in several concurrent branches of a turn, through the engine."""
    turn = Turn(sample="conformance", number=1, modality=request.modality, history=request.history)

    async def run(scope: Scope) -> Branches:
        assert isinstance(scope, TurnScope)
        asked = [scope.child(index) for index in range(count)]
        calls = (s.ask("generator", turn.history, turn.modality, subject.sampling()) for s in asked)
        candidates = list(await asyncio.gather(*calls))
        return Branches([s.seed for s in asked], candidates, scope.ledger.spent())

    return within(run, turn, backbone)
