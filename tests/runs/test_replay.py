"""Random nestings through the whole engine: alone, batched and after a kill the records are equal.

The kill is played by cutting the journal anywhere and losing the records; the real one is in
tests/crash.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imug_tts.composition import check_composition
from imug_tts.contracts import MODEL_ROLES, ConfigurationError, Strategy
from imug_tts.runs import Budget
from imug_tts.testing.runs import ToyBenchmark, records, run
from imug_tts.testing.toys import CAPABILITIES, ToyBackbone
from tests.strategies.nestings import LEAF, wrappers

MODEL = ToyBackbone(refusal_rate=0.1, mumble_rate=0.1)
BENCHMARK = ToyBenchmark(num_samples=3)
budgets = st.builds(Budget, images=st.none() | st.integers(1, 6), texts=st.none() | st.integers(1, 9))


def works(strategy: Strategy) -> bool:
    try:
        check_composition(strategy, dict.fromkeys(MODEL_ROLES, MODEL))
    except ConfigurationError:
        return False
    return True


@st.composite
def working_nestings(draw: st.DrawFn) -> Strategy:
    """Up to three layers; a layer that may not wrap what is below it is left out."""
    strategy: Strategy = LEAF
    for _ in range(3):
        wrapped = draw(wrappers(strategy))
        strategy = wrapped if works(wrapped) else strategy
    return strategy


def cut(folder: Path, share: float) -> None:
    """Lose the records, and the journal after a byte."""
    (folder / "turns.jsonl").unlink()
    for segment in (folder / "journal" / "calls").iterdir():
        data = segment.read_bytes()
        segment.write_bytes(data[: int(len(data) * share)])


def call_ids(folder: Path) -> Sequence[bytes]:
    segments = (folder / "journal" / "calls").iterdir()
    complete = b"".join(segment.read_bytes().rpartition(b"\n")[0] + b"\n" for segment in segments)
    return [line.split(b" ")[1] for line in complete.splitlines() if line]


@settings(max_examples=25)
@given(
    strategy=working_nestings(),
    budget=budgets,
    share=st.floats(0, 1),
    in_flight=st.integers(2, 4),
    max_batch=st.integers(1, 16),
    seed=st.integers(0, 3),
)
def test_alone_batched_and_after_a_kill_the_records_are_equal(
    tmp_path_factory: pytest.TempPathFactory,
    strategy: Strategy,
    budget: Budget,
    share: float,
    in_flight: int,
    max_batch: int,
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("replay")

    def play(name: str, in_flight: int, max_batch: int) -> None:
        model = replace(MODEL, capabilities=replace(CAPABILITIES, max_batch=max_batch))
        run(
            folder / name,
            strategy,
            model,
            benchmark=BENCHMARK,
            budget=budget,
            seed=seed,
            in_flight=in_flight,
        )

    play("alone", 1, 1)
    play("batched", in_flight, max_batch)
    alone = records(folder / "alone", without=["arm"])
    assert records(folder / "batched", without=["arm"]) == alone
    cut(folder / "batched", share)
    play("batched", in_flight, max_batch)
    assert records(folder / "batched", without=["arm"]) == alone
    assert len(call_ids(folder / "batched")) == len(set(call_ids(folder / "batched")))
    assert_budget(alone, budget)
    shutil.rmtree(folder)


def assert_budget(played: Sequence[dict[str, dict[str, dict[str, int]]]], budget: Budget) -> None:
    for record in played:
        costs = record["cost"].values()
        images = sum(cost["images"] for cost in costs)
        texts = sum(cost["calls"] for cost in costs) - images
        assert budget.images is None or images <= budget.images
        assert budget.texts is None or texts <= budget.texts
