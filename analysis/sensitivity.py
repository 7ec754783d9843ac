"""Robustness of the two headline comparisons to the estimator: the same comparison under other models.

The primary estimates remain the closed forms. Other weights and clusters are closed forms too. statsmodels
fits the fractional logit with Mundlak terms (Papke and Wooldridge 2008), GEE with bias-reduced covariance
(Mancl and DeRouen 2001), and the mixed model, which is used for the intraclass correlation only.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.bootstrap import Floats
from analysis.estimands import gap
from analysis.inference import Estimate, Inference, undefined
from analysis.panel import Panel
from analysis.statistic import Statistic, mean, within_slope

__all__ = ["Check", "checks"]

MODELS = {
    "primary": "primary (cell weights, CR1 by cluster)",
    "task": "clustered by task",
    "single": "clustered by sample",
    "sample": "each sample has equal weight",
    "length": "within dialogues of equal length",
    "logit": "fractional logit, Mundlak terms x strategy",
    "gee": "GEE, exchangeable, bias-reduced covariance",
    "icc": "mixed model: intraclass correlation of the score",
}
"""Model name -> description. Of "task" and "single" the analysis uses the one that is not its own cluster."""
MIN_SAMPLES = 20
"""Minimum number of samples for fitting a regression."""
MIXED_SAMPLES = 500
_STEEPEST = 30.0
"""Linear predictors above this size indicate scores that the model separates perfectly."""

Cells = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One estimand of one strategy under one model; undefined, with the reason, if the model has no
    estimate.
    """

    strategy: str
    estimand: str
    model: str
    estimate: Estimate


@dataclass(frozen=True, kw_only=True)
class _Question:
    """The slope change or the EB reduction of a strategy relative to the baseline."""

    panel: Panel
    strategy: str
    baseline: str
    estimand: str
    inference: Inference

    @property
    def grid(self) -> Floats:
        """The differences by cell whose slope or mean is the estimand."""
        if self.estimand == "slope_change":
            return self.panel.scores(self.strategy) - self.panel.scores(self.baseline)
        return gap(self.panel, self.baseline) - gap(self.panel, self.strategy)

    @property
    def statistic(self) -> Statistic:
        return (within_slope if self.estimand == "slope_change" else mean)(self.grid)


class _NotFitted(ValueError):
    """The model has no estimate on these data."""


def checks(panel: Panel, baseline: str | None, cluster: str = "sample") -> tuple[Check, ...]:
    """The estimates of slope change and EB reduction of each strategy under every model; empty without a
    baseline.
    """
    if baseline is None:
        return ()
    inference = panel.inference(cluster, 1, 0)
    questions = [
        _Question(panel=panel, strategy=s, baseline=baseline, estimand=estimand, inference=inference)
        for s in panel.strategies
        if s != baseline and not panel.void(s, baseline)
        for estimand in ("slope_change", "eb_reduction")
    ]
    found = [
        Check(strategy=q.strategy, estimand=q.estimand, model=model, estimate=estimate)
        for q in questions
        if np.isfinite(q.grid).any()
        for model, estimate in _models(q, cluster)
    ]
    icc = _fitted(lambda: _intraclass_correlation(panel.scores(baseline)))
    return (*found, Check(strategy=baseline, estimand="mean", model="icc", estimate=icc))


def _models(question: _Question, cluster: str) -> Iterator[tuple[str, Estimate]]:
    panel, inference, primary = question.panel, question.inference, question.statistic
    other, name = ("task", "task") if cluster == "sample" else ("sample", "single")
    yield "primary", inference.closed_form(primary)
    yield name, panel.inference(other, 1, 0).closed_form(primary)
    yield "sample", inference.closed_form(_sample_weighted(primary))
    if primary.num_samples:
        yield "length", inference.closed_form(_by_length(primary, panel.num_image_turns))
    yield "logit", _fitted(lambda: _fractional_logit(question))
    if (
        question.estimand == "eb_reduction"
    ):  # for a slope, the Mundlak term makes GEE equal to the primary estimate
        yield "gee", _fitted(lambda: _gee(question))


