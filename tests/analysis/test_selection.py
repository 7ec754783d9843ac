"""How well judges verify and pick, from response trees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.ablation import Ablation, ablation
from analysis.names import layers
from analysis.records import load_study
from analysis.responses import draws, judged_images, pools
from analysis.tables import tables
from tests.analysis.study_writer import StudyWriter, turn_record, write_run

Json = dict[str, Any]


def drawn(
    name: str,
    score: float | None,
    verdict: float | None = None,
    *,
    is_parsed: bool = True,
    step: float | None = None,
) -> Json:
    """A candidate image called `name`, with a verdict if one is given or could not be parsed."""
    node: Json = {"strategy": "direct", "output": {"image": name}, "finish": "stop"}
    if score is not None:
        node["score"] = score
    if step is not None:
        node["score_detail"] = {"step_score": step}
    if verdict is not None or not is_parsed:
        status = "ok" if is_parsed else "unparsable"
        node["verdict"] = {
            "status": status,
            "judge": "backbone",
            "score": verdict,
            "failed": [],
            "detail": "",
        }
    return node


def picked(strategy: str, chosen: int, *candidates: Json, verdict: Json | None = None) -> Json:
    winner = candidates[chosen]
    node = {"strategy": strategy, "output": winner["output"], "score": winner.get("score")}
    node |= {"candidates": list(candidates), "chosen": chosen}
    return node | ({"verdict": verdict} if verdict else {})


def analyse(study: Path, strategy: str, trees: list[list[Json]], *, oracle: bool = False) -> Ablation:
    """One run in which sample i answers one image turn per tree of `trees[i]`."""
    manifest: Json = {"run": "r", "strategy": strategy, "oracle": oracle, "history": "own", "seed": 0}
    manifest["benchmark"] = "toy"
    planned, records = [], []
    for index, responses in enumerate(trees):
        sample: Json = {"class": "a", "domain": "d", "task": "t", "sample_id": str(index)}
        sample["modalities"] = ["image"] * len(responses)
        planned.append(sample)
        for turn, tree in enumerate(responses, 1):
            records.append(turn_record(manifest, sample, turn, "image", score=tree["score"], response=tree))
    write_run(study / "run", manifest | {"planned": planned}, records)
    return ablation(load_study(study), resamples=400)


def test_labels_split_into_layers_outside_of_knobs() -> None:
    assert layers("best_of_8[a=1+2,b=x]+self_verify+cot") == ("best_of_8[a=1+2,b=x]", "self_verify", "cot")


def test_a_verdict_that_is_handed_up_counts_once_and_another_judges_counts_too() -> None:
    inner = [drawn("x", 0.4, 0.2), drawn("y", 1.0, 0.9)]
    same = picked("self_verify", 1, *inner, verdict=inner[1]["verdict"])
    other = picked("self_verify", 1, *inner, verdict=inner[1]["verdict"] | {"judge": "external"})
    assert len(list(judged_images(same))) == 2
    assert len(list(judged_images(other))) == 3


def test_refusals_and_text_have_no_part_in_pools_or_verdicts() -> None:
    refusal = {"strategy": "direct", "output": None, "finish": "refused"}
    tree = picked("best_of_3", 0, drawn("x", 0.4, 0.2), refusal, drawn("y", 0.6, 0.1))
    assert list(pools(tree)) == []
    assert len(list(judged_images(tree))) == 2
    text = {
        "strategy": "direct",
        "output": {"text": "A"},
        "score": 1.0,
        "verdict": {"status": "ok", "score": 1},
    }
    assert list(judged_images(text)) == []


def test_verifier_accuracy_by_hand(tmp_path: Path) -> None:
    trees = [
        [picked("self_verify", 1, drawn("a", 0.4, 0.2), drawn("b", 1.0, 0.9))],
        [picked("self_verify", 0, drawn("c", 0.8, 0.7))],
        [picked("self_verify", 1, drawn("d", 1.0, 0.4), drawn("e", 1.0, 0.7))],
        [picked("self_verify", 0, drawn("f", 0.0, 0.1), drawn("g", 0.2, None, is_parsed=False))],
    ]
    (verifier,) = analyse(tmp_path, "self_verify", trees).verifiers
    assert verifier.true_positive_rate.value == pytest.approx(2 / 3)
    assert verifier.true_negative_rate.value == pytest.approx(2 / 3)
    # positives .9 .4 .7 against negatives .2 .7 .1: 3 + 2 + 2.5 wins of 9 pairs
    assert verifier.auc.value == pytest.approx(7.5 / 9)
    assert (verifier.num_positive, verifier.num_negative, verifier.num_unparsable) == (3, 3, 1)


def test_a_faultless_turn_on_a_damaged_picture_is_perfect_by_step(tmp_path: Path) -> None:
    """Accepting what does its own turn without a fault is an error by score, and none by step score."""
    damaged = [[picked("self_verify", 0, drawn(f"d{i}", 0.6, 0.9, step=1.0))] for i in range(3)]
    flawed = [[picked("self_verify", 0, drawn(f"f{i}", 0.4, 0.1, step=0.4))] for i in range(6)]
    fresh = [[picked("self_verify", 0, drawn(f"p{i}", 1.0, 0.8, step=1.0))] for i in range(5)]
    result = analyse(tmp_path, "self_verify", [*damaged, *flawed, *fresh])
    (verifier,) = result.verifiers
    assert verifier.true_negative_rate.value == pytest.approx(6 / 9)
    assert verifier.by_step is not None
    assert verifier.by_step.true_negative_rate.value == 1
    assert (verifier.by_step.num_positive, verifier.by_step.num_negative) == (8, 6)
    table = next(t for t in tables(result) if t.name == "T6_verification")
    row = dict(zip(table.header, table.rows[0], strict=True))
    assert (row["perfect/judged"], row["perfect by step"]) == ("5/14", "8/14")
    assert row["TNR"].startswith("66.7 [")
    assert row["TNR by step"].startswith("100.0 [")
    assert any("whether or not that image has errors" in note for note in table.notes)


def test_without_step_scores_the_table_says_so(tmp_path: Path) -> None:
    trees = [[picked("self_verify", 0, drawn(name, 1.0, 0.9))] for name in "abc"]
    table = next(t for t in tables(analyse(tmp_path, "self_verify", trees)) if t.name == "T6_verification")
    assert not any("by step" in head for head in table.header)
    assert "By step score: n/a, the scorer gives none." in table.notes


def test_the_threshold_is_the_strategys_own(tmp_path: Path) -> None:
    trees = [
        [picked("self_verify", 0, drawn("a", 1.0, 0.7))],
        [picked("self_verify", 0, drawn("b", 0.5, 0.7))],
    ]
    strategy = "best_of_2+self_verify[max_rounds=2,threshold=0.8]"
    (verifier,) = analyse(tmp_path, strategy, trees).verifiers
    assert verifier.threshold == 0.8
    assert (verifier.true_positive_rate.value, verifier.true_negative_rate.value) == (0, 1)


def test_auc_and_its_interval_agree_with_resampled_pairs(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    grades = rng.random((12, 3)) < 0.5
    verdicts = np.clip(0.3 * grades + rng.random((12, 3)) * 0.7, 0, 1).round(1)
    trees = [
        [picked("best_of_3", 0, *(drawn(f"{i}{j}", float(grades[i, j]), verdicts[i, j]) for j in range(3)))]
        for i in range(12)
    ]
    (verifier,) = analyse(tmp_path, "best_of_3", trees).verifiers
    slow = np.random.default_rng(0)

    def auc(rows: Any) -> float:
        high, low = verdicts[rows][grades[rows]], verdicts[rows][~grades[rows]]
        return float(np.mean((high[:, None] > low) + 0.5 * (high[:, None] == low)))

    draws = [auc(slow.integers(12, size=12)) for _ in range(2000)]
    assert verifier.auc.value == pytest.approx(auc(np.arange(12)))
    assert verifier.auc.standard_error == pytest.approx(np.std(draws), rel=0.25)
    interval = verifier.auc.bootstrap_low, verifier.auc.bootstrap_high
    assert interval == pytest.approx(np.percentile(draws, (2.5, 97.5)), abs=0.06)
    assert 0 < verifier.auc.low < verifier.auc.value < verifier.auc.high < 1


def test_one_kind_of_candidate_alone_has_no_auc(tmp_path: Path) -> None:
    trees = [[picked("self_verify", 0, drawn(name, 1.0, 0.9))] for name in "abc"]
    (verifier,) = analyse(tmp_path, "self_verify", trees).verifiers
    assert np.isnan([verifier.auc.value, verifier.true_negative_rate.value]).all()
    assert verifier.true_positive_rate.value == 1


def test_random_arm_best_and_regret_are_on_the_same_candidates(tmp_path: Path) -> None:
    trees = [
        [picked("best_of_2", 0, drawn("a", 0.2, 0.9), drawn("b", 0.6, 0.1))],
        [picked("best_of_2", 1, drawn("c", 0.4, 0.3), drawn("d", 1.0, 0.8))],
        # the second candidate has no grade: the pool is left out
        [picked("best_of_2", 0, drawn("e", 0.1, 0.9), drawn("f", None, 0.1))],
    ]
    (selection,) = analyse(tmp_path, "best_of_2", trees).selections
    assert selection.num_pools == 2
    values = [e.value for e in (selection.random, selection.arm, selection.best, selection.regret)]
    assert values == pytest.approx([0.55, 0.6, 0.8, 0.2])


def test_a_pool_below_another_layer_is_found_and_each_layer_stands_apart(tmp_path: Path) -> None:
    pool = picked("best_of_2", 0, drawn("a", 0.2, 0.9), drawn("b", 0.6, 0.1))
    outer = [picked("best_of_3", 0, pool, drawn("c", 0.5, 0.2))]
    result = analyse(tmp_path, "best_of_3+best_of_2", [outer, outer])
    assert [s.layer for s in result.selections] == ["best_of_2", "best_of_3"]
    assert [s.best.value for s in result.selections] == pytest.approx([0.6, 0.5])


def test_pools_of_later_rounds_do_not_count(tmp_path: Path) -> None:
    """A later round exists because the first was rejected: it is the hard case over again."""
    easy = picked("best_of_2", 0, drawn("a", 1.0, 0.9), drawn("b", 0.9, 0.1))
    hard = picked("best_of_2", 0, drawn("c", 0.4, 0.3), drawn("d", 0.2, 0.1))
    again = [picked("best_of_2", 0, drawn(f"e{i}", 0.3, 0.3), drawn(f"f{i}", 0.1, 0.1)) for i in range(2)]
    trees = [
        [picked("self_verify", 0, easy)],
        [picked("self_verify", 2, hard, *again)],
    ]
    result = analyse(tmp_path, "self_verify+best_of_2", trees)
    (selection,) = result.selections
    assert selection.num_pools == 2
    values = selection.random.value, selection.arm.value, selection.best.value
    assert values == pytest.approx((0.625, 0.7, 0.7))
    (curve,) = result.curves
    assert (curve.where, curve.num_pools) == ("turn 1", 2)
    assert curve.rungs[0].random.value == pytest.approx(0.625)
    notes = [n for t in tables(result) if t.name.startswith(("T6b", "T6c")) for n in t.notes]
    assert sum("only first rounds" in note for note in notes) == 2


def test_an_oracle_has_no_regret_and_is_no_verifier(tmp_path: Path) -> None:
    writer = StudyWriter(
        folder=tmp_path, strategies=["oracle_best_of_4"], histories=["own"], samples_per_class=4
    )
    result = ablation(load_study(writer.write()), resamples=200)
    assert result.verifiers == ()
    assert [(s.oracle, s.regret.value) for s in result.selections] == [(True, 0.0)]


def of_kind(kind: str | None, *candidates: Json, judge: str = "backbone") -> Json:
    """A pool of Best-of-N whose verdicts are of a kind; None leaves the kind unsaid."""
    for candidate in candidates:
        candidate["verdict"] |= {"judge": judge} | ({"kind": kind} if kind else {})
    read = [candidate["verdict"]["score"] or -99 for candidate in candidates]
    return picked(f"best_of_{len(candidates)}", read.index(max(read)), *candidates)


def test_rewards_have_an_order_and_no_threshold(tmp_path: Path) -> None:
    trees = [
        [of_kind("reward", drawn("a", 1.0, -3.0), drawn("b", 0.2, -7.5))],
        [of_kind("reward", drawn("c", 1.0, 12.0), drawn("d", 0.4, -3.0))],
    ]
    result = analyse(tmp_path, "best_of_2", trees)
    (verifier,) = result.verifiers
    assert verifier.kind == "reward"
    # -3 and 12 against -7.5 and -3: 1 + .5 + 2 wins of 4 pairs
    assert verifier.auc.value == pytest.approx(3.5 / 4)
    assert "no threshold" in verifier.true_positive_rate.reason == verifier.true_negative_rate.reason
    assert verifier.calibration == ()
    (row,) = next(t for t in tables(result) if t.name == "T6_verification").rows
    assert row[1:] == ("reward", "2/4", "0", "-", "-", row[6], "-")


@pytest.mark.parametrize(("kind", "judge"), [("rank", "tournament"), (None, "pairwise")])
def test_ranks_are_compared_within_their_pool_alone(tmp_path: Path, kind: str | None, judge: str) -> None:
    verdicts = {0.2: 0.0, 0.6: 0.75, 1.0: 0.5, 0.4: 0.25}
    pool = of_kind(kind, *(drawn(str(g), g, verdict) for g, verdict in verdicts.items()), judge=judge)
    result = analyse(tmp_path, "best_of_4", [[pool], [pool]])
    (verifier,) = result.verifiers
    assert verifier.kind == "rank"
    undefined = (verifier.true_positive_rate, verifier.true_negative_rate, verifier.auc)
    assert {estimate.is_defined for estimate in undefined} == {False}
    assert all("within a pool" in estimate.reason for estimate in undefined)
    assert result.selections[0].arm.value == pytest.approx(0.6)
    one, two, four = (rung.arm for rung in result.curves[0].rungs)
    assert (one.value, four.value) == pytest.approx((0.55, 0.6))
    assert not two.is_defined
    assert "fewer candidates" in two.reason
    (table,) = (t for t in tables(result) if t.name == "T6c_scaling")
    assert "-: n/a, ranks would differ among fewer candidates." in table.notes


def test_verdicts_of_two_kinds_in_one_arm_stand_apart(tmp_path: Path) -> None:
    inner = [drawn("a", 0.2, 0.9), drawn("b", 1.0, 0.1)]
    outer = of_kind("rank", picked("self_verify", 0, inner[0]) | {"verdict": {"status": "ok", "score": 1.0}})
    last = {"status": "ok", "score": 0.0, "kind": "rank", "judge": "backbone"}
    outer["candidates"].append(drawn("c", 0.4) | {"verdict": last})
    result = analyse(tmp_path, "best_of_2+self_verify", [[outer]])
    assert [verifier.kind for verifier in result.verifiers] == ["probability", "rank"]
    assert result.verifiers[0].num_negative == 1


def test_a_reward_that_could_not_be_read_comes_after_every_other(tmp_path: Path) -> None:
    pool = of_kind("reward", drawn("a", 0.2, None, is_parsed=False), drawn("b", 0.8, -40.0))
    result = analyse(tmp_path, "best_of_2", [[pool], [pool]])
    assert result.curves[0].rungs[-1].arm.value == pytest.approx(0.8)


def test_draws_say_where_a_layer_had_a_choice() -> None:
    same = picked("best_of_2", 0, drawn("x", 0.4), drawn("x", 0.4))
    other = picked("best_of_2", 0, drawn("x", 0.4), drawn("y", 0.4))
    refusal = {"strategy": "direct", "output": None, "finish": "refused"}
    alone = picked("oracle_best_of_2[n=2]", 0, drawn("x", 0.4), refusal)
    tree = picked("self_verify", 0, picked("best_of_3", 0, same, other, alone))
    assert list(draws(tree)) == [
        ("self_verify", "single"), ("best_of_3", "identical"), ("best_of_2", "identical"),
        ("best_of_2", "varied"),
    ]  # fmt: skip


@pytest.mark.parametrize("num_dialogues", [2, 3, 5])
def test_no_number_of_a_judge_leaves_its_bounds(tmp_path: Path, num_dialogues: int) -> None:
    """Half of a handful accepted: a rate of 50 has an interval inside 0 to 100."""
    trees = [
        [picked("best_of_2", 0, drawn(f"a{i}", 1.0, 0.9 * (i % 2)), drawn(f"b{i}", 0.3, 0.4 + 0.2 * (i % 2)))]
        for i in range(num_dialogues)
    ]
    result = analyse(tmp_path, "best_of_2", trees)
    (verifier,), (selection,) = result.verifiers, result.selections
    rates = [verifier.true_positive_rate, verifier.true_negative_rate, verifier.auc]
    means = [selection.random, selection.arm, selection.best, selection.regret]
    for estimate in (*rates, *means):
        assert 0 <= estimate.low < estimate.high <= 1
