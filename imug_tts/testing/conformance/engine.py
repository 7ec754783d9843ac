"""Cases: the model inside the engine, over a dialogue and when memory runs out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from imug_tts.contracts import Backbone, Candidate, Capabilities, Request, Scope
from imug_tts.dialogue import Message, Modality, Part, Turn
from imug_tts.strategies import Direct
from imug_tts.testing.conformance.costs import branches
from imug_tts.testing.conformance.subject import NotConforming, Subject, alike, demand, new_objects, picture
from imug_tts.testing.toys import within

__all__ = ["dialogue_of_six_turns", "out_of_memory_is_survived"]

_TURNS: Final[tuple[Modality, ...]] = ("text", "image", "text", "image", "text", "image")
_FITS: Final = 1
"""Maximum number of candidates that fit into memory in the out-of-memory case."""
_OPERATIONS: Final = 40
"""Number of torch operations before the out-of-memory error, so that it interrupts the model's work."""


def dialogue_of_six_turns(subject: Subject) -> list[str]:
    """Case: six turns, alternating text and image, each with the history of all earlier turns."""
    history: tuple[Message, ...] = ()
    script = subject.script
    for number, wanted in enumerate(_TURNS, start=1):
        modality = wanted if wanted in subject.outputs else subject.outputs[0]
        parts = script.draw if modality == "image" and number <= 2 else script.redraw
        history = (*history, Message("user", script.ask if modality == "text" else parts))
        output = _answer(subject, Turn("conformance", number, modality, history))
        if output is None:
            raise NotConforming(f"turn {number} ({modality}) was refused")
        history = (*history, Message("assistant", (output,)))
    return []


def _answer(subject: Subject, turn: Turn) -> Part | None:
    direct = Direct(text_temperature=1.0, max_tokens=subject.max_tokens, settings=subject.settings)

    async def run(scope: Scope) -> Part | None:
        return (await direct.respond(turn, scope)).output

    return within(run, turn, subject.backbone)


def out_of_memory_is_survived(subject: Subject) -> list[str]:
    """Case: after torch.OutOfMemoryError within a batch the engine halves the batch and loses no
    candidate.
    """
    if subject.backbone.capabilities.max_batch == 1:
        return ["it takes one call at a time (max_batch is 1)"]
    for modality in subject.outputs:
        request = subject.request(modality, before=subject.drawn(picture(1)))
        tight = _Tight(subject.backbone)
        with new_objects():  # the engine collects garbage after such an error
            seeds, made, _ = branches(subject, tight, request)
        demand(tight.failures > 0, f"{modality}: no batch was larger than {_FITS}")
        demand(len(made) == len(seeds), f"{modality}: {len(made)} of {len(seeds)} candidates came")
        if subject.seeds == "none":
            continue
        for seed, candidate in zip(seeds, made, strict=True):
            [alone] = subject.ask(subject.request(modality, before=subject.drawn(picture(1)), seeds=(seed,)))
            same = alike(alone, candidate, subject.seeds)
            demand(same, f"{modality}: after an out-of-memory error a candidate is {candidate}, not {alone}")
    return []


@dataclass
class _Tight(Backbone):
    """A model on a device with memory for one candidate at a time."""

    inner: Backbone
    failures: int = 0

    @property
    def identity(self) -> str:
        return self.inner.identity

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        import torch

        if sum(len(request.seeds) for request in requests) <= _FITS:
            return self.inner.generate(requests)
        self.failures += 1
        with _memory_ends_after(_OPERATIONS):
            self.inner.generate(requests)
        raise torch.OutOfMemoryError("out of memory after the last operation")


def _memory_ends_after(operations: int) -> Any:
    """A context in which that many torch operations of this thread succeed, and later ones fail."""
    import torch
    from torch.utils import _python_dispatch

    mode: Any = _python_dispatch.TorchDispatchMode

    class Ending(mode):  # type: ignore[misc]
        done = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.done += 1
            if self.done > operations:
                raise torch.OutOfMemoryError("out of memory, as the conformance suite pretends")
            return func(*args, **(kwargs or {}))

    return Ending()
