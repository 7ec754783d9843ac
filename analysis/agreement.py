"""The scorer against human raters: how well they agree, and means that human labels correct.

Labels may cover any random subset of the turns. Units are cells (sample, turn), clusters are samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.bootstrap import Floats
from analysis.inference import Estimate, Inference
from analysis.panel import Panel
from analysis.statistic import Statistic

__all__ = ["Agreement", "agreement", "corrected_mean"]

Sums = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement of the scorer with the human raters, over all labelled cells behind own history."""

    pearson: Estimate
    icc: Estimate
    """ICC(2,1): absolute agreement of single ratings (Shrout and Fleiss 1979)."""
    alpha: Estimate
    """Krippendorff's alpha, ordinal; its standard error takes the ranks as given."""
    bias: Estimate
    """Scorer less human."""
    pairs: tuple[tuple[float, float], ...]
    """(human, scorer) of each labelled cell."""


def agreement(panel: Panel, inference: Inference) -> Agreement | None:
    """None where no turn has a human score."""
    arms = [(panel.scores(s, quantity="human"), panel.scores(s)) for s in panel.strategies]
    human, scorer = (np.hstack(grids) for grids in zip(*arms, strict=True))
    both = np.isfinite(human) & np.isfinite(scorer)
    if not both.any():
        return None
    human, scorer = np.where(both, human, np.nan), np.where(both, scorer, np.nan)
    found = inference.estimates(
        {
            "pearson": _of_moments(human, scorer, _pearson),
            "icc": _of_moments(human, scorer, _icc),
            "alpha": _alpha(human, scorer),
            "bias": _of_moments(human, scorer, lambda s: (s[..., 2] - s[..., 1]) / s[..., 0]),
        }
    )
    pairs = zip(human[both].tolist(), scorer[both].tolist(), strict=True)
    return Agreement(**found, pairs=tuple(pairs))


def corrected_mean(human: Floats, scorer: Floats, num_missing: int = 0) -> Statistic:
    """The human mean over all scored cells, from the labelled ones and the scorer's scores of all.

    PPI++ (Angelopoulos, Duchi and Zrnic 2023) with its optimal tuning, in the equivalent form of a regression
    estimator: mean_L(Y) + b (mean(f) - mean_L(f)), b = Cov_L(Y, f) / Var(f), clipped to 0..n/(n - n_L).

    Args:
        human: labels Y, shape (samples, turns), NaN where unlabelled.
        scorer: scores f, NaN where unscored; labels without a score are not used.
    """
    scored = np.isfinite(scorer)
    labelled = scored & np.isfinite(human)
    y, f, at = np.where(labelled, human, 0.0), np.where(scored, scorer, 0.0), labelled.astype(np.float64)
    terms = [at, y, at * f, y * f, scored.astype(np.float64), f, f * f]
    return Statistic(
        columns=np.stack([term.sum(axis=1) for term in terms], axis=1),
        formula=_corrected_mean,
        units=at.sum(axis=1),
        num_missing=num_missing,
    )


def _corrected_mean(s: Sums) -> Sums:
    few, label, score_few, product, size, score, square = np.moveaxis(s, -1, 0)
    covariance = product / few - (label / few) * (score_few / few)
    variance = square / size - (score / size) ** 2
    is_flat = np.real(variance) <= 1e-12
    slope = np.where(is_flat, 0, covariance / np.where(is_flat, 1, variance))
    unlabelled = size - few
    limit = size / np.where(np.real(unlabelled) > 0, unlabelled, 1)
    slope = np.where(np.real(slope) < 0, 0, np.where(np.real(slope) > np.real(limit), limit, slope))
    return np.asarray(label / few + slope * (score / size - score_few / few))


def _of_moments(human: Floats, scorer: Floats, formula: Callable[[Sums], Sums]) -> Statistic:
    known = np.isfinite(human).astype(np.float64)
    x, y = np.nan_to_num(human), np.nan_to_num(scorer)
    terms = [known, x, y, x * x, y * y, x * y]
    return Statistic(
        columns=np.stack([term.sum(axis=1) for term in terms], axis=1),
        formula=formula,
        units=known.sum(axis=1),
    )


def _pearson(s: Sums) -> Sums:
    xx, yy, xy = _spreads(s)
    return np.asarray(xy / np.sqrt(xx * yy))


def _icc(s: Sums) -> Sums:
    """ICC(2,1) for two raters, from the mean squares of subjects, raters and residuals."""
    size = s[..., 0]
    xx, yy, xy = _spreads(s)
    apart = (s[..., 1] - s[..., 2]) / size
    subjects = (xx + yy + 2 * xy) / 2 / (size - 1)
    residual = (xx + yy - 2 * xy) / 2 / (size - 1)
    raters = size * apart**2 / 2
    return np.asarray((subjects - residual) / (subjects + residual + 2 * (raters - residual) / size))


def _spreads(s: Sums) -> tuple[Sums, Sums, Sums]:
    """Centered sums of squares and products."""
    size, x, y, xx, yy, xy = np.moveaxis(s, -1, 0)
    return xx - x * x / size, yy - y * y / size, xy - x * y / size


def _alpha(human: Floats, scorer: Floats) -> Statistic:
    """Ordinal alpha: its distance of two values is that of their mid-ranks among all ratings."""
    from scipy.stats import rankdata

    known = np.isfinite(human)
    ranks = np.full((2, *human.shape), 0.0)
    ranks[:, known] = rankdata(np.stack([human[known], scorer[known]])).reshape(2, -1)
    # the largest rank as the unit keeps the sums of squares small
    first, second = ranks / max(ranks.max(), 1.0)
    terms = [known, (first - second) ** 2, first + second, first**2 + second**2]
    return Statistic(
        columns=np.stack([term.sum(axis=1, dtype=np.float64) for term in terms], axis=1),
        formula=_alpha_of_sums,
        units=known.sum(axis=1).astype(np.float64),
    )


def _alpha_of_sums(s: Sums) -> Sums:
    pairs, apart, ranks, squares = np.moveaxis(s, -1, 0)
    ratings = 2 * pairs
    observed = 2 * apart / ratings
    expected = 2 * (ratings * squares - ranks**2) / (ratings * (ratings - 1))
    return np.asarray(1 - observed / expected)
