"""One model call: its request, and its identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from imug_tts.contracts import Form, Request, Sampling
from imug_tts.dialogue import Message, Modality

__all__ = ["Call", "request_of"]

_FORMS: Final = {"free": "False", "yes_no": "True", "reward": "reward"}
"""The form of a call as its identity spells it; "False" and "True" keep journals of version 0.1 valid."""


@dataclass(frozen=True)
class Call:
    """A request for one candidate: one seed on one history. Greedy calls ignore the seed."""

    history: tuple[Message, ...]
    modality: Modality
    seed: int
    sampling: Sampling
    form: Form = "free"

    def __post_init__(self) -> None:
        if self.sampling.temperature == 0:
            object.__setattr__(self, "seed", 0)

    @cached_property
    def prompt_id(self) -> str:
        """SHA-256 of the messages of the history."""
        return hashlib.sha256("".join(m.digest for m in self.history).encode()).hexdigest()

    def identity(self, backbone_identity: str) -> str:
        """Return the SHA-256 of everything that determines the candidate, model and seed included."""
        s = self.sampling
        text = (
            f"{backbone_identity}\n{self.prompt_id}\n{self.modality}\n"
            f"{s.temperature!r} {s.max_tokens}\n{self.seed}\n{_FORMS[self.form]}"
        )
        if s.settings:
            text += f"\n{json.dumps(s.settings)}"
        return hashlib.sha256(text.encode()).hexdigest()


def request_of(calls: Sequence[Call]) -> Request:
    """Return one request for calls that differ in their seeds only."""
    first = calls[0]
    return Request(
        history=first.history,
        modality=first.modality,
        seeds=tuple(call.seed for call in calls),
        sampling=first.sampling,
        form=first.form,
    )
