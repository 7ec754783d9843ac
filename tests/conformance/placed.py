"""Small models with weights in this process, and small models on servers: good ones, and broken ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from imug_tts.contracts import (
    BackboneError,
    Candidate,
    Capabilities,
    Local,
    MemoryNeed,
    Remote,
    Request,
    TimedOut,
)
from imug_tts.knobs import component, knob
from tests.conformance.toys import Sketcher

if TYPE_CHECKING:
    import torch

__all__ = ["BROKEN_LOCAL", "BROKEN_REMOTE", "Courier", "Resident"]

_NUMBERS = 1 << 18


@component
class Resident(Sketcher, Local):
    """A sketcher with a megabyte of weights."""

    @property
    def device(self) -> str:
        return "cpu"

    @property
    def memory(self) -> MemoryNeed:
        return MemoryNeed(weights=4 * _NUMBERS)

    @property
    def is_loaded(self) -> bool:
        return "_weights" in vars(self)

    def unload(self) -> None:
        vars(self).pop("_weights", None)

    @cached_property
    def _weights(self) -> torch.Tensor:
        import torch

        return torch.zeros(_NUMBERS)

    def candidate(self, request: Request, seed: int) -> Candidate:
        assert not self._weights.any()
        return super().candidate(request, seed)


@component
class Underestimates(Resident):
    """Says that it takes a tenth of what it takes."""

    @property
    def memory(self) -> MemoryNeed:
        return MemoryNeed(weights=4 * _NUMBERS // 10)


@component
class LoadsTooEarly(Resident):
    """Loads its weights to say what it can."""

    @property
    def capabilities(self) -> Capabilities:
        assert not self._weights.any()
        return super().capabilities


@component
class StaysLoaded(Resident):
    """Says that it has freed its weights, and keeps them."""

    def unload(self) -> None:
        vars(self)["_kept"] = vars(self).pop("_weights", None)


@component
class ForgetsWhatItWas(Resident):
    """Gives other candidates after it was unloaded."""

    def unload(self) -> None:
        super().unload()
        vars(self)["_loads"] = vars(self).get("_loads", 0) + 1

    def candidate(self, request: Request, seed: int) -> Candidate:
        return super().candidate(request, seed + vars(self).get("_loads", 0))


BROKEN_LOCAL: dict[type[Sketcher], set[str]] = {
    Underestimates: {"memory_is_estimated"},
    LoadsTooEarly: {"declarations_are_whole"},
    StaysLoaded: {"unloading_frees_and_loads_again"},
    ForgetsWhatItWas: {"unloading_frees_and_loads_again"},
}
"""The cases that find what is wrong with each."""


@component
class Courier(Sketcher, Remote):
    """A sketcher behind a server that can be slow or away."""

    is_late: bool = knob("Whether its server is later than its time limit.", default=False, runtime=True)
    is_away: bool = knob("Whether its server does not answer.", default=False, runtime=True)

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, max_batch=1, logits=True, concurrent_batches=2)

    @property
    def dollars_per_call(self) -> float:
        return 0.0

    @cached_property
    def _interrupted(self) -> threading.Event:
        return threading.Event()

    @contextmanager
    def answered(self, request: Request) -> Iterator[Candidate]:
        [seed] = request.seeds
        if self.is_away:
            raise self.away()
        if self.is_late:
            self._interrupted.wait(0.3)
            raise self.late()
        yield self.candidate(request, seed)

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        return Remote.generate(self, requests)

    def late(self) -> Exception:
        return TimedOut("the server took longer than 0.3 s")

    def away(self) -> Exception:
        return BackboneError("the server cannot be reached")

    def unreachable(self) -> Mapping[str, str]:
        return {"http://server": "no answer"} if self.is_away else {}

    def interrupt(self) -> None:
        self._interrupted.set()


@component
class LateIsNoTimeout(Courier):
    """A late server ends in an error that says nothing of time."""

    def late(self) -> Exception:
        return BackboneError("no answer")


@component
class AwayIsAnyError(Courier):
    """A server that is away ends in an error of the client's library."""

    def away(self) -> Exception:
        return ConnectionError("refused")


@component
class NamesNoServer(Courier):
    """Never says which server is away."""

    def unreachable(self) -> Mapping[str, str]:
        return {}


@component
class CannotBeInterrupted(Courier):
    """Waits for its server, whatever comes."""

    def interrupt(self) -> None:
        pass

    def late(self) -> Exception:
        threading.Event().wait(2)
        return super().late()


BROKEN_REMOTE: dict[type[Sketcher], set[str]] = {
    LateIsNoTimeout: {"late_servers_time_out"},
    AwayIsAnyError: {"unreachable_servers_are_errors"},
    NamesNoServer: {"unreachable_servers_are_errors"},
    CannotBeInterrupted: {"interrupt_ends_the_wait"},
}
"""The cases that find what is wrong with each."""
