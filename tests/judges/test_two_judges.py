"""Two judges with two models in one arm: each asks its own, and labels, records and dry run name both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from experiments.dry_run import print_plans
from imug_tts.assemble import build_arm
from imug_tts.prompts import load
from imug_tts.records import read_manifest
from imug_tts.runs import Arm, Run, execute
from imug_tts.testing.chat_server import ChatServer, Reply, chat_server, completion
from imug_tts.testing.runs import ToyBenchmark, records
from imug_tts.testing.toys import ToyBackbone
from tests.composing import composed

CHECKLIST = load("default")["checklist"]


def clerk(number: int, body: dict[str, Any]) -> Reply:
    """Writes a checklist and finds everything as it should be."""
    last = body["messages"][-1]["content"][-1]["text"]
    return completion("Is it bright?\nIs it round?" if last == CHECKLIST else "yes")


@dataclass
class Servers:
    selector: ChatServer
    verifier: ChatServer


@pytest.fixture
def servers() -> Iterator[Servers]:
    with chat_server(clerk) as selector, chat_server(clerk) as verifier:
        selector.models, verifier.models = ("chooser",), ("checker",)
        yield Servers(selector, verifier)


def asked(server: ChatServer) -> Counter[str]:
    """How often a server was asked for checklists and for checks."""
    lasts = (body["messages"][-1]["content"][-1]["text"] for body in server.bodies)
    return Counter("checklist" if last == CHECKLIST else "check" for last in lasts)


def arm_of(*overrides: str) -> Arm:
    arm = build_arm(composed("strategy=best_of_n_self_verify", "strategy.n=2", *overrides))
    return replace(arm, backbone=ToyBackbone(), benchmark=ToyBenchmark(num_samples=3))


def outside(place: str, server: ChatServer, model: str) -> list[str]:
    knobs = {"base_url": server.base_url, "model": model}
    return [f"judge@{place}=openai", *(f"{place}.{key}={value}" for key, value in knobs.items())]


def played(arm: Arm, folder: Path) -> list[dict[str, Any]]:
    execute([Run(arm=arm, folder=folder / "run", config={})], journal=folder / "journal")
    return [record for record in records(folder / "run") if record["modality"] == "image"]


def test_two_outside_models_are_asked_each_for_its_own_judge(tmp_path: Path, servers: Servers) -> None:
    arm = arm_of(
        *outside("strategy.judge", servers.selector, "chooser"),
        *outside("strategy.inner.judge", servers.verifier, "checker"),
    )
    image_turns = played(arm, tmp_path)
    # every first round is accepted: two drafts a turn, each checked by one model and ranked by the other
    for server, model in ((servers.selector, "chooser"), (servers.verifier, "checker")):
        assert {body["model"] for body in server.bodies} == {model}
        assert asked(server) == {"checklist": len(image_turns), "check": 2 * 2 * len(image_turns)}
    assert isinstance(arm.backbone, ToyBackbone)
    assert not [request for request in arm.backbone.asked if request.form == "yes_no"]
    label = "best_of_2[judge=openai,judge.model=chooser]+self_verify[judge=openai,judge.model=checker]"
    models = {"strategy.judge": "chooser", "strategy.inner.judge": "checker"}
    for record in image_turns:
        assert record["strategy"] == label
        assert record["models"]["generator"] == "toy"
        assert all(models[place] in record["models"][place] for place in models)
        assert record["cost"]["judge"]["calls"] == 2 * (1 + 2 * 2)
    _check_manifest(tmp_path / "run", label, models)


def _check_manifest(folder: Path, label: str, models: dict[str, str]) -> None:
    manifest = read_manifest(folder)
    assert manifest.strategy == label
    assert manifest.arm.startswith(f"{label}#")
    found = {(j["place"], j["layer"], j["use"], j["judge"], j["kind"]) for j in manifest.judges}
    assert found == {
        ("strategy.judge", "best_of_2", "selects", "openai", "probability"),
        ("strategy.inner.judge", "self_verify", "verifies", "openai", "probability"),
    }
    for judge in manifest.judges:
        assert models[judge["place"]] in judge["models"]["verifier"]
        assert manifest.models[judge["place"]] == judge["models"]["verifier"]


def test_an_outside_selector_leaves_the_checks_to_the_backbone(tmp_path: Path, servers: Servers) -> None:
    arm = arm_of(
        *outside("strategy.judge", servers.selector, "chooser"), "judge@strategy.inner.judge=backbone"
    )
    image_turns = played(arm, tmp_path)
    drafts = sum(len(record["response"]["candidates"]) for record in image_turns)
    assert asked(servers.selector) == {"checklist": len(image_turns), "check": 2 * drafts}
    assert servers.verifier.bodies == []
    assert isinstance(arm.backbone, ToyBackbone)
    assert [request for request in arm.backbone.asked if request.form == "yes_no"]
    judges = {
        candidate["verdict"]["judge"]
        for record in image_turns
        for candidate in record["response"]["candidates"]
    }
    assert judges == {"openai"}
    checked = {
        draft["verdict"]["judge"]
        for record in image_turns
        for candidate in record["response"]["candidates"]
        for draft in candidate["candidates"]
    }
    assert checked == {"backbone"}
    assert image_turns[0]["strategy"] == (
        "best_of_2[judge=openai,judge.model=chooser]+self_verify[judge=backbone]"
    )
    asks = {judge["place"]: judge["models"]["verifier"] for judge in read_manifest(tmp_path / "run").judges}
    assert asks["strategy.inner.judge"] == "toy"
    assert "chooser" in asks["strategy.judge"]


def test_a_dry_run_names_both(capsys: pytest.CaptureFixture[str], tmp_path: Path, servers: Servers) -> None:
    arm = arm_of(
        *outside("strategy.judge", servers.selector, "chooser"),
        *outside("strategy.inner.judge", servers.verifier, "checker"),
    )
    print_plans([Run(arm=arm, folder=tmp_path / "run", config={}, title="two judges")])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    for name in ("chooser", "checker"):
        [line] = [line for line in lines if line.startswith("calls to") and name in line]
        assert "verifier" in line
    assert "best_of_2: selected by openai" in "\n".join(lines)
    assert "self_verify: verified by openai" in "\n".join(lines)


def test_judges_of_one_model_share_it_and_its_limit_of_calls_in_flight(servers: Servers) -> None:
    places = ("strategy.judge", "strategy.inner.judge")
    arm = arm_of(*(knob for place in places for knob in outside(place, servers.selector, "chooser")))
    models = arm.all_models
    assert models["strategy.judge"] is models["strategy.inner.judge"]
