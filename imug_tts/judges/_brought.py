"""The models that judges bring themselves, built from the judge's own knobs."""

from __future__ import annotations

from functools import cache
from typing import Any

from imug_tts.contracts import Backbone, Judge
from imug_tts.knobs import knobs_of
from imug_tts.registry import component_class

__all__ = ["brought_model"]


def brought_model(judge: Judge, name: str, knobs: type) -> Backbone:
    """The backbone called `name`, with the judge's values of the knobs that the class `knobs` declares.

    Judges with equal knobs share one model, with its weights and its limit of calls in flight.
    """
    return _model(judge.name, name, tuple((each, getattr(judge, each)) for each in knobs_of(knobs)))


@cache
def _model(judge: str, name: str, knobs: tuple[tuple[str, Any], ...]) -> Backbone:
    model: Backbone = component_class(Backbone, name, f"judge {judge}")(**dict(knobs))
    return model
