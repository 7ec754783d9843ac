"""One dialogue of the benchmark's form through each native backbone, judged by another of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imug_tts.benchmarks.imug import Imug
from imug_tts.contracts import Backbone, Candidate, Capabilities, Cost, Request, Summary, stored_responses
from imug_tts.dialogue import Text
from imug_tts.judges import BackboneJudge
from imug_tts.knobs import component, knob
from imug_tts.prompts import load
from imug_tts.records import image_path, read_manifest, read_turns
from imug_tts.registry import model_identity
from imug_tts.runs import Arm, Run, execute
from imug_tts.strategies import BestOfN, ChainOfThought, Direct, SelfVerification
from tests.benchmarks.imug_files import write_small
from tests.conformance.subjects import NATIVE, Subjects

QUESTIONS = "Is there a hat?\nIs it red?"


@component
class Examiner(Backbone):
    """Brings a checklist of its own, because small random weights write none; another model answers it."""

    model: Backbone = knob("Answers the questions of the checklist.")

    @property
    def identity(self) -> str:
        return "examiner:1"

    @property
    def capabilities(self) -> Capabilities:
        return self.model.capabilities

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        return [self._written(r) if r.form == "free" else self.model.generate([r])[0] for r in requests]

    def _written(self, request: Request) -> list[Candidate]:
        last = request.history[-1].parts[-1]
        assert last == Text(load(self.capabilities.prompts)["checklist"])
        cost = Cost(calls=1, prompt_tokens=1, new_tokens=12)
        return [Candidate(output=Text(QUESTIONS), cost=cost)] * len(request.seeds)


@dataclass(frozen=True)
class Played:
    """A dialogue that was played."""

    folder: Path
    summary: Summary
    generator: Backbone
    judge: Backbone

    @property
    def records(self) -> list[dict[str, Any]]:
        return [line.record for line in read_turns(self.folder)]

    def nodes(self) -> Iterator[Any]:
        for record in self.records:
            yield from stored_responses(record["response"])


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("imug"))


@pytest.fixture(scope="session", params=NATIVE)
def played(
    request: pytest.FixtureRequest, subjects: Subjects, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Played:
    """A dialogue of three turns: a question about an image, and two drawings."""
    number = NATIVE.index(request.param)
    subject, other = subjects[NATIVE[number]], subjects[NATIVE[number - 1]]
    judge = Examiner(model=other.backbone)
    draw = Direct(max_tokens=8, settings=subject.settings)
    verified = SelfVerification(
        inner=ChainOfThought(inner=draw, plan_tokens=8), judge=BackboneJudge(), max_rounds=2
    )
    arm = Arm(
        backbone=subject.backbone,
        strategy=BestOfN(n=2, inner=verified, judge=BackboneJudge()),
        benchmark=Imug(root=data, domains=("Apparel",)),
        roles={"verifier": judge},
    )
    folder = tmp_path_factory.mktemp("judged") / request.param
    [summary] = execute([Run(arm=arm, folder=folder, config={})], journal=folder.parent / "journal")
    return Played(folder, summary, subject.backbone, judge)


def test_every_turn_is_answered_and_recorded_whole(played: Played) -> None:
    assert [record["modality"] for record in played.records] == ["text", "image", "image"]
    assert {record["outcome"] for record in played.records} <= {"scored", "unscored"}
    images = [node["output"]["image"] for node in played.nodes() if "image" in node["output"]]
    assert len(images) >= 2 * 3
    assert all(image_path(played.folder, image).is_file() for image in images)


def test_each_candidate_has_its_plan_and_its_verdict(played: Played) -> None:
    for record in played.records[1:]:
        response = record["response"]
        assert [each["strategy"] for each in response["candidates"]] == ["self_verify", "self_verify"]
        assert response["chosen"] in (0, 1)
        verdicts = [each["verdict"] for each in response["candidates"]]
        assert all(verdict["status"] == "ok" and 0 <= verdict["score"] <= 1 for verdict in verdicts)
    assert any(node.get("plan") for node in played.nodes())
    assert (played.summary.verdicts, played.summary.unread_verdicts) > (0, 0)


def test_the_manifest_says_who_drew_and_who_judged(played: Played) -> None:
    manifest = read_manifest(played.folder)
    assert manifest.strategy.startswith("best_of_2+self_verify[max_rounds=2]+cot")
    assert manifest.models["generator"] == model_identity(played.generator)
    who = {judge["use"]: judge["models"]["verifier"] for judge in manifest.judges}
    assert who == dict.fromkeys(("selects", "verifies"), model_identity(played.judge))
    assert model_identity(played.generator) not in model_identity(played.judge)


def test_costs_are_those_of_the_generator_and_of_the_judge(played: Played) -> None:
    for record in played.records[1:]:
        cost = record["cost"]
        drafts = [node for node in stored_responses(record["response"]) if not node.get("candidates")]
        assert cost["generator"]["images"] == record["images"] == len(drafts)
        assert cost["judge"]["images"] == 0
        assert cost["judge"]["calls"] >= 3  # a checklist, and two questions about a candidate or more
        assert cost["generator"]["calls"] > cost["generator"]["images"]  # plans
        assert record["calls"] == cost["generator"]["calls"] + cost["judge"]["calls"]
