"""Agreement of the scorer with human raters, and means that human labels correct.

Labels may cover any random subset of the turns. Agreement pairs the scorer's score with the human rating of
the same record (sample, turn, arm, seed), because a human rates one image. Corrected means use cells (sample,
turn). Samples are the clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.bootstrap import Floats
from analysis.inference import Estimate, Inference
from analysis.panel import Panel
from analysis.records import Study
from analysis.statistic import Statistic

__all__ = ["Agreement", "Pairs", "agreement", "corrected_mean"]

Sums = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement of the scorer with the human raters, over all labelled image turns on own history."""

    pearson: Estimate
    icc: Estimate
    """ICC(2,1): absolute agreement of single ratings (Shrout and Fleiss 1979)."""
    alpha: Estimate
    """Krippendorff's alpha, ordinal. Its standard error treats the ranks as fixed."""
    bias: Estimate
    """Mean of the scorer's score minus the human score."""
    pairs: tuple[tuple[float, float], ...]
    """The (human, scorer) scores of each labelled record."""


def agreement(study: Study, panel: Panel, inference: Inference) -> Agreement | None:
    """The scorer's agreement; None if no image turn on own history has both a human score and a scorer's
    score.
    """
    labelled = [
        (record.key.sample, record.human, record.score)
        for record in study.records
        if record.modality == "image" and record.key.history == "own"
        if record.human is not None and record.score is not None
    ]
    if not labelled:
        return None
    samples, human, scorer = zip(*labelled, strict=True)
    rows = {sample: row for row, sample in enumerate(panel.samples)}
    pairs = Pairs(
        sample=np.array([rows[sample] for sample in samples]),
        human=np.array(human),
        scorer=np.array(scorer),
        num_samples=len(rows),
    )
    return Agreement(**pairs.estimates(inference), pairs=tuple(zip(human, scorer, strict=True)))


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """The two scores of each labelled record and the row of its sample; arrays of shape (records,)."""

    sample: npt.NDArray[np.int64]
    human: Floats
    scorer: Floats
    num_samples: int

    def estimates(self, inference: Inference) -> dict[str, Estimate]:
        """The estimates "pearson", "icc", "alpha" and "bias", by name.

        Intervals of the first three are symmetric on Fisher's atanh scale, so they end at 1.
        """
        statistics = {
            "pearson": self._of_moments(_pearson),
            "icc": self._of_moments(_icc),
            "alpha": self._alpha(),
            "bias": self._of_moments(lambda s: (s[..., 2] - s[..., 1]) / s[..., 0]),
        }
        found = inference.estimates(statistics)
        _, degrees = inference.standard_error(statistics["bias"])
        return {name: e if name == "bias" else _on_fishers_scale(e, degrees) for name, e in found.items()}

    def _of_moments(self, formula: Callable[[Sums], Sums]) -> Statistic:
        x, y = self.human, self.scorer
        return self._statistic([np.ones(len(x)), x, y, x * x, y * y, x * y], formula)

    def _alpha(self) -> Statistic:
        """The statistic of ordinal alpha. Its distance between two values is that of their mid-ranks among
        all ratings.
        """
        from scipy.stats import rankdata

        ranks = rankdata(np.stack([self.human, self.scorer]), axis=None).reshape(2, -1)
        # the largest rank as the unit keeps the sums of squares small
        first, second = ranks / ranks.max()
        terms = [np.ones(len(first)), (first - second) ** 2, first + second, first**2 + second**2]
        return self._statistic(terms, _alpha_of_sums)

    def _statistic(self, terms: Sequence[Floats], formula: Callable[[Sums], Sums]) -> Statistic:
        """The statistic whose totals are the sums of `terms` by sample. The first term counts the records."""
        sums = [np.bincount(self.sample, term, minlength=self.num_samples) for term in terms]
        columns = np.stack(sums, axis=1).astype(np.float64)
        return Statistic(columns=columns, formula=formula, units=columns[:, 0])


