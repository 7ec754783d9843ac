"""Speed of scoring: with a judge of fixed latency through the engine, and by rule.

`experiments/speed.py image_judging rule_scoring_s` compares these figures with their targets.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imug_tts.backbones.http import HttpClient
from imug_tts.contracts import Benchmark, Scope, Score
from imug_tts.dialogue import Image, Part, Question, Sample, Text
from imug_tts.scoring import mcq
from imug_tts.scoring.grid import score_grid
from imug_tts.scoring.image import score_image
from imug_tts.testing.chat_server import process

if TYPE_CHECKING:
    from imug_tts.runs import Rescoring

__all__ = ["judging_over_ideal", "rule_scoring_s"]

SAMPLES = 2000
LATENCY_S = 0.02
AT_ONCE = 8
POINTS = ("the hat is red", "the dog is there", "nothing else changed")


def judging_over_ideal() -> float:
    """Time to score 2,000 images, 8 at a time, divided by the judge's own 20 ms per image; the minimum of
    three.
    """
    return min(_judging_over_ideal() for _ in range(3))


def _judging_over_ideal() -> float:
    from imug_tts.runs import execute

    results = [{"point_id": number, "score": 4, "reason": "so"} for number in range(1, 1 + len(POINTS))]
    reply = json.dumps({"evaluation_results": results})
    ideal_s = SAMPLES * LATENCY_S / AT_ONCE
    with process(LATENCY_S, reply) as base_url, tempfile.TemporaryDirectory() as folder:
        bare_s = _bare_s(base_url)
        scoring = _scoring(Path(folder), base_url)
        [summary] = execute([scoring], journal=Path(folder, "journal"))
    if summary.missing:
        raise RuntimeError(f"{summary.missing} images have no score")
    over_ideal = summary.seconds / ideal_s
    bare = f"{AT_ONCE} threads that only send and receive: {bare_s / ideal_s:.3f}"
    print(f"  {over_ideal:.3f}; {bare}", file=sys.stderr)
    return over_ideal


def _bare_s(base_url: str) -> float:
    """Seconds of as many calls without the engine: the overhead of the machine and of HTTP."""
    client = HttpClient(timeout_s=60, proxies=False)
    body = json.dumps({"model": "fake", "messages": 32_000 * "x"}).encode()
    started = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda _: client.send("POST", base_url, body=body), range(SAMPLES)))
    return time.perf_counter() - started


def rule_scoring_s() -> float:
    """Seconds to score the questions and drawings of the full benchmark by rule, and to summarise the
    scores.
    """
    from imug_tts.benchmarks.imug import Imug
    from imug_tts.benchmarks.imug.scores import read_scores, write_scores
    from imug_tts.benchmarks.imug.summary import official_summary, summary_with_missing
    from imug_tts.benchmarks.imug.synthetic import FULL_SIZE, synthetic_samples
    from imug_tts.benchmarks.imug.writing import write_data

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder / "data", synthetic_samples(FULL_SIZE, 0, 64))
        samples = Imug(root=folder / "data").samples()
        started = time.perf_counter()
        write_scores(folder, "model", list(_scored_by_rule(samples)))
        scores = read_scores(folder / "model")
        official_summary(scores).write(folder)
        summary_with_missing(scores, samples).write(folder, "summary_with_missing")
        return time.perf_counter() - started


def _scored_by_rule(samples: Sequence[Sample]) -> Iterator[dict[str, Any]]:
    """Records of all questions, answered with two letters, and of all drawings of cubes."""
    drawing = _noise(np.random.default_rng(0))
    for sample in samples:
        place = {"domain": sample.domain, "task": sample.task, "sample_id": sample.sample_id}
        for question in sample.questions:
            if question.modality == "text":
                expected = "".join(letter for letter in question.key["answer"] if letter in "ABCDEFG")
                score = Score(value=mcq.official("A, B", expected), detail={"expected": expected})
            elif "grid" in question.key:
                score = score_grid(
                    drawing, question.key["grid"], len(question.key["evaluation_points"]), "official"
                )
            else:
                continue
            scored = {"outcome": "scored", "score": score.value, "score_detail": score.detail}
            yield {**place, "turn": question.number, "modality": question.modality, **scored}


@dataclass(frozen=True)
class _OneImageEach(Benchmark):
    """A benchmark of single image turns, which a judge scores with one reference."""

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


def _scoring(folder: Path, base_url: str) -> Rescoring:
    from imug_tts.backbones.openai_chat import OpenAIChat
    from imug_tts.runs import Rescoring, Source

    image, *drawn = _pictures(folder / "outputs")
    answers: dict[tuple[str, int], Part] = {
        (f"speed/judging/{number}", 1): picture for number, picture in enumerate(drawn)
    }
    benchmark = _OneImageEach(image)
    return Rescoring(
        folder=folder / "run",
        config={},
        source=Source.of_answers("recorded", benchmark, answers, failures={}),
        benchmark=benchmark,
        scorer=OpenAIChat(base_url=base_url, model="fake", concurrency=AT_ONCE),
    )


def _pictures(folder: Path) -> list[Image]:
    """Different noise images of 64 x 64 pixels (12 kB) as files, because existing answers are files."""
    folder.mkdir()
    random = np.random.default_rng(0)
    pictures = []
    for number in range(1 + SAMPLES):
        drawn = _noise(random)
        path = folder / f"{number}.png"
        path.write_bytes(drawn.read())
        pictures.append(Image(drawn.sha256, path))
    return pictures


def _noise(random: np.random.Generator) -> Image:
    return Image.from_pixels(random.integers(0, 256, (64, 64, 3), np.uint8))
