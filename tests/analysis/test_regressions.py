"""Closed forms against statsmodels on ragged data with missing cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from analysis.estimands import estimates
from analysis.inference import Estimate, Inference
from analysis.long_csv import load_csv
from analysis.panel import Panel
from analysis.sensitivity import checks
from tests.analysis.tables_of_turns import Effect, make_rows, write_csv


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    effects = {"direct": Effect(), "cot": Effect(level=0.8, decay=0.03)}
    rows = make_rows(effects, seed=2, num_samples=120, seeds=(0, 1), missing=0.1, length_effect=0.05)
    return write_csv(tmp_path_factory.mktemp("data") / "runs.csv", rows)


@pytest.fixture(scope="module")
def panel(csv: Path) -> Panel:
    return Panel.of(load_csv(csv))


@pytest.fixture(scope="module")
def found(panel: Panel) -> dict[str, dict[str, Estimate]]:
    inference: Inference = panel.inference("sample", 200, 0)
    return estimates(panel, inference, "direct")


@pytest.fixture(scope="module")
def cells(csv: Path) -> pd.DataFrame:
    """One row per (sample, turn), one column per arm: "direct own", ...; seeds averaged."""
    rows = pd.read_csv(csv)
    images = rows[rows["modality"] == "image"]
    table = images.pivot_table(index=["sample_id", "turn"], columns=["strategy", "history"], values="score")
    table.columns = pd.Index([" ".join(names) for names in table.columns])
    return table.reset_index()


def ols(y: Any, x: Any, groups: Any) -> Any:
    codes = pd.factorize(groups)[0]
    return sm.OLS(np.asarray(y), np.asarray(x)).fit(
        cov_type="cluster", cov_kwds={"groups": codes}, use_t=True
    )


def demeaned(frame: pd.DataFrame, y: pd.Series[float]) -> Any:
    """OLS of y on the turn with sample fixed effects, where a sample has two turns or more."""
    data = pd.DataFrame({"s": frame["sample_id"], "t": frame["turn"], "y": y}).dropna()
    data = data[data.groupby("s")["t"].transform("count") > 1]
    centered = data[["t", "y"]] - data.groupby("s")[["t", "y"]].transform("mean")
    return ols(centered["y"], centered["t"], data["s"])


def averaged(frame: pd.DataFrame, y: pd.Series[float]) -> Any:
    data = pd.DataFrame({"s": frame["sample_id"], "y": y}).dropna()
    return ols(data["y"], np.ones(len(data)), data["s"])


def check(estimate: Estimate, fit: Any, position: int = 0) -> None:
    assert estimate.value == pytest.approx(fit.params[position], abs=2e-6)
    assert estimate.standard_error == pytest.approx(fit.bse[position], rel=2e-6)
    assert (estimate.low, estimate.high) == pytest.approx(fit.conf_int()[position], abs=2e-6)
    assert estimate.p == pytest.approx(fit.pvalues[position], abs=2e-6) or np.isnan(estimate.p)


def test_means_gaps_and_their_differences(found: dict[str, dict[str, Estimate]], cells: pd.DataFrame) -> None:
    gaps = {s: (cells[f"{s} gold"] - cells[f"{s} own"]).where(cells["turn"] > 1) for s in ("direct", "cot")}
    fit, score = averaged(cells, cells["direct own"]), found["direct"]["mean"]
    assert (score.value, score.standard_error) == pytest.approx((fit.params[0], fit.bse[0]), rel=2e-6)
    check(found["cot"]["mean_gain"], averaged(cells, cells["cot own"] - cells["direct own"]))
    check(found["cot"]["eb"], averaged(cells, gaps["cot"]))
    check(found["cot"]["eb_reduction"], averaged(cells, gaps["direct"] - gaps["cot"]))


def test_slopes_with_sample_by_strategy_fixed_effects(
    found: dict[str, dict[str, Estimate]], cells: pd.DataFrame
) -> None:
    """Turn 1 has no history: its gold score is its own score, and its gap is 0."""
    gold = {s: cells[f"{s} gold"].where(cells["turn"] > 1, cells[f"{s} own"]) for s in ("direct", "cot")}
    gaps = {s: gold[s] - cells[f"{s} own"] for s in ("direct", "cot")}
    check(found["direct"]["within_slope"], demeaned(cells, cells["direct own"]))
    check(found["cot"]["within_slope_gold"], demeaned(cells, gold["cot"]))
    check(found["cot"]["eb_slope"], demeaned(cells, gaps["cot"]))
    check(found["cot"]["eb_slope_reduction"], demeaned(cells, gaps["direct"] - gaps["cot"]))


def test_the_slope_change_is_the_interaction_of_the_joint_regression(
    found: dict[str, dict[str, Estimate]], cells: pd.DataFrame
) -> None:
    both = cells.dropna(subset=["direct own", "cot own"])
    stacked = pd.concat(
        [
            both[["sample_id", "turn"]].assign(y=both[f"{s} own"], k=float(s == "cot"))
            for s in ("direct", "cot")
        ]
    )
    centered = stacked[["turn", "y"]] - stacked.groupby(["sample_id", "k"])[["turn", "y"]].transform("mean")
    design = np.stack([centered["turn"], centered["turn"] * stacked["k"]], axis=1)
    fit = ols(centered["y"], design, stacked["sample_id"])
    estimate = found["cot"]["slope_change"]
    assert estimate.value == pytest.approx(fit.params[1], abs=2e-6)
    # the joint fit counts one parameter more
    assert estimate.standard_error == pytest.approx(fit.bse[1], rel=2e-3)


def test_the_pooled_slope(found: dict[str, dict[str, Estimate]], cells: pd.DataFrame) -> None:
    own = cells.dropna(subset=["direct own"])
    fit = ols(own["direct own"], sm.add_constant(own["turn"]), own["sample_id"])
    check(found["direct"]["pooled_slope"], fit, 1)


def test_the_logit_reduction_is_the_interaction_of_the_saturated_fractional_logit(
    found: dict[str, dict[str, Estimate]], cells: pd.DataFrame
) -> None:
    arms = ["direct own", "direct gold", "cot own", "cot gold"]
    four = cells[cells["turn"] > 1].dropna(subset=arms)
    y = np.concatenate([four[arm] for arm in arms])
    gold, cot = (np.repeat([float(word in arm) for arm in arms], len(four)) for word in ("gold", "cot"))
    design = np.stack([np.ones(len(y)), gold, cot, gold * cot], axis=1)
    groups = np.tile(pd.factorize(four["sample_id"])[0], 4)
    model = sm.GLM(y, design, family=sm.families.Binomial())
    fit = model.fit(cov_type="cluster", cov_kwds={"groups": groups})
    estimate = found["cot"]["eb_reduction_logit"]
    assert estimate.value == pytest.approx(-fit.params[3], abs=2e-6)
    assert estimate.standard_error == pytest.approx(fit.bse[3], rel=0.01)


def test_other_models_agree_with_the_primary_where_nothing_is_confounded(panel: Panel) -> None:
    found = {(c.estimand, c.model): c.estimate for c in checks(panel, "direct")}
    for estimand in ("slope_change", "eb_reduction"):
        primary = found[estimand, "primary"]
        for model in ("task", "sample", "length", "logit"):
            distance = abs(found[estimand, model].value - primary.value)
            assert distance < 2.5 * primary.standard_error, (estimand, model)
    gee, primary = found["eb_reduction", "gee"], found["eb_reduction", "primary"]
    assert gee.standard_error == pytest.approx(primary.standard_error, rel=0.15)
    assert 0 < found["mean", "icc"].value < 1


def test_the_interaction_survives_confounded_composition_where_the_pooled_slope_does_not(
    tmp_path: Path,
) -> None:
    """Long dialogues are easier: pooled over dialogues scores seem to rise; within each of them they fall."""
    effects = {"direct": Effect(level=0.5, decay=0.02), "cot": Effect(level=0.5, decay=0.0)}
    rows = make_rows(effects, seed=7, num_samples=400, missing=0.05, length_effect=0.08)
    panel = Panel.of(load_csv(write_csv(tmp_path / "runs.csv", rows)))
    found = estimates(panel, panel.inference("sample", 200, 0), "direct")
    assert found["direct"]["pooled_slope"].value > 0
    assert found["direct"]["within_slope"].value == pytest.approx(-0.02, abs=0.01)
    assert found["cot"]["slope_change"].value == pytest.approx(0.02, abs=0.01)
