"""The checklist judge behind an endpoint, and scoring by one: through the engine, each call paid once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imug_tts.configuration import build_scorer
from imug_tts.contracts import Candidate, ConfigurationError, Request, Scope, Score
from imug_tts.dialogue import Image, Part, Sample
from imug_tts.engine import Arm, Run, Summary, execute
from imug_tts.judges import OpenAIJudge
from imug_tts.prompts import load
from imug_tts.scoring.image import score_image
from imug_tts.strategies import BestOfN, Direct, label
from tests.chat_server import ChatServer, Reply, chat_server, completion
from tests.engine.toy import Listener, ToyBenchmark, records
from tests.support import ToyBackbone

CHECKLIST = load("default")["checklist"]


class Painter(ToyBackbone):
    """Draws real PNGs, one shade for each hash of history and seed."""

    def _draw(self, request: Request, seed: int) -> Candidate:
        drawn = super()._draw(request, seed)
        if not isinstance(drawn.output, Image):
            return drawn
        shade = int(drawn.output.sha256[:2], 16)
        pixels = np.full((4, 4, 3), shade, np.uint8)
        return Candidate(output=Image.from_pixels(pixels), cost=drawn.cost)


@dataclass(frozen=True)
class GradedBenchmark(ToyBenchmark):
    """Images are graded by the scorer on two points."""

    async def score(self, sample: Sample, outputs: Sequence[Part | None], scope: Scope) -> Score:
        target = outputs[-1]
        if not isinstance(target, Image):
            return Score(value=1.0)
        return await score_image(
            scope, references=[], target=target, instruction="draw", points=("it is", "it is not")
        )


def clerk(number: int, body: dict[str, Any]) -> Reply:
    """Writes a checklist, answers its questions, and grades images."""
    last = body["messages"][-1]["content"][-1]["text"]
    if last == CHECKLIST:
        return completion("Is it bright?\nIs it round?")
    if "evaluation_results" in last:
        results = [{"point_id": 2, "score": 4, "reason": "so"}, {"point_id": 1, "score": 2, "reason": "no"}]
        return completion(json.dumps({"evaluation_results": results}))
    return completion("yes" if "bright" in last else "No, it is square.")


def played(server: ChatServer, folder: Path) -> Summary:
    judge = OpenAIJudge(base_url=server.base_url, model="judge", max_attempts=1, patience_s=0)
    arm = Arm(
        backbone=Painter(),
        strategy=BestOfN(inner=Direct(), judge=judge, n=2),
        benchmark=GradedBenchmark(),
        roles={"verifier": judge.verifier, "scorer": judge.verifier},
    )
    run = Run(arm=arm, folder=folder, identity={"seed": 0}, config={})
    [summary] = execute([run], journal=folder.parent / "journal", tracker=Listener())
    return summary


def test_a_checklist_is_asked_of_the_endpoint_and_the_scorer_grades(tmp_path: Path) -> None:
    with chat_server(clerk) as server:
        summary = played(server, tmp_path / "run")
    image_turn = records(tmp_path / "run")[0]
    verdict = image_turn["response"]["candidates"][0]["verdict"]
    assert (verdict["judge"], verdict["score"]) == ("openai", 0.5)
    assert verdict["failed"] == ["Is it round? it is square."]
    assert image_turn["score"] == pytest.approx(0.6)
    assert (summary.scored, summary.missing) == (24, 0)
    assert server.most_at_once <= 8


def test_another_start_with_the_same_journal_makes_no_call(tmp_path: Path) -> None:
    with chat_server(clerk) as server:
        played(server, tmp_path / "run")
        paid = len(server.bodies)
        played(server, tmp_path / "again")
        assert len(server.bodies) == paid
    assert records(tmp_path / "again") == records(tmp_path / "run")


def test_what_an_outage_left_is_asked_at_the_next_start_and_nothing_else(tmp_path: Path) -> None:
    def shaky(number: int, body: dict[str, Any]) -> Reply:
        return Reply(status=503) if number % 7 == 6 else clerk(number, body)

    with chat_server(shaky) as server:
        broken = played(server, tmp_path / "run")
        answered = [body for number, body in enumerate(server.bodies) if number % 7 != 6]
    assert {record["outcome"] for record in records(tmp_path / "run")} == {"scored", "judge_error"}
    with chat_server(clerk) as server:
        mended = played(server, tmp_path / "run")
    assert broken.missing > 0
    assert mended.missing == 0
    assert not any(body in answered for body in server.bodies)


def test_the_verifier_is_the_endpoint_and_the_scorer_may_be_another() -> None:
    judge = OpenAIJudge(base_url="https://example.org/v1", model="gpt", concurrency=3)
    assert (judge.verifier.base_url, judge.verifier.model) == ("https://example.org/v1", "gpt")
    assert judge.verifier.concurrency == 3
    scorer = build_scorer({"name": "openai", "model": "gpt", "base_url": "https://example.org/v1"})
    assert scorer == OpenAIJudge(base_url="https://example.org/v1", model="gpt").verifier


def test_where_a_model_is_served_is_no_part_of_an_arms_name() -> None:
    judge = OpenAIJudge(base_url="http://node7:8000/v1", concurrency=2, max_questions=4)
    assert label(BestOfN(inner=Direct(), judge=judge)) == "best_of_4[judge=openai,judge.max_questions=4]"


@pytest.mark.parametrize("knobs", [{"base_url": "node7"}, {"max_questions": 0}, {"reask_temperature": 0}])
def test_knobs_out_of_range_are_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(knobs))} is"):
        OpenAIJudge(**knobs)
