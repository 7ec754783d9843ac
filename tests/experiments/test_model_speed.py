"""What a model takes of memory and time, measured on a model whose time is known."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from experiments.model_speed import measured
from imug_tts.contracts import Candidate, Capabilities, Cost, Local, MemoryNeed, Request, Sampling
from imug_tts.dialogue import Message, Text
from imug_tts.testing.toys import CAPABILITIES

PER_TOKEN_S, PROMPT_S = 0.004, 0.02


class Clockwork(Local):
    """Sleeps for its prompt and for every token, and for long at its first call."""

    identity = "clockwork"
    device = "cpu"
    memory = MemoryNeed(weights=3_000_000_000)
    is_loaded = True

    def __init__(self) -> None:
        self.asked: list[Request] = []

    @property
    def capabilities(self) -> Capabilities:
        return replace(CAPABILITIES, outputs=frozenset({"text"}))

    def unload(self) -> None: ...

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        [request] = requests
        self.asked.append(request)
        tokens = request.sampling.max_tokens
        time.sleep(PROMPT_S + tokens * PER_TOKEN_S + (0.5 if len(self.asked) == 1 else 0))
        return [[Candidate(output=Text("so"), cost=Cost(calls=1, new_tokens=tokens))]]


def test_loading_is_no_part_of_it_and_each_request_is_answered_alone() -> None:
    model = Clockwork()
    requests = [
        Request(
            history=(Message("user", (Text(question),)),),
            modality="text",
            seeds=(0,),
            sampling=Sampling(temperature=0.0, max_tokens=20),
        )
        for question in ("left?", "right?")
    ]
    speed = measured(model, requests)
    assert [request.sampling.max_tokens for request in model.asked] == [20, 1, 20, 1, 20]
    # Sleep is never shorter than asked for, and a loaded machine makes it longer.
    assert speed.first_token_s >= PROMPT_S + PER_TOKEN_S
    assert speed.tokens_per_s <= 20 / (PROMPT_S + 20 * PER_TOKEN_S)
    assert speed.weights_gb == pytest.approx(3.0)
    assert speed.peak_gb > 0
    assert "2 questions one at a time: 3.00 GB of weights" in str(speed)
