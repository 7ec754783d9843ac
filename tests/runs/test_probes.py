"""Probes detect servers that ignore seeds, images or the assistant's text."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imug_tts.backbones.imug_server import ImugServerBackbone
from imug_tts.contracts import ConfigurationError, Findings
from imug_tts.judges import BackboneJudge
from imug_tts.runs import Arm, Run, check_and_probe, execute
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.infer_servers import Asked, InferServer, Reply, drawn, infer_server, unused_url
from imug_tts.testing.runs import ToyBenchmark

ALL = Findings(seed_changes=True, seed_repeats=True, newest_image=True, older_image=True, assistant=True)

Body = dict[str, Any]


def everything(body: Body) -> object:
    return body


def no_seed(body: Body) -> object:
    return {**body, "seed": 0}


def first_image_only(body: Body) -> object:
    parts = [part for message in body["history"] for part in message["content"]]
    images = [part for part in parts if part["type"] == "image"]
    return [part for part in parts if part["type"] == "text"], images[:1], body["seed"]


def newest_image_only(body: Body) -> object:
    parts = [part for message in body["history"] for part in message["content"]]
    images = [part for part in parts if part["type"] == "image"]
    return [part for part in parts if part["type"] == "text"], images[-1:], body["seed"]


def users_only(body: Body) -> object:
    return [message for message in body["history"] if message["role"] == "user"], body["seed"]


@contextmanager
def painting(sees: Callable[[Body], object] = everything) -> Iterator[InferServer]:
    """A server whose images depend on what it sees of a request."""

    def answer(asked: Asked) -> Reply:
        if not asked.wants_image:
            return Reply(body=b'{"response":{"text":"Yes."}}')
        digest = hashlib.sha256(json.dumps(sees(asked.json())).encode()).digest()
        image = base64.b64encode(drawn(digest[0]))
        return Reply(body=b'{"response":{"image":"%s"}}' % image)

    with infer_server(answer, health=b'{"seeds":true}') as server:
        yield server


def run_on(*urls: str, folder: Path, n: int = 1) -> Run:
    backbone = ImugServerBackbone(urls=urls, model="toy", probe=True, patience_s=0.5, dollars_per_call=0.25)
    strategy = BestOfN(inner=Direct(), judge=BackboneJudge(ask="each"), n=n) if n > 1 else Direct()
    arm = Arm(backbone=backbone, strategy=strategy, benchmark=ToyBenchmark(num_samples=1))
    return Run(arm=arm, folder=folder / "run", config={})


@pytest.mark.parametrize(
    ("sees", "found", "calls"),
    [
        (everything, ALL, 6),
        (no_seed, replace(ALL, seed_changes=False), 7),
        (first_image_only, replace(ALL, newest_image=False), 6),
        (newest_image_only, replace(ALL, older_image=False), 6),
        (users_only, replace(ALL, newest_image=False, assistant=False), 6),
    ],
)
def test_what_a_server_ignores_is_found_with_few_calls(
    tmp_path: Path, sees: Callable[[Body], object], found: Findings, calls: int
) -> None:
    with painting(sees) as server:
        [probed] = check_and_probe([run_on(server.url, folder=tmp_path)], None)
    assert replace(probed.findings, cost=found.cost) == found
    assert (probed.cost.calls, server.calls.total(), probed.cost.dollars) == (calls, calls, 0.25 * calls)


def test_a_server_that_draws_anew_at_every_call_has_no_seeds_and_is_asked_no_further(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        image = base64.b64encode(drawn(20 * asked.number))
        return Reply(body=b'{"response":{"image":"%s"}}' % image)

    with infer_server(answer, health=b'{"seeds":true}') as server:
        run = run_on(server.url, folder=tmp_path, n=4)
        [probed] = check_and_probe([run], None)
    assert (probed.findings.seed_changes, probed.findings.seed_repeats) == (True, False)
    assert probed.findings.older_image is None
    assert run.arm.backbone.capabilities.seeds == "none"
    assert server.calls.total() == 3


def test_candidates_are_refused_where_all_seeds_give_one_image(tmp_path: Path) -> None:
    with painting(no_seed) as server:
        with pytest.raises(ConfigurationError, match="every seed gives the same image"):
            execute([run_on(server.url, folder=tmp_path, n=4)], journal=tmp_path / "journal")
        [summary] = execute([run_on(server.url, folder=tmp_path)], journal=tmp_path / "journal")
    assert summary.outcomes == {"scored": 4}


@pytest.mark.parametrize(
    ("sees", "images", "limit"),
    [
        (newest_image_only, 1, ""),
        (first_image_only, None, "the newest image of a history does not change an image"),
        (users_only, None, "what the assistant wrote before does not change an image"),
    ],
)
def test_what_does_not_count_is_declared_and_kept_in_the_manifest(
    tmp_path: Path, sees: Callable[[Body], object], images: int | None, limit: str
) -> None:
    with painting(sees) as server:
        run = run_on(server.url, folder=tmp_path)
        execute([run], journal=tmp_path / "journal")
    declared = run.arm.backbone.capabilities
    assert declared.context_images == images
    assert limit in "; ".join(declared.limits)
    manifest = json.loads((run.folder / "manifest.json").read_text())
    found = manifest["probes"]["generator"]
    assert (found["newest_image"], found["older_image"], found["assistant"]) == (
        sees is newest_image_only,
        sees is not newest_image_only,
        sees is not users_only,
    )


def test_the_worst_of_several_servers_holds(tmp_path: Path) -> None:
    with painting() as sound, painting(newest_image_only) as other:
        run = run_on(sound.url, other.url, folder=tmp_path)
        assert len(check_and_probe([run], None)) == 2
    assert run.arm.backbone.capabilities.context_images == 1


def test_probes_are_paid_once_by_server_and_model_and_are_part_of_what_a_run_spent(tmp_path: Path) -> None:
    with painting() as server:
        spent = []
        for folder in ("first", "second"):
            [summary] = execute([run_on(server.url, folder=tmp_path / folder)], journal=tmp_path / "journal")
            spent.append(summary.spent.calls)
    assert spent == [4 + 6, 0]
    assert server.calls.total() == 10


def test_a_server_that_cannot_be_probed_says_why_and_is_probed_again(tmp_path: Path) -> None:
    run = run_on(unused_url(), folder=tmp_path)
    [probed] = check_and_probe([run], tmp_path)
    assert probed.has_failed
    assert probed.cost.calls == 0
    assert "no answer to GET /health" in run.arm.backbone.capabilities.limits[0]
    assert not list(tmp_path.iterdir())


def test_servers_of_the_infer_protocol_are_not_probed_unless_asked_for(tmp_path: Path) -> None:
    with painting() as server:
        backbone = ImugServerBackbone(urls=[server.url], model="toy")
        arm = replace(run_on(server.url, folder=tmp_path).arm, backbone=backbone)
        assert check_and_probe([Run(arm=arm, folder=tmp_path / "run", config={})], None) == []
    assert server.calls.total() == 0
