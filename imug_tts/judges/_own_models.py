"""The models that judges own: built from the judge's knobs, not from the run's configuration."""

from __future__ import annotations

from functools import cache
from typing import Any

from imug_tts.contracts import Backbone, Judge
from imug_tts.knobs import knobs_of
from imug_tts.registry import component_class

__all__ = ["own_model"]


def own_model(judge: Judge, name: str, knobs: type) -> Backbone:
    """Return the backbone `name`, built with the judge's values of the knobs of class `knobs`.

    Judges with equal knobs share one model, with its weights and its limit of calls in flight.
    """
    return _model(judge.name, name, tuple((each, getattr(judge, each)) for each in knobs_of(knobs)))


@cache
def _model(judge: str, name: str, knobs: tuple[tuple[str, Any], ...]) -> Backbone:
    model: Backbone = component_class(Backbone, name, f"judge {judge}")(**dict(knobs))
    return model
