"""Cases: a request and a seed determine the candidate, as far as the model guarantees it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from imug_tts.contracts import Candidate, Request
from imug_tts.dialogue import Modality
from imug_tts.testing.conformance.subject import SEEDS, Subject, alike, demand, picture

__all__ = [
    "first_of_four_is_the_only_one",
    "greedy_needs_no_seed",
    "other_seeds_give_other_candidates",
    "seed_repeats",
    "seed_repeats_in_a_batch",
    "seed_repeats_in_threads",
]

_MANY: Final = tuple(range(100, 108))
_THREADS: Final = 4


def _none(subject: Subject) -> list[str]:
    """The reasons why seeds cannot be tested; empty if they can."""
    said = "it declares seeds='none': a request and seed give another candidate each time"
    return [said] if subject.seeds == "none" else []


def _requests(subject: Subject, modality: Modality) -> list[Request]:
    """Requests of one modality whose histories have different lengths."""
    return [
        subject.request(modality),
        subject.request(modality, before=subject.drawn(picture(1))),
        subject.request(modality, before=subject.drawn(picture(2), picture(3)), seeds=SEEDS[1:3]),
    ]


def _demand_alike(subject: Subject, one: list[Candidate], other: list[Candidate], where: str) -> None:
    for number, (a, b) in enumerate(zip(one, other, strict=True)):
        demand(alike(a, b, subject.seeds), f"{where}: candidate {number} is {b}, and was {a}")


def seed_repeats(subject: Subject) -> list[str]:
    """Case: a repeated request and seed gives the same candidate, also after other calls."""
    if reasons := _none(subject):
        return reasons
    for modality in subject.outputs:
        requests = _requests(subject, modality)
        before = [subject.ask(request) for request in requests]
        after = [subject.ask(request) for request in reversed(requests)][::-1]
        for one, other in zip(before, after, strict=True):
            _demand_alike(subject, one, other, f"{modality} asked again")
    return []


def seed_repeats_in_a_batch(subject: Subject) -> list[str]:
    """Case: a request gives the same candidates alone and in a batch with other histories."""
    if reasons := _none(subject):
        return reasons
    if subject.backbone.capabilities.max_batch == 1:
        return ["it takes one call at a time (max_batch is 1)"]
    for modality in subject.outputs:
        requests = _requests(subject, modality)
        together = subject.backbone.generate(requests)
        for request, candidates in zip(requests, together, strict=True):
            alone = [subject.ask(replace(request, seeds=(seed,)))[0] for seed in request.seeds]
            _demand_alike(subject, alone, candidates, f"{modality} in a batch")
    return []


def first_of_four_is_the_only_one(subject: Subject) -> list[str]:
    """Case: the candidate of N=1 is the first of N=4."""
    if reasons := _none(subject):
        return reasons
    for modality in subject.outputs:
        request = subject.request(modality, before=subject.drawn(picture(1)))
        four = subject.ask(replace(request, seeds=SEEDS))
        _demand_alike(subject, subject.ask(request), four[:1], f"{modality}, first of N=4")
    return []


def other_seeds_give_other_candidates(subject: Subject) -> list[str]:
    """Case: at temperature 1, eight seeds give more than one image and more than one text."""
    for modality in subject.outputs:
        made = subject.ask(subject.request(modality, seeds=_MANY))
        different = len({candidate.output for candidate in made})
        if modality in subject.unseen:
            return [f"{modality}: {subject.unseen[modality]}"]
        demand(different > 1, f"{len(_MANY)} seeds give one and the same {modality}: the seed is not used")
    return []


def greedy_needs_no_seed(subject: Subject) -> list[str]:
    """Case: at temperature 0, texts do not depend on the seed."""
    if "text" not in subject.outputs or subject.is_remote:
        return ["greedy texts are compared on models in this process that write text"]
    request = subject.request("text", seeds=SEEDS, sampling=subject.sampling(0.0))
    texts = {candidate.output for candidate in subject.ask(request)}
    demand(len(texts) == 1, f"{len(SEEDS)} seeds give {len(texts)} texts at temperature 0")
    return []


def seed_repeats_in_threads(subject: Subject) -> list[str]:
    """Case: `concurrent_batches` concurrent calls give the same candidates as sequential calls."""
    at_once = subject.backbone.capabilities.concurrent_batches
    if at_once == 1:
        return ["it takes one call of generate at a time (concurrent_batches is 1)"]
    if reasons := _none(subject):
        return reasons
    for modality in subject.outputs:
        requests = [subject.request(modality, seeds=(seed,)) for seed in SEEDS]
        one_by_one = [subject.ask(request) for request in requests]
        with ThreadPoolExecutor(min(at_once, _THREADS)) as threads:
            together = list(threads.map(subject.ask, requests))
        for one, other in zip(one_by_one, together, strict=True):
            _demand_alike(subject, one, other, f"{modality} in {min(at_once, _THREADS)} threads")
    return []
