"""What a configuration says of a server; needs no web framework."""

from __future__ import annotations

from dataclasses import dataclass

from imug_tts.calls import Budget
from imug_tts.knobs import Folder, component, knob
from imug_tts.serving.desk import Served
from imug_tts.serving.reading import Limits

__all__ = ["Service", "ServiceSettings"]


@component
class ServiceSettings:
    """Where a model is served, and within what limits."""

    host: str = knob(
        "Address; 0.0.0.0 to be reached from other machines: there is no password.",
        default="127.0.0.1",
        runtime=True,
    )
    port: int = knob("Port; 0 for any that is free.", default=8000, ge=0, le=65535, runtime=True)
    seed: int = knob("With the history, decides every answer, unless the request brings a seed.", default=0)
    budget: Budget = knob("Caps per turn.", default_factory=Budget)
    journal: Folder | None = knob(
        "A folder that keeps every finished call for the next server; null: kept until the end.",
        default=None,
        runtime=True,
    )
    limits: Limits = knob("What one request may bring.", default_factory=Limits, runtime=True)


@dataclass(frozen=True, kw_only=True)
class Service:
    """What is served, and where."""

    served: Served
    settings: ServiceSettings
