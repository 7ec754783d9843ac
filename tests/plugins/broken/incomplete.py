"""A benchmark without a `score` method."""

from __future__ import annotations

from collections.abc import Sequence

from imug_tts.contracts import Benchmark
from imug_tts.dialogue import Sample
from imug_tts.knobs import component


@component
class Incomplete(Benchmark):
    """Has samples, and cannot score them."""

    @property
    def identity(self) -> str:
        return "incomplete:1"

    def samples(self) -> Sequence[Sample]:
        return []
