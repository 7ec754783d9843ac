"""Identities of calls and runs are equal on every machine and in every version, so no call is paid twice."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import pytest

from imug_tts.assemble import build_arm
from imug_tts.backbones.pocket import PocketBackbone
from imug_tts.calls import Call
from imug_tts.calls.seeds import branch_seed
from imug_tts.contracts import Candidate, Request, Sampling, Scalar
from imug_tts.dialogue import Image, Message, Text
from imug_tts.knobs import component
from imug_tts.records import digest
from imug_tts.runs import Arm, Run, execute
from imug_tts.strategies import ChainOfThought, Direct
from imug_tts.testing.runs import ToyBenchmark, records
from imug_tts.testing.toys import ToyBackbone
from tests.composing import composed

IMAGE = Image.from_bytes(b"star")
HISTORY = (
    Message("system", (Text("be brief"),)),
    Message("user", (Text("draw a Stern \u2605"),)),
    Message("assistant", (IMAGE,)),
    Message("user", (Text("what is it?"), Text("a note"))),
)
GREEDY = Sampling(temperature=0.0, max_tokens=64)
JOURNAL_OF_0_1 = Path(__file__).parent / "data" / "journal_of_0_1"
"""What version 0.1 journaled of one dialogue of the pocket world."""


def test_images_and_messages_have_fixed_digests() -> None:
    assert IMAGE.sha256 == "525eca1d5089dbdcbb6700d910c5e0bc23fbaa23ee026c0e224c2b45490e5f29"
    assert [message.digest for message in HISTORY] == [
        "be71093b27094237fbec773f32dc6d2f43b71ab7276d1a2cb351c2a356e3302c",
        "802805428987d407ceaea2f2aa0639382ae84f9fa6bb6fee49c5879fada1f210",
        "1a768a1c575298c7ee1d68c42681fb79aa7bc60c7e42e94e1420f4c41c2cc4fd",
        "bcbf70b11e02e4a3db43153efcd6c227ec395874f5a9869140f5434f42049d9e",
    ]


@pytest.mark.parametrize(
    ("run_seed", "turn", "path", "seed"),
    [
        (0, 1, (), 3310852331612158223),
        (0, 1, (0, 0), 3310852331612158223),
        (7, 2, (3,), 6128426342736770411),
        (7, 2, (3, 0, 1), 4909819108796810571),
    ],
)
def test_a_branch_has_a_fixed_seed(run_seed: int, turn: int, path: tuple[int, ...], seed: int) -> None:
    assert branch_seed(run_seed, "static/toy/0", turn, path) == seed


@pytest.mark.parametrize(
    ("call", "identity"),
    [
        (
            Call(HISTORY, "text", 5, Sampling(temperature=0.7, max_tokens=64)),
            "b0d964cbb1f151be8636ad22d9ae802bb01219e99e1dea2a064aeb6d3db119f6",
        ),
        (
            Call(HISTORY, "image", 5, Sampling(temperature=1.0, max_tokens=512)),
            "1ffc36f1f8255175deade99860638ef3d85c681478ee6a4af3e22dfc9e97364a",
        ),
        (
            Call(HISTORY, "text", 0, GREEDY, "yes_no"),
            "e0d2248e94620ba30ddd3156a054a282d5e053d966ea98b88623b46df9c85b48",
        ),
        (
            Call(HISTORY, "text", 0, GREEDY, "reward"),
            "8d40e74ee434189e3d75b2b0c30f4d42f88e82afcbae2646b447ca407c5c4b77",
        ),
        (
            Call(HISTORY, "image", 5, Sampling(settings=(("guidance", 3.5), ("steps", 30)))),
            "f4c1efaffed9f21359e787d8f656dcca1f6d40a4954bb6b6b492fa23364092ef",
        ),
    ],
    ids=["free text", "image", "yes or no", "reward", "settings"],
)
def test_a_call_has_a_fixed_identity(call: Call, identity: str) -> None:
    assert call.prompt_id == "71594b25e4211e98f671c719adf71b31438aabcf18ce713a2af53e6f2e6302ac"
    assert call.identity("toy:1") == identity


def test_an_arm_has_a_fixed_identity() -> None:
    arm = build_arm(composed("strategy=best_of_n_self_verify_cot", "strategy.n=8", "benchmark.num_samples=3"))
    assert digest(arm.own_identity) == "7d431bd5be4813421bedb773b079e297f3597362c70140fa3e4895f0bb278106"


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (0, 0.0), (0.0, -0.0)])
def test_numbers_of_equal_value_make_one_call(one: float, other: float) -> None:
    calls = [Call(HISTORY, "image", 5, Sampling(temperature=value)) for value in (one, other)]
    assert calls[0].identity("toy") == calls[1].identity("toy")


def test_settings_of_equal_value_make_one_call_in_any_order() -> None:
    settings: list[tuple[str, Scalar]] = [("steps", 30), ("guidance", 3.0), ("negative", "blur")]
    same: list[tuple[str, Scalar]] = [("steps", 30.0), ("guidance", 3), ("negative", "blur")]
    identities = {
        Call(HISTORY, "image", 5, Sampling(settings=tuple(order))).identity("toy")
        for each in (settings, same)
        for order in permutations(each)
    }
    assert len(identities) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Direct(image_temperature=1), Direct(image_temperature=1.0)),
        (
            ChainOfThought(inner=Direct(), plan_temperature=1),
            ChainOfThought(inner=Direct(), plan_temperature=1.0),
        ),
    ],
    ids=["draws", "plans"],
)
def test_a_run_with_a_number_of_equal_value_goes_on_and_pays_nothing_twice(
    tmp_path: Path, one: Direct | ChainOfThought, other: Direct | ChainOfThought
) -> None:
    first, second = ToyBackbone(), ToyBackbone()
    for strategy, model in ((one, first), (other, second)):
        (tmp_path / "run" / "turns.jsonl").unlink(missing_ok=True)
        arm = Arm(backbone=model, strategy=strategy, benchmark=ToyBenchmark(num_samples=2))
        execute([Run(arm=arm, folder=tmp_path / "run", config={})], journal=tmp_path / "journal")
    assert first.asked
    assert second.asked == []


@component
class Unasked(PocketBackbone):
    """The pocket model, which fails if it is asked."""

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        raise AssertionError("the journal has every call")


def test_calls_that_version_0_1_paid_for_are_not_made_again(tmp_path: Path) -> None:
    shutil.copytree(JOURNAL_OF_0_1, tmp_path / "journal")
    config = composed(
        "strategy=best_of_n_self_verify_cot",
        "strategy.n=2",
        "strategy.inner.max_rounds=2",
        "benchmark.num_samples=1",
        "benchmark.classes=[static_spatial]",
    )
    planned = build_arm(config)
    arm = Arm(backbone=Unasked(), strategy=planned.strategy, benchmark=planned.benchmark)
    [summary] = execute([Run(arm=arm, folder=tmp_path / "run", config={})], journal=tmp_path / "journal")
    assert (summary.scored, summary.planned, summary.spent.calls) == (3, 3, 0)
    assert [record["calls"] for record in records(tmp_path / "run")] == [6, 6, 10]
