"""A backbone whose prompt set lacks most prompts."""

from __future__ import annotations

from collections.abc import Sequence

from imug_tts.contracts import Backbone, Candidate, Capabilities, Request
from imug_tts.dialogue import Text
from imug_tts.knobs import component

PROMPTS = {"plan": "Say how."}


@component
class Wordless(Backbone):
    """Answers A."""

    @property
    def identity(self) -> str:
        return "wordless:1"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            outputs=frozenset({"text", "image"}),
            reads_images=True,
            draws_from_images=True,
            seeds="exact",
            logits=False,
            max_batch=1,
            prompts="wordless",
        )

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        return [[Candidate(output=Text("A")) for _ in request.seeds] for request in requests]