def corrected_mean(human: Floats, scorer: Floats, beside: Floats | None = None) -> Statistic:
    """The mean human score over all scored cells, estimated from the labelled cells and the scorer's scores
    of all cells.

    PPI++ (Angelopoulos, Duchi and Zrnic 2023) with its optimal tuning, in the equivalent form of a regression
    estimator: mean_L(Y) + b (mean(f) - mean_L(g)), b = Cov_L(Y, g) / Var(g), clipped to 0..n/(n - n_L). If a
    cell is one record, g is f. If a cell is a mean over seeds of which raters labelled only some, g is the
    scorer's mean over the labelled seeds, and Var(g) is Var(f) plus the variance that averaging removed.

    Args:
        human: labels Y, shape (samples, turns), NaN where unlabelled.
        scorer: scores f, same shape, NaN where unscored; labels of unscored cells are not used.
        beside: the scorer's scores g of the labelled records alone; `scorer` if None.
    """
    known = scorer if beside is None else beside
    scored = np.isfinite(scorer)
    labelled = scored & np.isfinite(human) & np.isfinite(known)
    at = labelled.astype(np.float64)
    y, g = np.where(labelled, human, 0.0), np.where(labelled, known, 0.0)
    f = np.where(scored, scorer, 0.0)
    terms = [at, y, g, y * g, g * g, at * f, at * f * f, scored.astype(np.float64), f, f * f]
    return Statistic(
        columns=np.stack([term.sum(axis=1) for term in terms], axis=1),
        formula=_corrected_mean,
        units=at.sum(axis=1),
    )


def _corrected_mean(s: Sums) -> Sums:
    few, label, seen, product, seen_square, mean_few, square_few, size, score, square = np.moveaxis(s, -1, 0)
    covariance = product / few - (label / few) * (seen / few)
    averaged_away = seen_square / few - (seen / few) ** 2 - (square_few / few - (mean_few / few) ** 2)
    variance = square / size - (score / size) ** 2 + averaged_away
    is_flat = np.real(variance) <= 1e-12
    slope = np.where(is_flat, 0, covariance / np.where(is_flat, 1, variance))
    unlabelled = size - few
    limit = size / np.where(np.real(unlabelled) > 0, unlabelled, 1)
    slope = np.where(np.real(slope) < 0, 0, np.where(np.real(slope) > np.real(limit), limit, slope))
    return np.asarray(label / few + slope * (score / size - seen / few))


def _on_fishers_scale(estimate: Estimate, degrees: int) -> Estimate:
    """The estimate with an interval that is symmetric in atanh(value), a scale on which correlations are
    nearly normal.
    """
    error, value = estimate.standard_error, estimate.value
    if not error > 0 or not abs(value) < 1:
        return estimate
    from scipy.special import stdtrit

    reach = float(stdtrit(degrees, 0.975)) * error / (1 - value**2)
    low, high = np.tanh([np.arctanh(value) - reach, np.arctanh(value) + reach])
    return replace(estimate, low=float(low), high=float(high))


def _pearson(s: Sums) -> Sums:
    xx, yy, xy = _spreads(s)
    return np.asarray(xy / np.sqrt(xx * yy))


def _icc(s: Sums) -> Sums:
    """ICC(2,1) of two raters, from the mean squares of subjects, raters and residuals."""
    size = s[..., 0]
    xx, yy, xy = _spreads(s)
    apart = (s[..., 1] - s[..., 2]) / size
    subjects = (xx + yy + 2 * xy) / 2 / (size - 1)
    residual = (xx + yy - 2 * xy) / 2 / (size - 1)
    raters = size * apart**2 / 2
    return np.asarray((subjects - residual) / (subjects + residual + 2 * (raters - residual) / size))


def _spreads(s: Sums) -> tuple[Sums, Sums, Sums]:
    """Centered sums of squares and products: of x, of y, and of x with y."""
    size, x, y, xx, yy, xy = np.moveaxis(s, -1, 0)
    return xx - x * x / size, yy - y * y / size, xy - x * y / size


def _alpha_of_sums(s: Sums) -> Sums:
    pairs, apart, ranks, squares = np.moveaxis(s, -1, 0)
    ratings = 2 * pairs
    observed = 2 * apart / ratings
    expected = 2 * (ratings * squares - ranks**2) / (ratings * (ratings - 1))
    return np.asarray(1 - observed / expected)
