"""Scopes: seeds by branch, budgets that hold, and costs that add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imug_tts.calls import Answer
from imug_tts.calls.ledger import Ledger
from imug_tts.calls.seeds import branch_seed
from imug_tts.contracts import Candidate, ConfigurationError, Cost, ModelRole
from imug_tts.runs import Budget

paths = st.lists(st.integers(0, 7), max_size=4).map(tuple)


@given(path=paths, zeros=st.integers(0, 3))
def test_candidate_zero_of_anything_is_what_its_parent_draws(path: tuple[int, ...], zeros: int) -> None:
    assert branch_seed(0, "s", 1, path) == branch_seed(0, "s", 1, path + (0,) * zeros)


@given(paths=st.sets(paths, min_size=2, max_size=12))
def test_different_branches_have_different_seeds(paths: set[tuple[int, ...]]) -> None:
    significant = {"".join(map(str, path)).rstrip("0") for path in paths}
    assert len({branch_seed(0, "s", 1, path) for path in paths}) == len(significant)


def test_seeds_differ_by_run_sample_and_turn_and_fit_63_bits() -> None:
    seeds = {
        branch_seed(run, sample, turn, ()) for run in range(3) for sample in ("a", "b") for turn in range(3)
    }
    assert len(seeds) == 18
    assert all(0 <= seed < 1 << 63 for seed in seeds)


@pytest.mark.parametrize("caps", [{"images": 0}, {"texts": -1}])
def test_a_budget_without_room_for_one_call_is_refused(caps: dict[str, int]) -> None:
    [(name, value)] = caps.items()
    with pytest.raises(ConfigurationError, match=f"{name} is {value}; it must be 1 or more"):
        Budget(**caps)


def test_the_same_call_is_charged_once_and_a_shared_prompt_is_prefilled_once() -> None:
    ledger = Ledger()
    cost = Cost(calls=1, prompt_tokens=100, new_tokens=16, images=1)
    charges: list[tuple[str, str, ModelRole]] = [
        ("call-a", "prompt", "generator"),
        ("call-b", "prompt", "generator"),
        ("call-a", "prompt", "generator"),
        ("call-c", "other prompt", "verifier"),
    ]
    for call_id, prompt_id, role in charges:
        is_new = call_id == "call-b"
        ledger.charge(Answer(call_id, Candidate(output=None, cost=cost), is_new), prompt_id, role)
    costs = ledger.costs()
    assert costs["generator"] == Cost(calls=2, prompt_tokens=100, cached_tokens=100, new_tokens=32, images=2)
    assert costs["judge"] == cost
    assert ledger.spent() == cost


@given(order=st.permutations(["a", "b", "c", "d"]))
def test_costs_do_not_depend_on_completion_order(order: list[str]) -> None:
    def charged(names: list[str]) -> dict[str, Cost]:
        ledger = Ledger()
        for name in names:
            role: ModelRole = "verifier" if name in "bd" else "planner"
            cost = Cost(calls=1, prompt_tokens=10, new_tokens=ord(name))
            ledger.charge(Answer(name, Candidate(output=None, cost=cost), True), "prompt", role)
        return ledger.costs()

    assert charged(order) == charged(["a", "b", "c", "d"])