def _sample_weighted(statistic: Statistic) -> Statistic:
    """The unweighted mean of the ratios of single samples."""
    above, below = statistic.columns.T
    known = below > 0
    own = np.divide(above, below, out=np.zeros_like(above), where=known)
    columns = np.stack([own, known.astype(np.float64)], axis=1)
    return Statistic(columns=columns, formula=statistic.formula, units=statistic.units)


def _by_length(statistic: Statistic, lengths: npt.NDArray[np.int64]) -> Statistic:
    """The mean of the estimates within each dialogue length, weighted by their numbers of samples."""
    known = statistic.columns[:, 1] > 0
    strata = sorted(set(lengths[known].tolist()))
    weights = np.array([np.count_nonzero(known & (lengths == length)) for length in strata]) / known.sum()
    columns = [np.where((lengths == length)[:, None], statistic.columns, 0.0) for length in strata]
    return Statistic(
        columns=np.hstack(columns),
        formula=lambda s: (s[..., 0::2] / s[..., 1::2]) @ weights,
        units=statistic.units,
    )


def _fitted(fit: Callable[[], Estimate]) -> Estimate:
    """The estimate of `fit`; undefined, with the reason, if the model cannot be fitted."""
    import statsmodels.tools.sm_exceptions  # noqa: F401  (this import turns its warnings on again)

    try:
        with warnings.catch_warnings():
            # the result is checked instead: which warnings occur depends on earlier imports
            warnings.simplefilter("ignore")
            return fit()
    except (ArithmeticError, np.linalg.LinAlgError) as error:
        return undefined(f"the model cannot be fitted: {error}")
    except _NotFitted as error:
        return undefined(str(error))


def _require(num_samples: int, scores: npt.NDArray[Any], design: npt.NDArray[Any]) -> None:
    """Check that the data identify the model. Raises `_NotFitted` if they do not."""
    if num_samples < MIN_SAMPLES:
        raise _NotFitted(f"{num_samples} samples; the model needs {MIN_SAMPLES}")
    if np.ptp(scores) < 1e-9:
        raise _NotFitted("all values are equal")
    rank = np.linalg.matrix_rank(design)
    if rank < design.shape[1]:
        raise _NotFitted(f"the design has rank {rank} of {design.shape[1]}: the turns do not vary enough")


def _fractional_logit(question: _Question) -> Estimate:
    """The difference of the two arms' average marginal effects, per turn or of gold history."""
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    panel, is_slope = question.panel, question.estimand == "slope_change"
    arms = {
        (is_k, gold): panel.replayed(s, "gold") if gold else panel.scores(s)
        for is_k, s in ((False, question.baseline), (True, question.strategy))
        for gold in ((False,) if is_slope else (False, True))
    }
    known = np.asarray(np.isfinite(np.stack(list(arms.values()))).all(axis=0))
    rows, turns = np.nonzero(known)
    blocks = [_design(known, rows, turns.astype(np.float64) + 1, is_k, gold) for is_k, gold in arms]
    design = np.vstack(blocks)[:, _columns(question.estimand)]
    scores: Floats = np.concatenate([grid[known] for grid in arms.values()])
    _require(len(set(rows.tolist())), scores, design)
    groups = np.tile(question.inference.clusters[rows], len(arms))
    fit = GLM(scores, design, family=Binomial()).fit(cov_type="cluster", cov_kwds={"groups": groups})
    if not fit.converged or np.abs(design @ fit.params).max() > _STEEPEST:
        raise _NotFitted("the model does not converge: scores at their bounds are separated perfectly")
    is_k = np.repeat([is_k for is_k, _ in arms], len(rows))
    effect = _slope_effect if is_slope else _gap_effect
    return _delta(fit.params, fit.cov_params(), lambda b: effect(b, design, is_k))


