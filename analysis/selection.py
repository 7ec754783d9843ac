"""How good the judge inside a strategy is: as a verifier, and as the one who picks among candidates.

Both are measured against the scorer's grades of the very candidates that the strategy drew, on the
strategy's own history. Neither enters a score of the ablation table.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.bootstrap import Bootstrap, Estimate, Floats, Statistic, is_well_above_zero, ratio_of
from analysis.panel import Panel
from analysis.records import Record, SampleKey, Study

__all__ = ["Selection", "Verifier", "selections", "verifiers"]

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """Verdicts of one strategy's judge; positive means that the scorer finds the candidate perfect."""

    strategy: str
    threshold: float
    """A candidate is accepted when its verdict is at least this."""
    true_positive_rate: Estimate
    true_negative_rate: Estimate
    auc: Estimate
    """P(verdict of a perfect candidate > verdict of another), ties counted half."""
    num_positive: int
    num_negative: int
    num_unparsable: int


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What picking among candidates is worth, all on the same pools of candidates."""

    strategy: str
    oracle: bool
    layer: str
    num_pools: int
    candidates_per_pool: float
    random: Estimate
    """Mean score of the candidates: what a random pick would get."""
    arm: Estimate
    best: Estimate
    """Mean score of the best candidate: what a perfect selector would get."""
    regret: Estimate
    """best - arm."""
    share: Estimate | None
    """(arm - random) / (best - random); None where there is too little to gain to divide by it."""


def verifiers(study: Study, panel: Panel, bootstrap: Bootstrap) -> tuple[Verifier, ...]:
    """One per strategy whose judge gave a verdict on an image, oracle arms (always right) aside."""
    own = _own_records(study)
    return tuple(
        _verifier(strategy, own[strategy], panel, bootstrap)
        for strategy in panel.strategies
        if strategy not in panel.oracles
        and any(j.verdict is not None for r in own[strategy] for j in r.judged)
    )


def selections(study: Study, panel: Panel, bootstrap: Bootstrap) -> tuple[Selection, ...]:
    """One per strategy and layer of Best-of-N that picked among graded images."""
    own = _own_records(study)
    return tuple(
        _selection(strategy, layer, own[strategy], panel, bootstrap)
        for strategy in panel.strategies
        for layer in sorted({pool.layer for r in own[strategy] for pool in r.pools})
    )


def _own_records(study: Study) -> dict[str, list[Record]]:
    own = defaultdict(list)
    for record in study.records:
        if record.key.history == "own":
            own[record.key.strategy].append(record)
    return own


def _verifier(strategy: str, records: Sequence[Record], panel: Panel, bootstrap: Bootstrap) -> Verifier:
    rows = _rows(panel)
    judged = [(rows[r.key.sample], j) for r in records for j in r.judged]
    known = [(row, j.verdict, j.grade) for row, j in judged if j.verdict is not None]
    cluster = np.array([row for row, _, _ in known])
    verdict = np.array([v for _, v, _ in known])
    positive = np.array([grade == 1 for _, _, grade in known])
    threshold = _threshold(strategy)
    accepted = verdict >= threshold
    true_positive, true_negative = bootstrap.ratios(
        _per_sample(panel, cluster, [accepted & positive, ~accepted & ~positive]),
        _per_sample(panel, cluster, [positive, ~positive]),
    )
    return Verifier(
        strategy=strategy,
        threshold=threshold,
        true_positive_rate=true_positive.estimate(),
        true_negative_rate=true_negative.estimate(),
        auc=_auc(panel, bootstrap, cluster, verdict, positive).estimate(),
        num_positive=int(positive.sum()),
        num_negative=int((~positive).sum()),
        num_unparsable=len(judged) - len(known),
    )


def _auc(
    panel: Panel,
    bootstrap: Bootstrap,
    cluster: npt.NDArray[np.int64],
    verdict: Floats,
    positive: npt.NDArray[np.bool_],
) -> Statistic:
    """Wins of positives over negatives are a quadratic form of the samples' weights."""
    wins = _wins(len(panel.samples), cluster, verdict, positive)
    sizes = _per_sample(panel, cluster, [positive, ~positive])
    pairs = float(sizes.sum(axis=0).prod())
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = bootstrap.quadratic(wins) / bootstrap.totals(sizes).prod(axis=1)
    return Statistic(
        value=float(wins.sum()) / pairs if pairs else float("nan"),
        draws=draws,
        num_samples=int(np.count_nonzero(sizes.any(axis=1))),
        num_units=len(verdict),
    )


def _wins(
    num_samples: int, cluster: npt.NDArray[np.int64], verdict: Floats, positive: npt.NDArray[np.bool_]
) -> Floats:
    """Entry (i, j): pairs in which a positive of sample i outdoes a negative of sample j; ties half."""
    wins = np.zeros((num_samples, num_samples))
    high, high_cluster = verdict[positive], cluster[positive]
    for column in np.unique(cluster[~positive]):
        low = np.sort(verdict[~positive & (cluster == column)])
        outdone = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
        wins[:, column] = np.bincount(high_cluster, outdone / 2, minlength=num_samples)
    return wins


def _selection(
    strategy: str, layer: str, records: Sequence[Record], panel: Panel, bootstrap: Bootstrap
) -> Selection:
    rows = _rows(panel)
    pools = [(rows[r.key.sample], p) for r in records for p in r.pools if p.layer == layer]
    cluster = np.array([row for row, _ in pools])
    chosen = np.array([p.grades[p.chosen] for _, p in pools])
    best = np.array([max(p.grades) for _, p in pools])
    random = np.array([np.mean(p.grades) for _, p in pools])
    columns = [random, chosen, best, best - chosen, chosen - random, best - random]
    sums = _per_sample(panel, cluster, columns)
    sizes = _per_sample(panel, cluster, [np.ones(len(pools))] * len(columns))
    *shown, gained, possible = bootstrap.ratios(sums, sizes)
    means = [statistic.estimate() for statistic in shown]
    return Selection(
        strategy=strategy,
        oracle=layer.startswith("oracle_"),
        layer=layer,
        num_pools=len(pools),
        candidates_per_pool=float(np.mean([len(p.grades) for _, p in pools])),
        random=means[0],
        arm=means[1],
        best=means[2],
        regret=means[3],
        share=ratio_of(gained, possible).estimate() if is_well_above_zero(possible) else None,
    )


def _rows(panel: Panel) -> dict[SampleKey, int]:
    return {sample: row for row, sample in enumerate(panel.samples)}


def _per_sample(
    panel: Panel, cluster: npt.NDArray[np.int64], columns: Sequence[npt.NDArray[np.generic]]
) -> Floats:
    """Sums of each column by sample, shape (samples, columns)."""
    size = len(panel.samples)
    return np.stack([np.bincount(cluster, c.astype(np.float64), minlength=size) for c in columns], axis=1)


def _threshold(strategy: str) -> float:
    """The accept threshold that the label states where it is not the default."""
    stated = re.search(r"[\[,]threshold=([^,\]]+)", strategy)
    return float(stated[1]) if stated else DEFAULT_THRESHOLD
