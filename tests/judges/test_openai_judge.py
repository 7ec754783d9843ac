"""The checklist judge on an endpoint, and scoring by it: through the engine, each call paid once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from imug_tts.assemble import build_scorer
from imug_tts.backbones.openai_chat import OpenAIChat
from imug_tts.composition import label
from imug_tts.contracts import Candidate, ConfigurationError, Request, Scope, Score, Summary
from imug_tts.dialogue import Image, Part, Sample
from imug_tts.judges import OpenAIJudge
from imug_tts.prompts import load
from imug_tts.runs import Arm, Run, execute
from imug_tts.scoring.image import score_image
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.chat_server import ChatServer, Reply, chat_server, completion
from imug_tts.testing.runs import Listener, ToyBenchmark, records
from imug_tts.testing.toys import ToyBackbone

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


def played(server: ChatServer, folder: Path, ask: Literal["each", "together"] = "each") -> Summary:
    judge = OpenAIJudge(base_url=server.base_url, model="judge", max_attempts=1, patience_s=0, ask=ask)
    arm = Arm(
        backbone=Painter(),
        strategy=BestOfN(inner=Direct(), judge=judge, n=2),
        benchmark=GradedBenchmark(),
        roles={"scorer": judge.asked_model},
    )
    run = Run(arm=arm, folder=folder, config={})
    [summary] = execute([run], journal=folder.parent / "journal", trackers=[Listener()])
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


def test_together_a_candidate_costs_one_call_in_which_the_images_are_sent_once(tmp_path: Path) -> None:
    def reply(number: int, body: dict[str, Any]) -> Reply:
        return completion("1. yes\n2. No, it is square.") if "1. Is" in asked(body) else clerk(number, body)

    def asked(body: dict[str, Any]) -> str:
        return str(body["messages"][-1]["content"][-1]["text"])

    with chat_server(reply) as each, chat_server(reply) as together:
        alone = played(each, tmp_path / "each" / "run")
        summary = played(together, tmp_path / "together" / "run", ask="together")
    first, second = (
        records(tmp_path / name / "run")[0]["response"]["candidates"][0]["verdict"]
        for name in ("each", "together")
    )
    assert first == second
    assert (alone.scored, summary.scored) == (24, 24)
    checks, checks_together = (
        [body for body in server.bodies if "Verify your answer" in asked(body)] for server in (each, together)
    )
    assert len(checks) == 2 * len(checks_together) > 0
    assert json.dumps(checks).count("image_url") == 2 * json.dumps(checks_together).count("image_url") > 0


def test_another_invocation_with_the_same_journal_makes_no_call(tmp_path: Path) -> None:
    with chat_server(clerk) as server:
        played(server, tmp_path / "run")
        paid = len(server.bodies)
        played(server, tmp_path / "again")
        assert len(server.bodies) == paid
    assert records(tmp_path / "again") == records(tmp_path / "run")


def test_what_an_outage_left_is_asked_by_the_next_invocation_and_nothing_else(tmp_path: Path) -> None:
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
    model = judge.models["verifier"]
    assert isinstance(model, OpenAIChat)
    assert (model.base_url, model.model, model.concurrency) == ("https://example.org/v1", "gpt", 3)
    scorer = build_scorer({"name": "openai", "model": "gpt", "base_url": "https://example.org/v1"})
    assert scorer == OpenAIJudge(base_url="https://example.org/v1", model="gpt").models["verifier"]


def test_where_a_model_is_served_is_no_part_of_an_arms_name() -> None:
    judge = OpenAIJudge(base_url="http://node7:8000/v1", concurrency=2, max_questions=4)
    assert label(BestOfN(inner=Direct(), judge=judge)) == "best_of_4[judge=openai,judge.max_questions=4]"


@pytest.mark.parametrize("knobs", [{"base_url": "node7"}, {"max_questions": 0}, {"reask_temperature": 0}])
def test_knobs_out_of_range_are_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(knobs))} is"):
        OpenAIJudge(**knobs)
