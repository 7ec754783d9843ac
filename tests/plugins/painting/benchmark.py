"""A benchmark of three dialogues about shades of grey, scored exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imug_tts.contracts import Benchmark, Scope, Score
from imug_tts.dialogue import Image, Part, Question, Sample, Text
from imug_tts.knobs import component, knob


@component
class Shades(Benchmark):
    """Paint a shade, tell it, paint another. Image scores are how near the shade is."""

    step: int = knob("Difference of the shades of two dialogues.", default=40, ge=1, le=60)

    @property
    def identity(self) -> str:
        return f"shades:1:{self.step}"

    def samples(self) -> Sequence[Sample]:
        return [self._sample(index) for index in range(3)]

    def reference(self, sample: Sample, number: int) -> Part:
        """The answer that history=gold shows."""
        key = sample.questions[number - 1].key
        if "letter" in key:
            return Text(key["letter"])
        return Image.from_pixels(np.full((8, 8, 3), key["shade"], np.uint8))

    async def score(self, sample: Sample, outputs: Sequence[Part | None], scope: Scope) -> Score:
        key, output = sample.questions[len(outputs) - 1].key, outputs[-1]
        if isinstance(output, Image):
            off = abs(float(output.pixels().mean()) - key["shade"])
            return Score(value=1 - off / 255, detail={"off_by": off})
        right = isinstance(output, Text) and output.text == key["letter"]
        return Score(value=float(right))

    def _sample(self, index: int) -> Sample:
        shade = 60 + self.step * index
        questions = (
            Question(1, "image", (Text(f"Paint the shade {shade}."),), {"shade": shade}),
            Question(2, "text", (Text("Is it grey? A yes B no"),), {"letter": "A"}),
            Question(3, "image", (Text(f"Now the shade {shade + 10}."),), {"shade": shade + 10}),
        )
        return Sample(str(index), "greys", "Painting", "shades", questions)