def _design(known: Cells, rows: npt.NDArray[np.int64], turns: Floats, is_k: bool, gold: bool) -> Floats:
    """The design matrix: constant, turn, the sample's mean turn (Mundlak term), gold; and all of them x
    strategy.
    """
    center = (known * np.arange(1.0, known.shape[1] + 1)).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    one = np.ones(len(rows))
    base = np.stack([one, turns, center[rows], gold * one], axis=1)
    return np.hstack([base, is_k * base])


def _columns(estimand: str) -> list[int]:
    """The columns of `_design` for an estimand: without gold history the two gold columns are constant, so
    they are dropped.
    """
    return [0, 1, 2, 4, 5, 6] if estimand == "slope_change" else list(range(8))


def _slope_effect(b: npt.NDArray[Any], design: Floats, is_k: Cells) -> Any:
    chance = 1 / (1 + np.exp(-(design @ b)))
    slope = chance * (1 - chance) * (b[1] + is_k * b[4])
    return slope[is_k].mean() - slope[~is_k].mean()


def _gap_effect(b: npt.NDArray[Any], design: Floats, is_k: Cells) -> Any:
    chances = []
    for gold in (0.0, 1.0):
        at = design.copy()
        at[:, 3], at[:, 7] = gold, gold * is_k
        chances.append(1 / (1 + np.exp(-(at @ b))))
    apart = chances[1] - chances[0]
    return apart[~is_k].mean() - apart[is_k].mean()


def _delta(params: Floats, covariance: Floats, effect: Callable[[npt.NDArray[Any]], Any]) -> Estimate:
    """The effect with its standard error by the delta method; the gradient is a complex-step derivative."""
    steps = params.astype(np.complex128) + 1e-30j * np.eye(len(params))
    slopes = np.array([np.imag(effect(step)) / 1e-30 for step in steps])
    return _normal(float(effect(params)), float(np.sqrt(slopes @ covariance @ slopes)))


def _gee(question: _Question) -> Estimate:
    """The mean of the paired differences by GEE, whose weights allow for correlation within clusters."""
    from statsmodels.genmod.cov_struct import Exchangeable
    from statsmodels.genmod.generalized_estimating_equations import GEE

    grid = question.grid
    known = np.isfinite(grid)
    rows, _ = np.nonzero(known)
    _require(len(set(rows.tolist())), grid[known], np.ones((len(rows), 1)))
    groups = question.inference.clusters[rows]
    model = GEE(grid[known], np.ones((len(rows), 1)), groups=groups, cov_struct=Exchangeable())
    fit = model.fit(cov_type="bias_reduced")
    return _normal(float(fit.params[0]), float(fit.bse[0]))


def _intraclass_correlation(whole: Floats) -> Estimate:
    """The intraclass correlation of at most `MIXED_SAMPLES` evenly spaced samples: the fit is slow, and only
    descriptive.
    """
    from statsmodels.regression.mixed_linear_model import MixedLM

    grid = whole[:: -(-len(whole) // MIXED_SAMPLES)]
    known = np.isfinite(grid)
    rows, turns = np.nonzero(known)
    design = np.stack([np.ones(len(rows)), turns], axis=1)
    _require(len(set(rows.tolist())), grid[known], design)
    fit = MixedLM(grid[known], design, groups=rows).fit()
    if not fit.converged:
        raise _NotFitted("the mixed model does not converge")
    between = float(fit.cov_re[0, 0])
    return Estimate(
        value=between / (between + float(fit.scale)),
        num_samples=int(known.any(axis=1).sum()),
        num_units=int(known.sum()),
    )


def _normal(value: float, error: float) -> Estimate:
    from scipy.stats import norm

    if not math.isfinite(value) or not error > 0:
        raise _NotFitted("the model gives no standard error")
    low, high = norm.interval(0.95, value, error)
    p = float(2 * norm.sf(abs(value) / error))
    return Estimate(value=value, standard_error=error, low=float(low), high=float(high), p=p)
