"""Cases: models have different identities if and only if their answers may differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any, Final

from imug_tts.contracts import Backbone, ConfigurationError
from imug_tts.knobs import Knob, knobs_of
from imug_tts.registry import model_identity
from imug_tts.testing.conformance.subject import Subject, alike, demand, picture
from imug_tts.testing.conformance.values import other_value

__all__ = [
    "identity_is_stable",
    "knobs_of_one_identity_change_no_result",
    "result_knobs_change_the_identity",
    "runtime_knobs_leave_the_identity_alone",
]

_MEMBERS: Final = ("identity", "capabilities")
"""Members that a plain dataclass may have as fields; they are not knobs."""


def identity_is_stable(subject: Subject) -> list[str]:
    """Case: another object with the same knobs has the same identity, and calls do not change the
    identity.
    """
    if not is_dataclass(subject.backbone):
        return ["it is no component, so it has no knobs"]
    first = model_identity(subject.backbone)
    subject.ask(subject.any_request())
    demand(model_identity(subject.backbone) == first, "the identity is another after a call")
    demand(model_identity(subject.again()) == first, "a second object of the same knobs has another identity")
    return []


def _changed(
    subject: Subject, reasons: list[str], wanted: Callable[[Knob], bool]
) -> Iterator[tuple[Knob, Any, Backbone]]:
    """The model with one knob changed, for each selected knob with another known value."""
    for knob in knobs_of(type(subject.backbone)).values():
        if knob.part is not None or knob.name in _MEMBERS or not wanted(knob):
            continue
        try:
            value = other_value(knob, getattr(subject.backbone, knob.name), subject.others)
            yield knob, value, subject.again(**{knob.name: value})
        except ConfigurationError as error:
            reasons.append(str(error))


def result_knobs_change_the_identity(subject: Subject) -> list[str]:
    """Case: a knob that is declared neither runtime nor named changes the identity."""
    reasons: list[str] = []
    for knob, value, model in _changed(subject, reasons, lambda knob: not (knob.runtime or knob.named)):
        other = model_identity(model) != model_identity(subject.backbone)
        demand(other, f"{knob.name}={value!r} changes results, and the identity is the same")
    return reasons


def runtime_knobs_leave_the_identity_alone(subject: Subject) -> list[str]:
    """Case: a knob that is declared runtime does not change the identity."""
    for knob, value, model in _changed(subject, [], lambda knob: knob.runtime):
        same = model_identity(model) == model_identity(subject.backbone)
        demand(same, f"{knob.name}={value!r} is declared runtime, and changes the identity")
    return []


def knobs_of_one_identity_change_no_result(subject: Subject) -> list[str]:
    """Case: a model with another knob but the same identity gives the same candidates."""
    if subject.seeds == "none":
        return ["it declares seeds='none', so no results can be compared"]
    reasons: list[str] = []
    for knob, value, model in _changed(subject, reasons, lambda knob: knob.runtime or knob.named):
        if model_identity(model) != model_identity(subject.backbone):
            continue
        if knob.name in subject.unseen:
            reasons.append(f"{knob.name}: {subject.unseen[knob.name]}")
            continue
        same = _same_answers(subject, model)
        demand(same, f"{knob.name}={value!r} changes the answers, and the identity is the same")
    return reasons


def _same_answers(subject: Subject, other: Backbone) -> bool:
    for modality in set(subject.outputs) & other.capabilities.outputs:
        request = subject.request(modality, before=subject.drawn(picture(1)))
        [[candidate]] = other.generate([request])
        if not alike(subject.ask(request)[0], candidate, subject.seeds):
            return False
    return True
