"""Cases: candidates answer their requests, and refusals are candidates too."""

from __future__ import annotations

from dataclasses import replace

from imug_tts.calls.attempts import check_candidate
from imug_tts.contracts import BackboneError, Candidate, Local, Request
from imug_tts.dialogue import Message, Modality, Text
from imug_tts.prompts import load
from imug_tts.testing.conformance.subject import SEEDS, NotConforming, Subject, demand, picture

__all__ = [
    "declarations_are_whole",
    "every_output_works",
    "length_is_data",
    "other_modality_is_refused_before_compute",
    "refusal_is_data",
    "rewards_are_given",
    "yes_no_is_answered",
]


def declarations_are_whole(subject: Subject) -> list[str]:
    """Case: capabilities are valid, and reading them or the identity loads no weights."""
    backbone = subject.again() if isinstance(subject.backbone, Local) else subject.backbone
    can = backbone.capabilities
    demand(bool(backbone.identity.strip()), "identity is empty")
    demand(bool(can.outputs) or can.rewards, "capabilities has no outputs and no rewards")
    demand(can.max_batch >= 1, f"capabilities.max_batch is {can.max_batch}; it must be 1 or more")
    demand(can.concurrent_batches >= 1, "capabilities.concurrent_batches must be 1 or more")
    demand(can.context_images is None or can.context_images >= 0, "capabilities.context_images is negative")
    for sentence in can.limits:
        demand(sentence.strip().endswith("."), f"capabilities.limits has {sentence!r}; it is no sentence")
    load(can.prompts)
    if isinstance(backbone, Local):
        demand(not backbone.is_loaded, "identity or capabilities loaded the weights")
    return []


def every_output_works(subject: Subject) -> list[str]:
    """Case: each declared modality gives one valid candidate for each seed of each request, in order."""
    for modality in subject.outputs:
        requests = [
            subject.request(modality, seeds=SEEDS[:2]),
            subject.request(modality, before=subject.drawn(picture(1)), seeds=SEEDS[:1]),
        ]
        made = [subject.ask(each) for each in requests] if subject.is_remote else _batch(subject, requests)
        counts, wanted = [len(each) for each in made], [len(each.seeds) for each in requests]
        demand(counts == wanted, f"{modality}: {counts} candidates came for requests of {wanted} seeds")
        for request, candidates in zip(requests, made, strict=True):
            _check_all(request, candidates, refusals=False)
    return []


def _batch(subject: Subject, requests: list[Request]) -> list[list[Candidate]]:
    return subject.backbone.generate(requests)


def _check_all(request: Request, candidates: list[Candidate], *, refusals: bool) -> None:
    for candidate in candidates:
        try:
            check_candidate(request, candidate)
        except BackboneError as error:
            raise NotConforming(str(error)) from error
        demand(refusals or candidate.output is not None, f"it refused: {candidate.reason or candidate}")


def yes_no_is_answered(subject: Subject) -> list[str]:
    """Case: a yes/no answer begins with yes or no, and has P(yes) in [0, 1] if logits are declared."""
    if "text" not in subject.outputs:
        return ["it writes no text, so it answers no yes/no question"]
    request = subject.request("text", before=subject.drawn(picture(1)), seeds=SEEDS[:2], form="yes_no")
    candidates = subject.ask(request)
    _check_all(request, candidates, refusals=False)
    if not subject.backbone.capabilities.logits:
        return ["it declares no logits, so P(yes) is not due"]
    for candidate in candidates:
        _demand_p_yes(candidate)
        said = candidate.output.text.strip().lower() if isinstance(candidate.output, Text) else ""
        begins = subject.is_remote or said.startswith(("yes", "no"))
        demand(begins, f"the answer to a yes/no question begins {said[:20]!r}")
    return []


def _demand_p_yes(candidate: Candidate) -> None:
    p_yes = candidate.p_yes
    if p_yes is None:
        raise NotConforming("capabilities.logits is True, and a yes/no call came without p_yes")
    demand(0 <= p_yes <= 1, f"p_yes is {p_yes}; it must be in [0, 1]")


def rewards_are_given(subject: Subject) -> list[str]:
    """Case: a reward call gives a number if rewards are declared; its history ends with the answer to
    score.
    """
    if not subject.backbone.capabilities.rewards:
        return ["it declares no rewards, so it is never asked for one"]
    asked = subject.request("text", form="reward")
    request = replace(asked, history=subject.drawn(picture(1)))
    _check_all(request, subject.ask(request), refusals=False)
    return []


def refusal_is_data(subject: Subject) -> list[str]:
    """Case: a refusal is a candidate without output, so that other candidates still count."""
    refused = subject.script.refused
    if refused is None:
        return ["no message is known that it refuses (Script.refused)"]
    modality = subject.outputs[0]
    for candidate in subject.ask(subject.request(modality, parts=refused, seeds=SEEDS[:2])):
        demand(candidate.output is None, f"it answered what it was to refuse: {candidate.output}")
        demand(candidate.finish == "refused", f"a refusal has finish {candidate.finish!r}, not 'refused'")
        spent = candidate.cost + candidate.shared_cost
        demand(spent.calls >= 1, "a refusal costs no call")
    return []


def length_is_data(subject: Subject) -> list[str]:
    """Case: a text cut at `max_tokens` is a candidate, and costs at most that many new tokens."""
    if "text" not in subject.outputs:
        return ["it writes no text"]
    sampling = replace(subject.sampling(), max_tokens=1)
    for candidate in subject.ask(subject.request("text", sampling=sampling)):
        demand(candidate.output is not None, "a text of one token was refused")
        if candidate.finish == "length" and not subject.is_remote:
            new = candidate.cost.new_tokens
            demand(new <= 1, f"max_tokens=1 ended by length and cost {new} new tokens")
    return []


def other_modality_is_refused_before_compute(subject: Subject) -> list[str]:
    """Case: a modality that is not declared raises BackboneError without loading weights."""
    both: tuple[Modality, ...] = ("image", "text")
    missing = [modality for modality in both if modality not in subject.outputs]
    if not missing:
        return ["it has both modalities, so none is refused"]
    backbone = subject.again() if isinstance(subject.backbone, Local) else subject.backbone
    [modality] = missing
    request = Request(history=(Message("user", subject.script.ask),), modality=modality, seeds=SEEDS[:1])
    try:
        backbone.generate([request])
    except BackboneError:
        loaded = isinstance(backbone, Local) and backbone.is_loaded
        demand(not loaded, f"a call for {modality} loaded the weights before it was refused")
        return []
    raise NotConforming(f"it declares no {modality}, was asked for {modality}, and raised no BackboneError")
