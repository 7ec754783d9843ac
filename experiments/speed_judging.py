"""Figure of image scoring: a judge of fixed latency on this machine, asked by a whole run through the engine.

`experiments/speed.py` holds it to its target; this file alone measures it:

    python experiments/speed_judging.py
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imug_tts.contracts import Scope, Score
from imug_tts.dialogue import Image, Part, Question, Sample, Text
from imug_tts.scoring.image import score_image
from tests.chat_server import process

if TYPE_CHECKING:
    from imug_tts.engine import Run

__all__ = ["judging_over_ideal"]

SAMPLES = 2000
LATENCY_S = 0.02
AT_ONCE = 8
POINTS = ("the hat is red", "the dog is there", "nothing else changed")


def judging_over_ideal() -> float:
    """Time to score 2,000 images, 8 at a time, over the judge's own 20 ms for each."""
    from imug_tts.engine import execute
    from imug_tts.tracking.none import NoTracker

    results = [{"point_id": number, "score": 4, "reason": "so"} for number in range(1, 1 + len(POINTS))]
    reply = json.dumps({"evaluation_results": results})
    with process(LATENCY_S, reply) as base_url, tempfile.TemporaryDirectory() as folder:
        run = _run(Path(folder), base_url)
        [summary] = execute([run], journal=Path(folder, "journal"), tracker=NoTracker())
    if summary.missing:
        raise RuntimeError(f"{summary.missing} images have no score")
    return summary.seconds / (SAMPLES * LATENCY_S / AT_ONCE)


@dataclass(frozen=True)
class _OneImageEach:
    """Dialogues of one image turn, which a judge scores beside one reference."""

    reference_image: Image
    identity: str = "one_image_each"
    asked: tuple[Sample, ...] = field(init=False)

    def __post_init__(self) -> None:
        question = Question(1, "image", (self.reference_image, Text("put a red hat on the dog")))
        asked = (Sample(str(n), "hybrid", "speed", "judging", (question,)) for n in range(SAMPLES))
        object.__setattr__(self, "asked", tuple(asked))

    def samples(self) -> Sequence[Sample]:
        return self.asked

    def reference(self, sample: Sample, number: int) -> Part | None:
        return None

    async def score(self, sample: Sample, outputs: Sequence[Part | None], scope: Scope) -> Score:
        target = outputs[-1]
        assert isinstance(target, Image)
        shown = [("Image_1 (turn 1, input)", self.reference_image)]
        return await score_image(
            scope, references=shown, target=target, instruction="put a red hat on the dog", points=POINTS
        )


def _run(folder: Path, base_url: str) -> Run:
    from imug_tts.backbones.openai_chat import OpenAIChat
    from imug_tts.engine import Arm, Run
    from imug_tts.recorded import AbsentModel, Recorded

    image, *drawn = _pictures(folder / "outputs")
    answers: dict[tuple[str, int], Part] = {
        (f"speed/judging/{number}", 1): picture for number, picture in enumerate(drawn)
    }
    arm = Arm(
        backbone=AbsentModel(identity="recorded"),
        strategy=Recorded(name="recorded", answers=answers, failures={}),
        benchmark=_OneImageEach(image),
        roles={"scorer": OpenAIChat(base_url=base_url, model="fake", concurrency=AT_ONCE)},
    )
    return Run(arm=arm, folder=folder / "run", identity={}, config={})


def _pictures(folder: Path) -> list[Image]:
    """Files of noise, 64 x 64, each another, of 12 kB: answers that are scored afterwards are files."""
    import numpy as np

    folder.mkdir()
    random = np.random.default_rng(0)
    pictures = []
    for number in range(1 + SAMPLES):
        drawn = Image.from_pixels(random.integers(0, 256, (64, 64, 3), np.uint8))
        path = folder / f"{number}.png"
        path.write_bytes(drawn.read())
        pictures.append(Image(drawn.sha256, path))
    return pictures


if __name__ == "__main__":
    sys.exit(print(f"judging_over_ideal {judging_over_ideal():8.3f}"))
