"""The configuration of a server; imports no web framework."""

from __future__ import annotations

from dataclasses import dataclass

from imug_tts.calls import Budget
from imug_tts.knobs import Folder, component, knob
from imug_tts.serving.handler import Served
from imug_tts.serving.reading import Limits

__all__ = ["Service", "ServiceSettings"]


@component
class ServiceSettings:
    """The address, seed, budget, journal and limits of a server."""

    host: str = knob(
        "Address to listen on; 0.0.0.0 accepts other machines, without any password.",
        default="127.0.0.1",
        runtime=True,
    )
    port: int = knob("Port; 0 for any free one.", default=8000, ge=0, le=65535, runtime=True)
    seed: int = knob("Seed of requests that have none; with the history it determines the answer.", default=0)
    budget: Budget = knob("Limits on calls per turn.", default_factory=Budget)
    journal: Folder | None = knob(
        "Folder of the journal of completed calls, reused after a restart; null for a temporary one.",
        default=None,
        runtime=True,
    )
    limits: Limits = knob("Limits on requests.", default_factory=Limits, runtime=True)


@dataclass(frozen=True, kw_only=True)
class Service:
    """The model and strategy of a server, and its settings."""

    served: Served
    settings: ServiceSettings
