"""Sentences of one report agree with each other, whatever the study; what does not is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.ablation import ablation
from analysis.bounds import gap_bounds
from analysis.consistency import contradictions
from analysis.estimands import ESTIMANDS, estimates
from analysis.inference import Estimate
from analysis.panel import Panel
from analysis.records import Study
from analysis.wording import Evidence, Finding, Rule, findings
from tests.analysis.logit_studies import Logits, logit_study


def reports(study: Study) -> tuple[dict[str, Finding], dict[str, dict[str, Estimate]]]:
    panel = Panel.of(study)
    found = estimates(panel, panel.inference("sample", 100, 0), "direct")
    evidence = {name: Evidence(estimates=known) for name, known in found.items()}
    return findings(evidence, "direct"), found


def test_an_equal_loss_in_logits_is_no_reduction_at_a_higher_level() -> None:
    for seed in range(12):
        arms = {"direct": Logits(level=0.5), "cot": Logits(level=3.0)}
        found, _ = reports(logit_study(arms, seed=seed))
        assert found["cot"].rules[-1] == "level_may_explain"
        assert "so its higher level alone may explain the difference" in found["cot"].sentence
        assert "reduces" not in found["cot"].sentence


def test_a_smaller_loss_in_logits_is_a_reduction() -> None:
    for seed in range(6):
        arms = {"direct": Logits(level=0.5), "cot": Logits(level=1.0, loss=0.15)}
        found, _ = reports(logit_study(arms, seed=seed))
        assert found["cot"].rules[-1] == "reduction"


def test_what_ends_early_on_own_history_is_said_with_the_worst_case() -> None:
    """A third of the dialogues break off on own history after turn 3, where they would have scored worst."""
    whole = logit_study({"direct": Logits(), "cot": Logits(level=1.0, loss=0.15)}, seed=1)
    kept = tuple(
        record
        for record in whole.records
        if record.key.history == "gold" or record.key.turn < 4 or int(record.key.sample.sample_id[1:]) % 3
    )
    result = ablation(replace(whole, records=kept), resamples=100)
    for arm in result.arms:
        low, high = gap_bounds(Panel.of(replace(whole, records=kept)), arm.strategy)
        assert "20 % of the turns that the gap needs have no score" in arm.finding.sentence
        assert f"the gap lies between {100 * low:.1f} and {100 * high:.1f} points" in arm.finding.sentence
        assert low < arm.estimates["eb"].value < high
    assert (
        "20 % of the turns that the change of the gap needs have no score" in result.arms[1].finding.sentence
    )
    assert not any("no score" in arm.finding.sentence for arm in ablation(whole, resamples=100).arms)


@pytest.mark.parametrize("seed", range(12))
def test_sentences_of_generated_studies_agree(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = ("direct", "cot", "best_of_4", "self_verify")[: rng.integers(2, 5)]
    arms = {
        name: Logits(
            level=rng.uniform(-1, 3), loss=rng.choice([0, 0.02, 0.3]), gold_loss=rng.uniform(-0.1, 0.1)
        )
        for name in names
    }
    study = logit_study(arms, seed=seed, num_samples=int(rng.choice([3, 12, 60])))
    found, numbers = reports(study)
    assert contradictions(found, numbers, "direct") == ()
    assert not [text for text in ablation(study, resamples=100).warnings if "contradict" in text]


INSIDE = Estimate(value=0.01, low=-0.1, high=0.1)


@pytest.mark.parametrize(
    ("rules", "reference", "words"),
    [
        (("reduction",), ("gap_inconclusive",), "a gap that is not shown"),
        (("reduction",), ("exposure_gap",), "in points or logits"),
        (("increase",), ("exposure_gap",), "in points or logits"),
        (("reduction",), ("gap_equivalent",), "equivalent to zero is said to change"),
        (("gap_equivalent", "exposure_gap"), (), "both equivalent to zero and shown"),
        (("reduction_equivalent", "reduction"), ("exposure_gap",), "both equivalent to zero and claimed"),
        (("composition_confound",), (), "slopes that do not differ"),
    ],
)
def test_each_contradiction_is_named(
    rules: tuple[Rule, ...], reference: tuple[Rule, ...], words: str
) -> None:
    numbers = dict.fromkeys(ESTIMANDS, INSIDE)
    found = {
        "direct": Finding(tier="A", rules=reference, statements=()),
        "cot": Finding(tier="A", rules=rules, statements=()),
    }
    named = contradictions(found, {"direct": numbers, "cot": numbers}, "direct")
    assert any(words in text and text.startswith("cot: ") for text in named)


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (("exposure_gap",), "this accounts for 1 % [-10, 10] of the decay"),
        (("reduction",), "It reduces the exposure gap of direct by 5.0 points [3.0, 7.0] (1 %)"),
    ],
)
def test_shares_outside_of_0_to_100_are_named(rules: tuple[Rule, ...], sentence: str) -> None:
    numbers = {"cot": dict.fromkeys(ESTIMANDS, INSIDE)}
    finding = Finding(tier="A", rules=rules, statements=(sentence,))
    assert any("leaves 0 to 100 %" in text for text in contradictions({"cot": finding}, numbers, None))
    other_tier = replace(finding, tier="D", statements=())
    assert any("without gold" in text for text in contradictions({"cot": other_tier}, numbers, None))


def test_gaps_of_other_turns_are_compared_on_common_ones() -> None:
    """Gold reaches turn 3 in direct and turn 6 in cot: alone, the gap of cot is the larger."""
    whole = logit_study({"direct": Logits(loss=0.4), "cot": Logits(level=0.5, loss=0.28)}, seed=1)
    kept = tuple(
        record
        for record in whole.records
        if record.key.history == "own" or record.key.strategy == "cot" or record.key.turn < 4
    )
    study = replace(whole, records=kept, planned={record.key: "image" for record in kept})
    direct, cot = ablation(study, resamples=100).arms
    assert cot.estimates["eb"].value > direct.estimates["eb"].value
    assert cot.finding.rules[2] == "reduction"
    assert "on the turns that both answered on both histories" in cot.finding.sentence
    found = {arm.strategy: arm.finding for arm in (direct, cot)}
    silent = replace(found["cot"], statements=("It reduces the exposure gap.",))
    numbers = {arm.strategy: arm.estimates for arm in (direct, cot)}
    assert contradictions(found, numbers, "direct") == ()
    assert any("the other way" in text for text in contradictions(found | {"cot": silent}, numbers, "direct"))
